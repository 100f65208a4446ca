"""What can be asked for in a chat: over the stream with a `ref`, over HTTP without. Each is answered by a `Receipt`."""

from __future__ import annotations

import msgspec

from example_bridge.webchat.server.call_frames import CALL_TYPES, CallFrame
from example_bridge.webchat.server.protocol import File, Location, Mention, Persona, Role, Span


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sender writes: a message before the network has given it id, seq and timestamp."""

    text: str
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()
    reply_to: str | None = None
    nonce: str | None = None
    shown_as: Persona | None = msgspec.field(default=None, name="as")
    files: tuple[File, ...] = ()
    """By the ids of the sender's own reservations; their bytes may come later. `text` is the caption, or empty."""
    location: Location | None = None


class Send(Draft, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="send"):
    """A draft, sent over the socket; `ref` names the request in its answer."""

    ref: str
    chat: str


class _ActBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    ref: str | None = None
    """Names the request in its answer; without it there is none. Only over the stream."""
    chat: str = ""
    """Over HTTP it stands in the address."""
    nonce: str | None = None
    """A repeat with the same one does nothing, and gets the first one's answer."""


class Edit(_ActBase, frozen=True, kw_only=True, tag="edit"):
    """The sender's message `target` is to say this: all of it, not the difference."""

    target: str
    text: str
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()


class Delete(_ActBase, frozen=True, kw_only=True, tag="delete"):
    """Delete a message for everybody: one's own, or as a moderator."""

    target: str
    reason: str = ""


class React(_ActBase, frozen=True, kw_only=True, tag="react"):
    """React to a message, or (not `added`) take that back."""

    target: str
    emoji: str
    added: bool = True


class Read(_ActBase, frozen=True, kw_only=True, tag="read"):
    """The chat was read up to this message, or (without) to event `seq`. It never goes back."""

    message: str | None = None
    seq: int = 0


class Typing(_ActBase, frozen=True, kw_only=True, tag="typing"):
    """The sender is writing, or has stopped. Kept nowhere."""

    typing: bool = True


class AddMember(_ActBase, frozen=True, kw_only=True, tag="add_member"):
    """Bring somebody into a group."""

    member: str


class RemoveMember(_ActBase, frozen=True, kw_only=True, tag="remove_member"):
    """Take somebody out of a group, oneself too; `ban`: for good."""

    member: str
    ban: bool = False
    reason: str = ""


class Unban(_ActBase, frozen=True, kw_only=True, tag="unban"):
    """Let somebody be brought in again."""

    member: str


class SetRole(_ActBase, frozen=True, kw_only=True, tag="set_role"):
    """Make a member this."""

    member: str
    role: Role


class ChangeChat(_ActBase, frozen=True, kw_only=True, tag="change_chat"):
    """None leaves a field as it is; ``""`` takes it away."""

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None


class DeleteChat(_ActBase, frozen=True, kw_only=True, tag="delete_chat"):
    """End the chat for everybody."""


ChatAct = Edit | Delete | React | Read | Typing | AddMember | RemoveMember | Unban | SetRole | ChangeChat | DeleteChat
Act = ChatAct | CallFrame

ACT_TYPES = frozenset(
    {"send", "edit", "delete", "react", "read", "typing", "add_member", "remove_member", "unban", "set_role"}
    | {"change_chat", "delete_chat"}
    | CALL_TYPES
)
"""The `type` of everything that can be asked for in a chat."""


def type_of(act: Act) -> str:
    """The `type` that it has on the wire."""
    return str(act.__struct_config__.tag)
