"""The half of `bridgekit.testing.journal.MemoryJournal` that knows things for good."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from bridgekit.model import records
from bridgekit.model.ids import (
    EventID,
    LoginID,
    Nonce,
    PortalKey,
    RemoteMessageID,
    RemoteUserID,
    RoomID,
    UserID,
)
from bridgekit.model.records import (
    CallRecord,
    Fact,
    Ghost,
    LoginRecord,
    MediaJob,
    Membership,
    MessageRecord,
    Portal,
    ReactionRecord,
    UncertainSaved,
)
from bridgekit.model.remote import Cursor


@dataclass
class Knowledge:
    """Everything that facts have said."""

    portals: dict[PortalKey, Portal] = field(default_factory=dict)
    portal_logins: dict[PortalKey, set[LoginID]] = field(default_factory=dict)
    relays: dict[PortalKey, LoginID] = field(default_factory=dict)
    ghosts: dict[RemoteUserID, Ghost] = field(default_factory=dict)
    logins: dict[LoginID, LoginRecord] = field(default_factory=dict)
    cursors: dict[LoginID, dict[str, str]] = field(default_factory=dict)
    members: dict[tuple[RoomID, UserID], Membership] = field(default_factory=dict)
    messages: dict[tuple[PortalKey, RemoteMessageID], dict[int, MessageRecord]] = field(default_factory=dict)
    aliases: dict[tuple[PortalKey, RemoteMessageID], RemoteMessageID] = field(default_factory=dict)
    reactions: dict[tuple[PortalKey, RemoteMessageID], dict[tuple[UserID, str], ReactionRecord]] = field(
        default_factory=dict
    )
    media_jobs: dict[str, MediaJob] = field(default_factory=dict)
    media_numbers: int = 0
    pictures: dict[str, records.Picture] = field(default_factory=dict)
    calls: dict[str, CallRecord] = field(default_factory=dict)
    uncertain: dict[Nonce, UncertainSaved] = field(default_factory=dict)
    management: dict[UserID, RoomID] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def _order(key: PortalKey) -> tuple[str, bool, str]:
    return key.chat, key.receiver is not None, key.receiver or ""


class MemoryDirectory(ABC):
    """`bridgekit.ports.Directory` in memory."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._known = knowledge

    @abstractmethod
    async def _reading(self) -> None:
        """Let others run, as a real store does. Raises `StoreUnavailable` when closed."""

    # --- writing ----------------------------------------------------------------------------------------------------
    def _write(self, facts: Collection[Fact]) -> None:
        for fact in facts:
            self._write_one(fact)

    def _write_one(self, fact: Fact) -> None:
        known = self._known
        match fact:
            case records.PortalSaved(portal):
                known.portals[portal.key] = portal
            case records.PortalRemoved(key):
                known.portals.pop(key, None)
                known.portal_logins.pop(key, None)
                known.relays.pop(key, None)
            case records.GhostSaved(ghost):
                known.ghosts[ghost.remote_id] = ghost
            case records.LoginSaved(record):
                old = known.logins.get(record.login.id)
                kept = msgspec.structs.replace(record.login, state=None if old is None else old.login.state)
                known.logins[record.login.id] = msgspec.structs.replace(record, login=kept)
            case records.LoginRemoved(id):
                known.logins.pop(id, None)
                known.cursors.pop(id, None)
                for logins in known.portal_logins.values():
                    logins.discard(id)
                known.relays = {key: login for key, login in known.relays.items() if login != id}
            case records.PortalLoginSaved(key, login):
                known.portal_logins.setdefault(key, set()).add(login)
            case records.PortalLoginRemoved(key, login):
                known.portal_logins.get(key, set()).discard(login)
            case records.RelaySaved(key, login):
                known.relays[key] = login
            case records.RelayRemoved(key):
                known.relays.pop(key, None)
            case records.MemberSaved(room, user_id, membership):
                known.members[room, user_id] = membership
            case records.MessageSaved(message):
                known.messages.setdefault((message.portal, message.remote_id), {})[message.part] = message
            case records.MessageDeleted(key, remote_id):
                self._forget_message((key, remote_id))
            case records.PartsDeleted(key, remote_id, first):
                parts = known.messages.get((key, remote_id), {})
                for part in [part for part in parts if part >= first]:
                    del parts[part]
            case records.MediaJobSaved(job):
                self._save_job(job)
            case records.MediaJobEnded(id):
                known.media_jobs.pop(id, None)
            case records.PictureSaved(name, uri, at):
                known.pictures[name] = records.Picture(uri, at)
            case records.PictureUsed(uri, at):
                for name in [name for name, picture in known.pictures.items() if picture.uri == uri]:
                    known.pictures[name] = records.Picture(uri, at)
            case records.CallSaved(call):
                old_call = known.calls.get(call.id)
                known.calls[call.id] = call if old_call is None else msgspec.structs.replace(call, at=old_call.at)
            case records.CallForgotten(id):
                known.calls.pop(id, None)
            case records.ReactionSaved(reaction):
                of_message = known.reactions.setdefault((reaction.portal, reaction.target), {})
                of_message[reaction.sender, reaction.emoji] = reaction
            case records.ReactionRemoved(key, target, sender, emoji):
                known.reactions.get((key, target), {}).pop((sender, emoji), None)
            case records.AliasSaved(key, alias, remote_id):
                known.aliases[key, alias] = remote_id
            case records.UncertainSaved():
                known.uncertain[fact.nonce] = fact
            case records.UncertainResolved(nonce):
                known.uncertain.pop(nonce, None)
            case records.ManagementRoomSaved(user_id, room):
                known.management[user_id] = room
            case records.ValueSaved(name, value):
                known.values[name] = value

    def _save_job(self, job: MediaJob) -> None:
        known, old = self._known, self._known.media_jobs.get(job.id)
        if old is None:
            known.media_numbers += 1
            job = msgspec.structs.replace(job, number=known.media_numbers)
        else:
            job = msgspec.structs.replace(job, number=old.number, created_at=old.created_at)
        known.media_jobs[job.id] = job

    def _session_saved(self, login: LoginID, cursors: Collection[Cursor], state: bytes | None) -> None:
        for cursor in cursors:
            self._known.cursors.setdefault(login, {})[cursor.scope] = cursor.value
        record = self._known.logins.get(login)
        if record is not None and state is not None:
            saved = msgspec.structs.replace(record.login, state=state)
            self._known.logins[login] = msgspec.structs.replace(record, login=saved)

    def _forget(self, *, uncertain_before: int, pictures_before: int, messages_before: int | None) -> int:
        known = self._known
        nonces = [nonce for nonce, fact in known.uncertain.items() if fact.at < uncertain_before]
        for nonce in nonces:
            del known.uncertain[nonce]
        pictures = [name for name, picture in known.pictures.items() if picture.used_at < pictures_before]
        for name in pictures:
            del known.pictures[name]
        count = len(nonces) + len(pictures)
        if messages_before is not None:
            for key, parts in list(known.messages.items()):
                for part in [part for part, message in parts.items() if message.timestamp < messages_before]:
                    del parts[part]
                    count += 1
                if not parts:
                    self._forget_message(key)
        return count

    def _forget_message(self, key: tuple[PortalKey, RemoteMessageID]) -> None:
        known = self._known
        known.messages.pop(key, None)
        known.reactions.pop(key, None)
        for alias in [(key[0], alias) for (portal, alias), of in known.aliases.items() if (portal, of) == key]:
            del known.aliases[alias]

    # --- reading ----------------------------------------------------------------------------------------------------
    async def value(self, key: str) -> str | None:
        await self._reading()
        return self._known.values.get(key)

    async def portal(self, key: PortalKey) -> Portal | None:
        await self._reading()
        return self._known.portals.get(key)

    async def portal_by_room(self, room: RoomID) -> Portal | None:
        return next((portal for portal in await self.portals(limit=None) if portal.room == room), None)

    async def portals(self, *, after: PortalKey | None = None, limit: int | None = 1000) -> list[Portal]:
        await self._reading()
        ordered = sorted(self._known.portals, key=_order)
        return [self._known.portals[key] for key in ordered if after is None or _order(key) > _order(after)][:limit]

    async def portal_logins(self, key: PortalKey) -> list[LoginID]:
        await self._reading()
        return sorted(self._known.portal_logins.get(key, ()))

    async def relays(self) -> dict[PortalKey, LoginID]:
        await self._reading()
        return dict(self._known.relays)

    async def ghost(self, remote_id: RemoteUserID) -> Ghost | None:
        await self._reading()
        return self._known.ghosts.get(remote_id)

    async def ghost_by_user(self, user_id: UserID) -> Ghost | None:
        await self._reading()
        return next((ghost for _, ghost in sorted(self._known.ghosts.items()) if ghost.user_id == user_id), None)

    async def logins(self, *, user_id: UserID | None = None) -> list[LoginRecord]:
        await self._reading()
        return [record for _, record in sorted(self._known.logins.items()) if user_id in (None, record.user_id)]

    async def login(self, id: LoginID) -> LoginRecord | None:
        await self._reading()
        return self._known.logins.get(id)

    async def cursors(self, login: LoginID) -> dict[str, str]:
        await self._reading()
        return dict(self._known.cursors.get(login, {}))

    async def membership(self, room: RoomID, user_id: UserID) -> Membership | None:
        await self._reading()
        return self._known.members.get((room, user_id))

    async def members(self, room: RoomID) -> list[UserID]:
        await self._reading()
        joined = Membership.JOINED
        return sorted(user for (place, user), how in self._known.members.items() if place == room and how is joined)

    async def message_by_remote(self, portal: PortalKey, remote_id: RemoteMessageID) -> list[MessageRecord]:
        await self._reading()
        messages = self._known.messages
        parts = messages.get((portal, remote_id))
        if not parts and (target := self._known.aliases.get((portal, remote_id))) is not None:
            parts = messages.get((portal, target))
        return [message for _, message in sorted((parts or {}).items())]

    async def message_by_event(self, room: RoomID, event_id: EventID) -> MessageRecord | None:
        return next(iter(await self.messages_by_event(room, event_id)), None)

    async def messages_by_event(self, room: RoomID, event_id: EventID) -> list[MessageRecord]:
        await self._reading()
        of_event = [
            message
            for parts in self._known.messages.values()
            for message in parts.values()
            if (message.room, message.event_id) == (room, event_id)
        ]
        return sorted(of_event, key=lambda message: (message.part, message.remote_id))

    async def reactions(self, portal: PortalKey, target: RemoteMessageID) -> list[ReactionRecord]:
        await self._reading()
        known, key = self._known, (portal, target)
        found = known.reactions.get(key)
        if not found and key not in known.messages and (other := known.aliases.get(key)) is not None:
            found = known.reactions.get((portal, other))
        return sorted((found or {}).values(), key=lambda reaction: (reaction.timestamp, reaction.event_id))

    async def reaction_by_event(self, room: RoomID, event_id: EventID) -> ReactionRecord | None:
        await self._reading()
        return next(
            (
                reaction
                for of_message in self._known.reactions.values()
                for reaction in of_message.values()
                if (reaction.room, reaction.event_id) == (room, event_id)
            ),
            None,
        )

    async def media_jobs(self, *, after: int = 0, limit: int = 1000) -> list[MediaJob]:
        await self._reading()
        ordered = sorted(self._known.media_jobs.values(), key=lambda job: job.number)
        return [job for job in ordered if job.number > after][:limit]

    async def media_job(self, id: str) -> MediaJob | None:
        await self._reading()
        return self._known.media_jobs.get(id)

    async def picture(self, key: str) -> records.Picture | None:
        await self._reading()
        return self._known.pictures.get(key)

    async def ongoing_calls(self) -> list[CallRecord]:
        await self._reading()
        return sorted(self._known.calls.values(), key=lambda call: (call.at, call.id))

    async def uncertain(self, nonce: Nonce) -> UncertainSaved | None:
        await self._reading()
        return self._known.uncertain.get(nonce)

    async def management_room(self, user_id: UserID) -> RoomID | None:
        await self._reading()
        return self._known.management.get(user_id)

    async def management_user(self, room: RoomID) -> UserID | None:
        await self._reading()
        return next((user for user, place in sorted(self._known.management.items()) if place == room), None)
