"""What happens in a chat. Events are numbered and kept; signals are neither: only the latest of each counts."""

from __future__ import annotations

import msgspec

from example_bridge.webchat.server.call_frames import CallFrame, CallKind, CallReason
from example_bridge.webchat.server.protocol import Account, ChatInfo, Membership, Mention, Message, Role, Span

TYPING_MS = 10_000
"""How long somebody writes who says so once."""


class _EventBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    chat: str
    seq: int
    timestamp: int
    actor: str
    """The account that caused it."""
    nonce: str | None = None
    """The actor's, and there only when the reader is the actor. A message has its own inside."""


class MessageEvent(_EventBase, frozen=True, kw_only=True, tag="message"):
    """Somebody said something. Read later, it is the message as it is by then: edited, or deleted."""

    message: Message


class EditEvent(_EventBase, frozen=True, kw_only=True, tag="edit"):
    """The actor's message `target` says this now. `superseded`: no longer, and what it said is gone from here."""

    target: str
    revision: int
    """1, 2, 3 ... for one message."""
    text: str = ""
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()
    superseded: bool = False


class DeleteEvent(_EventBase, frozen=True, kw_only=True, tag="delete"):
    """Message `target` was deleted, with what was reacted to it."""

    target: str
    reason: str = ""


class ReactionEvent(_EventBase, frozen=True, kw_only=True, tag="reaction"):
    """The actor reacted to message `target`, or (not `added`) took it back. The seq tells one time from another."""

    target: str
    emoji: str
    added: bool


class MediaEvent(_EventBase, frozen=True, kw_only=True, tag="media"):
    """The bytes of `file` in message `target` are there now, or (``failed``) will not come."""

    target: str
    file: str
    state: str
    """``there`` or ``failed``."""
    size: int | None = None
    mimetype: str = ""


class ChatEvent(_EventBase, frozen=True, kw_only=True, tag="chat"):
    """The chat was made (always seq 1), or got another name, topic or avatar. `info` is how it is since."""

    change: str
    """"created" or "changed"."""
    info: ChatInfo


class ChatDeletedEvent(_EventBase, frozen=True, kw_only=True, tag="chat_deleted"):
    """The chat is over: this is its last event."""


class MemberEvent(_EventBase, frozen=True, kw_only=True, tag="member"):
    """`member` came in (as `role`), left or was removed, or may not come in any more (`ban`), or may again (`unban`).

    A ban of a member removes too. An account sees a chat's events up to and with its own leaving.
    """

    membership: Membership
    member: Account
    role: Role = "member"
    reason: str = ""


class RoleEvent(_EventBase, frozen=True, kw_only=True, tag="role"):
    """`member` is `role` from now on; `roles` are those of all who are more than ``member``, since."""

    member: Account
    role: Role
    roles: dict[str, Role] = {}


class ProfileEvent(_EventBase, frozen=True, kw_only=True, tag="profile"):
    """A member has another name or avatar."""

    profile: Account


class CallEvent(_EventBase, frozen=True, kw_only=True, tag="call"):
    """A call that the actor began is over, by `by` for this `reason`. `duration_ms`: how long they talked, None if they
    never did."""

    call: str
    kind: CallKind
    reason: CallReason
    by: str
    duration_ms: int | None = None


KnownEvent = (
    MessageEvent
    | EditEvent
    | DeleteEvent
    | ReactionEvent
    | MediaEvent
    | ChatEvent
    | ChatDeletedEvent
    | MemberEvent
    | RoleEvent
    | ProfileEvent
    | CallEvent
)


class ReadSignal(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="receipt"):
    """`account` has read the chat up to event `seq`; `message` is the last message up to there."""

    chat: str
    account: str
    seq: int
    timestamp: int
    message: str | None = None


class TypingSignal(msgspec.Struct, frozen=True, tag_field="type", tag="typing"):
    """`account` is writing, for `expires_ms` unless said again, or has stopped."""

    chat: str
    account: str
    typing: bool
    expires_ms: int = TYPING_MS


Signal = ReadSignal | TypingSignal | CallFrame


def nonce_of(event: KnownEvent) -> str | None:
    return event.message.nonce if isinstance(event, MessageEvent) else event.nonce


def with_nonce(event: KnownEvent, nonce: str | None) -> KnownEvent:
    """The event as its actor sees it, or (None) as everybody else does."""
    if isinstance(event, MessageEvent):
        return msgspec.structs.replace(event, message=msgspec.structs.replace(event.message, nonce=nonce))
    return msgspec.structs.replace(event, nonce=nonce)
