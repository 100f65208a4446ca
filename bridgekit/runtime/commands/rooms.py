"""Rooms in which a person talks with the bot: invitations, and what is said there."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.adapter.base import Network
from bridgekit.core.permissions import Level
from bridgekit.core.tables import Answer
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import ManagementRoomSaved
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.said import Said, Table
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.logins import Logins
from bridgekit.runtime.permissions import BY_LEVEL, TALKING, Doors, Told
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.talk import Talk

log = logging.getLogger(__name__)

ENCRYPTED = (
    "This bridge cannot read encrypted messages, and this room is encrypted. "
    "I have opened an unencrypted room and invited you there; please talk to me in it."
)

NOT_ALONE = "I talk with one person at a time. Invite me to a room of your own, where nobody else is."

FORBIDDEN = f"I am sorry, but {BY_LEVEL[Level.RELAY]}."

ANSWER = b"answer"
"""The progress of an entry that was the answer to a question."""


class _Content(msgspec.Struct):
    membership: str = ""
    msgtype: str = ""
    body: str = ""


class _Event(msgspec.Struct):
    content: _Content = msgspec.field(default_factory=_Content)


_decode = msgspec.json.Decoder(_Event).decode


class Commands:
    """Handles what happens in rooms that are no portals."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        logins: Logins,
        talk: Talk,
        retrying: Retrying,
        network: Network,
        doors: Doors,
        told: Told,
        table: Table,
        *,
        journal: Journal,
        lease: LeaseKeeper,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._logins = logins
        self._talk = talk
        self._retrying = retrying
        self._network = network
        self._doors = doors
        self._told = told
        self._table = table
        self._journal = journal
        self._lease = lease

    async def handle(self, entry: Entry, event: RawEvent) -> Handled:
        """Carry out an entry from a room that is no portal. Raises `RetryLater`."""
        try:
            content = _decode(event.raw).content
        except msgspec.DecodeError:
            return Handled()  # nothing that a person meant for the bot
        try:
            if not self._doors.may(event.sender, Level.RELAY):
                await self._forbidden(event, content)
            elif event.type == "m.room.member":
                if content.membership == "invite":
                    await self._invited(event)
            elif event.type == "m.room.encrypted":
                if await self._is_mine(event, remember=False):
                    await self._encrypted(event)
            elif event.type == "m.room.message" and content.msgtype == "m.text" and await self._is_mine(event):
                await self._message(entry, event, content.body)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            self._retrying.homeserver_failed(entry, error)
            # No dead letter: it may hold a password, and what somebody wanted of the bot is never done later.
            log.warning("a command could not be answered: %s", error, extra={"room_id": event.room_id})
        return Handled()

    async def _is_mine(self, event: RawEvent, *, remember: bool = True) -> bool:
        """Whether the room is one in which a single person talks with the bot; if so, it is where to reach them."""
        user = await self._books.directory.management_user(event.room_id)
        if user is not None:
            return user == event.sender
        try:
            members = await self._homeserver.joined_members(event.room_id)
        except MatrixRequestError as error:
            if error.status in (403, 404):
                return False  # the bot is not there
            raise
        if set(members) != {self._talk.bot, event.sender}:
            return False
        if remember:
            await self._books.save(ManagementRoomSaved(event.sender, event.room_id))
        return True

    # --- invitations ----------------------------------------------------------------------------------------------
    async def _invited(self, event: RawEvent) -> None:
        if not await self._join(event):
            return
        if await self._is_strange(event):
            # To stay would be to hear, and to write down, all that is said there: anybody could ask for that.
            await self._say(event, NOT_ALONE)
            await self._homeserver.leave(event.room_id)
            return
        if await self._talk.is_encrypted(event.room_id):
            await self._encrypted(event)
        elif await self._is_mine(event):
            begin = 'Say "login" to begin, or "help".'
            if not self._doors.may(event.sender, Level.USER):
                begin = "You may not log in, but speak where somebody has set a relay."
            await self._say(event, f"Hello! I bridge {self._network.name}. {begin}")

    async def _is_strange(self, event: RawEvent) -> bool:
        """Whether the room, which the bot is in, is neither a portal nor one for the bot and a single person."""
        if await self._books.portal_by_room(event.room_id) is not None:
            return False
        if await self._books.directory.management_user(event.room_id) is not None:
            return False
        return set(await self._homeserver.joined_members(event.room_id)) != {self._talk.bot, event.sender}

    async def _join(self, event: RawEvent) -> bool:
        try:
            await self._homeserver.join(event.room_id)
        except MatrixRequestError as error:
            if error.status not in (403, 404):
                raise
            log.info("an invitation could not be followed: %s", error)  # taken back, or the room is gone
            return False
        return True

    async def _encrypted(self, event: RawEvent) -> None:
        """The bot can send plain text into an encrypted room, but never read there."""
        await self._talk.open_room(event.sender)
        await self._say(event, ENCRYPTED)

    async def _forbidden(self, event: RawEvent, content: _Content) -> None:
        """Somebody who may nothing: is told so once, ever, and let alone from then on."""
        invited = event.type == "m.room.member"
        if invited and content.membership != "invite":
            return
        if not invited and (content.msgtype == "m.notice" or not await self._is_mine(event, remember=False)):
            return
        if await self._told.is_first(event.sender, TALKING, "forbidden", event.event_id):
            if invited and not await self._join(event):
                return
            await self._say(event, FORBIDDEN)
        if invited:
            try:
                await self._homeserver.leave(event.room_id)
            except MatrixRequestError as error:
                if error.status not in (403, 404):
                    raise
                log.info("an invitation could not be declined: %s", error)

    # --- commands -------------------------------------------------------------------------------------------------
    async def _message(self, entry: Entry, event: RawEvent, body: str) -> None:
        user, room = event.sender, event.room_id
        if entry.progress == ANSWER:
            await self._delete(event)
            return
        words = body.split()
        command = words[0].casefold().lstrip("!") if words else ""
        answer = self._logins.takes_answer(user, room)
        if answer is not None and command != "cancel":
            # On disk before it is used: when this entry comes again, it is no command, and no second answer.
            await self._journal.mark(entry.lane, entry.seq, at=None, progress=ANSWER, epoch=self._lease.epoch)
            answer(body)
            await self._delete(event)
            return
        if not self._table.knows(command) and self._logins.is_under_way(user):
            # What was said is not repeated: it may be an answer that came too early or too late, a password.
            await self._say(event, "One moment, please; nothing has been asked yet.")
            return
        level = self._doors.level(user)
        said = Said(user=user, level=level, room=room, event_id=event.event_id, words=tuple(words[1:]))
        reply = await self._table.run(command, said)
        if reply is not None:
            await self._say(event, reply)

    async def _delete(self, event: RawEvent) -> None:
        """Delete the answer to a question."""
        if not await self._talk.redact(event.room_id, event.event_id):
            await self._say(event, "I may not delete your answer here; please delete it yourself.")

    async def _say(self, event: RawEvent, text: Answer | str) -> None:
        await self._talk.say(event.room_id, text, answers=event.event_id)
