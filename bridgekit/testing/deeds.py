"""What a fake network was told besides messages: written down, answered as ordered in advance, and echoed."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Literal

import msgspec

from bridgekit.model.ids import LoginID, Nonce, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.matrix import MatrixDelete, MatrixEdit, MatrixMember, MatrixReaction, MatrixReceipt, MatrixTyping
from bridgekit.model.remote import (
    Avatar,
    Login,
    RemoteChat,
    RemoteDelete,
    RemoteEdit,
    RemoteEvent,
    RemoteMember,
    RemoteReaction,
    Role,
    Sent,
)

Echo = Literal["nonce", "plain", "none"]
Deed = Literal[
    "edit",
    "delete",
    "react",
    "unreact",
    "mark_read",
    "set_typing",
    "invite",
    "remove",
    "leave",
    "rename",
    "set_avatar",
    "set_role",
]
"""The capabilities' methods, by name."""


class Outcome(msgspec.Struct, frozen=True):
    """What becomes of one call: `error` is raised, before the network has taken it or (`taken`) after it.
    `gate`: the answer waits for it, as the network has taken it already."""

    error: BaseException | None = None
    taken: bool = False
    gate: asyncio.Event | None = None


class Removal(msgspec.Struct, frozen=True):
    """A call of `CanRemove.remove`."""

    member: MatrixMember
    ban: bool


class Renaming(msgspec.Struct, frozen=True):
    """A call of `CanRename.rename`."""

    portal: PortalKey
    name: str | None
    topic: str | None


class Pictured(msgspec.Struct, frozen=True):
    """A call of `CanSetAvatar.set_avatar`: what was read of the picture, ``b""`` for none; `id`: what the network calls
    it, the same for the same bytes."""

    portal: PortalKey
    data: bytes
    id: str


class RoleGiven(msgspec.Struct, frozen=True):
    """A call of `CanSetRole.set_role`."""

    portal: PortalKey
    user: RemoteUserID
    role: Role


Told = (
    MatrixEdit
    | MatrixDelete
    | MatrixReaction
    | MatrixReceipt
    | MatrixTyping
    | MatrixMember
    | Removal
    | Renaming
    | Pictured
    | RoleGiven
    | PortalKey
)


class Call(msgspec.Struct, frozen=True):
    """One call of a session: which login, which method, with what. For `leave` that is the portal."""

    login: LoginID
    deed: Deed
    value: Told


