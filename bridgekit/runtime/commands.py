"""What the bot does when people talk to it: commands in a room with it, and invitations."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.adapter.base import Network
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import EventID, LoginID, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import LoginState, ManagementRoomSaved
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.logins import Logins
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.talk import Talk

log = logging.getLogger(__name__)

HELP = """Commands:
help - this list
login - log in to {network}
logout [account] - log out
list - your accounts
status - how the bridge is doing
cancel - end the login that is under way"""

ENCRYPTED = (
    "This bridge cannot read encrypted messages, and this room is encrypted. "
    "I have opened an unencrypted room and invited you there; please talk to me in it."
)


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
        sessions: Sessions,
        talk: Talk,
        retrying: Retrying,
        network: Network,
        *,
        journal: Journal,
        lease: LeaseKeeper,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._logins = logins
        self._sessions = sessions
        self._talk = talk
        self._retrying = retrying
        self._network = network
        self._journal = journal
        self._lease = lease

    async def handle(self, entry: Entry, event: RawEvent) -> Handled:
        """Carry out an entry from a room that is no portal. Raises `RetryLater`."""
        try:
            content = _decode(event.raw).content
        except msgspec.DecodeError:
            return Handled()  # nothing that a person meant for the bot
        try:
            if event.type == "m.room.member":
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
        try:
            await self._homeserver.join(event.room_id)
        except MatrixRequestError as error:
            if error.status not in (403, 404):
                raise
            log.info("an invitation could not be followed: %s", error)  # taken back, or the room is gone
            return
        if await self._talk.is_encrypted(event.room_id):
            await self._encrypted(event)
        elif await self._is_mine(event):
            await self._say(event, f'Hello! I bridge {self._network.name}. Say "login" to begin, or "help".')

    async def _encrypted(self, event: RawEvent) -> None:
        """The bot can send plain text into an encrypted room, but never read there."""
        await self._talk.open_room(event.sender)
        await self._say(event, ENCRYPTED)

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
        match command:
            case "login":
                if not self._logins.begin(user, room, event.event_id):
                    await self._say(event, 'A login is under way. Answer it, or say "cancel".')
            case "logout":
                await self._say(event, await self._logout(user, words[1:]))
            case "list":
                await self._say(event, self._list(user))
            case "status":
                await self._say(event, self._status(user))
            case "cancel":
                cancelled = await self._logins.cancel(user)
                await self._say(event, "The login was cancelled." if cancelled else "There is nothing to cancel.")
            case "help" | "":
                await self._say(event, HELP.format(network=self._network.name))
            # What was said is not repeated: it may be an answer that came too early or too late, a password.
            case _ if self._logins.is_under_way(user):
                await self._say(event, "One moment, please; nothing has been asked yet.")
            case _:
                await self._say(event, "I do not know that command.\n" + HELP.format(network=self._network.name))

    async def _delete(self, event: RawEvent) -> None:
        """Delete the answer to a question."""
        if not await self._talk.redact(event.room_id, event.event_id):
            await self._say(event, "I may not delete your answer here; please delete it yourself.")

    async def _say(self, event: RawEvent, text: str) -> None:
        await self._talk.say(RoomID(event.room_id), text, answers=EventID(event.event_id))

    async def _logout(self, user: UserID, words: list[str]) -> str:
        records = self._books.logins(user)
        if not records:
            return "You are not logged in."
        if words:
            records = [r for r in records if words[0] in (r.login.id, r.login.name)]
        if len(records) != 1:
            ids = ", ".join(record.login.id for record in self._books.logins(user))
            return f'Which account? Say "logout" and one of: {ids}'
        login = await self._logins.remove(LoginID(records[0].login.id))
        return f"You are logged out of {login.name or login.id}." if login is not None else "You are not logged in."

    def _list(self, user: UserID) -> str:
        records = self._books.logins(user)
        if not records:
            return 'You are not logged in. Say "login" to begin.'
        return "\n".join(f"{record.login.name or record.login.id} ({record.login.id})" for record in records)

    def _status(self, user: UserID) -> str:
        lines = [f"The {self._network.name} bridge is running."]
        for record in self._books.logins(user):
            state = self._sessions.state(record.login.id)
            words = state.name if not state.reason else f"{state.name}: {state.reason}"
            if record.state is LoginState.BAD_CREDENTIALS:
                words = 'the login is no longer valid; say "login" to log in again'
            lines.append(f"{record.login.name or record.login.id}: {words}")
        return "\n".join(lines)
