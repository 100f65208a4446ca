"""Everything that an adapter's author imports.

Five rules: events are frozen values named by origin (``Remote*``, ``Matrix*``); the framework pulls; a capability is a
mixin, and inheriting it is declaring it; mixins say whether, `Limits` says how much, per portal; the author never sees
a Matrix id or the database.
"""

from bridgekit.adapter.base import Adapter, Network, NoConfig, Session
from bridgekit.adapter.capabilities import CAPABILITIES, CanConfirm, CanDescribe, CanResolve, CanSend, Capability
from bridgekit.adapter.prompt import Prompt
from bridgekit.errors import AuthFailed, LoginCancelled, NotSupported, Rejected, Transient, Uncertain
from bridgekit.model.content import Mention, MentionRole, MentionRoom, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import ChatID, LoginID, Nonce, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import MatrixMessage, Speaker
from bridgekit.model.remote import (
    Avatar,
    Batch,
    ChatKind,
    Cursor,
    Cursors,
    Login,
    MediaRef,
    RemoteCaughtUp,
    RemoteChat,
    RemoteEvent,
    RemoteMember,
    RemoteMessage,
    RemoteProfile,
    RemoteProgress,
    Sent,
)

__all__ = [
    "CAPABILITIES",
    "Adapter",
    "AuthFailed",
    "Avatar",
    "Batch",
    "CanConfirm",
    "CanDescribe",
    "CanResolve",
    "CanSend",
    "Capability",
    "ChatID",
    "ChatKind",
    "Cursor",
    "Cursors",
    "Limits",
    "Login",
    "LoginCancelled",
    "LoginID",
    "MatrixMessage",
    "MediaRef",
    "Mention",
    "MentionRole",
    "MentionRoom",
    "MentionTarget",
    "MentionUser",
    "Network",
    "NoConfig",
    "Nonce",
    "NotSupported",
    "PortalKey",
    "Prompt",
    "Rejected",
    "RemoteCaughtUp",
    "RemoteChat",
    "RemoteEvent",
    "RemoteMember",
    "RemoteMessage",
    "RemoteMessageID",
    "RemoteProfile",
    "RemoteProgress",
    "RemoteUserID",
    "Run",
    "Sent",
    "Session",
    "Speaker",
    "Style",
    "Text",
    "Transient",
    "Uncertain",
]