class Deeds:
    """The far end's ears for everything but messages.

    `tried` holds every call, in order; `done` those that the network took, a repeated nonce once. The lists below are
    `done` by kind. `next_deeds` orders what becomes of the next calls of one method. With an echo, what changes a chat
    comes back as the event that a real network would send.
    """

    dedupes: bool
    echo: Echo
    chats: dict[PortalKey, RemoteChat]
    pictures: dict[str, bytes]
    emit: Callable[..., None]

    def __init__(self) -> None:
        self.tried: list[Call] = []
        self.done: list[Call] = []
        self.deed_outcomes: defaultdict[Deed, deque[Outcome]] = defaultdict(deque)
        self.edits: list[MatrixEdit] = []
        self.deletes: list[MatrixDelete] = []
        self.reactions: list[MatrixReaction] = []
        self.unreactions: list[MatrixReaction] = []
        self.receipts: list[MatrixReceipt] = []
        self.typing: list[MatrixTyping] = []
        self.invites: list[MatrixMember] = []
        self.removals: list[Removal] = []
        self.left: list[PortalKey] = []
        self.renames: list[Renaming] = []
        self.avatars_set: list[Pictured] = []
        self.roles_given: list[RoleGiven] = []
        self.roles: dict[PortalKey, dict[RemoteUserID, Role]] = {}  # who has one there by now
        self.edit_ids: tuple[RemoteMessageID, ...] = ()  # what the next edits answer as the message's new ids
        self._done_nonces: set[tuple[Deed, Nonce]] = set()

    def next_deeds(self, deed: Deed, *outcomes: BaseException | Outcome) -> None:
        """What becomes of the next calls of this method; a plain exception: the network has not taken it."""
        self.deed_outcomes[deed].extend(each if isinstance(each, Outcome) else Outcome(each) for each in outcomes)

    def tries_of(self, deed: Deed) -> list[Told]:
        """What this method was called with, repeats included."""
        return [call.value for call in self.tried if call.deed == deed]

    async def be_told(self, login: Login, deed: Deed, value: Told) -> Sent:
        """A session calls. The answer matters for edits only."""
        self.tried.append(Call(login.id, deed, value))
        ordered = self.deed_outcomes[deed]
        outcome = ordered.popleft() if ordered else Outcome()
        if outcome.error is not None and not outcome.taken:
            raise outcome.error
        nonce = getattr(value, "nonce", None)
        if not (nonce is not None and self.dedupes and (deed, nonce) in self._done_nonces):
            if nonce is not None:
                self._done_nonces.add((deed, nonce))
            self.done.append(Call(login.id, deed, value))
            echo = self._write_down(login, deed, value)
            if echo is not None and self.echo != "none":
                self.emit(echo)
        if outcome.gate is not None:
            await outcome.gate.wait()
        if outcome.error is not None:
            raise outcome.error
        return Sent(self.edit_ids if deed == "edit" else ())

    def _write_down(self, login: Login, deed: Deed, value: Told) -> RemoteEvent | None:
        """Remember it in its list; returns what everybody in the chat sees of it, if anything."""
        number = str(len(self.done))
        match value:
            case MatrixEdit():
                self.edits.append(value)
                return RemoteEdit(
                    portal=value.portal,
                    target=value.target,
                    revision=f"r{number}",
                    sender=login.user,
                    timestamp=value.timestamp,
                    text=value.text,
                    nonce=value.nonce if self.echo == "nonce" else None,
                )
            case MatrixDelete():
                self.deletes.append(value)
                return RemoteDelete(
                    portal=value.portal, target=value.target, timestamp=value.timestamp, sender=login.user
                )
            case MatrixReaction():
                (self.reactions if deed == "react" else self.unreactions).append(value)
                return RemoteReaction(
                    portal=value.portal,
                    target=value.target,
                    sender=login.user,
                    timestamp=value.timestamp,
                    emoji=value.emoji,
                    emoji_id=value.emoji_id,
                    added=deed == "react",
                    occurrence=f"o{number}",
                )
            case MatrixReceipt():
                self.receipts.append(value)
            case MatrixTyping():
                self.typing.append(value)
            case MatrixMember():
                self.invites.append(value)
                return RemoteMember(portal=value.portal, user=value.user, joined=True, by=login.user)
            case Removal(member=gone, ban=ban):
                self.removals.append(value)
                return RemoteMember(
                    portal=gone.portal, user=gone.user, joined=False, by=login.user, banned=ban, reason=gone.reason
                )
            case Renaming():
                self.renames.append(value)
                known = self.chats.get(value.portal) or RemoteChat(portal=value.portal)
                return RemoteChat(portal=value.portal, kind=known.kind, name=value.name, topic=value.topic)
            case Pictured():
                self.avatars_set.append(value)
                if value.id:
                    self.pictures[value.id] = value.data
                known = self.chats.get(value.portal) or RemoteChat(portal=value.portal)
                return RemoteChat(portal=value.portal, kind=known.kind, avatar=Avatar(value.id))
            case RoleGiven():
                self.roles_given.append(value)
                roles = {**self.roles.get(value.portal, {}), value.user: value.role}
                self.roles[value.portal] = {user: role for user, role in roles.items() if role is not Role.MEMBER}
                known = self.chats.get(value.portal) or RemoteChat(portal=value.portal)
                return RemoteChat(portal=value.portal, kind=known.kind, roles=self.roles[value.portal])
            case PortalKey():
                self.left.append(value)
                return RemoteMember(portal=value, user=login.user, joined=False)
        return None
