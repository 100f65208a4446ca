"""Setting a portal's relay, and letting people in who need it."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.adapter.capabilities import CanSend, capability
from bridgekit.core.permissions import Level, may_change_state
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import RoomID, UserID
from bridgekit.model.records import LoginRecord, Portal, RelayRemoved, RelaySaved
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.said import Command, Said
from bridgekit.runtime.permissions import Doors
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.talk import Talk

WHO_MAY = (
    "This takes an admin of the bridge, or somebody whose login is in this chat and who either is alone in that or has "
    "the power to change the room's settings."
)

UNKNOWN = "I know no portal with that room id, or it is not yours to change."
"""One sentence for both: strangers need not learn which rooms there are."""

IN_THE_ROOM = 40
"""Which of the bot's answers to an event is the one that goes to the portal, when the command was said elsewhere."""


class RelayCommands:
    """``set-relay``, ``unset-relay`` and ``invite``, in a portal; the first two also from elsewhere, with the room."""

    def __init__(
        self, books: Books, homeserver: Homeserver, sessions: Sessions, doors: Doors, talk: Talk, *, network: str
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._doors = doors
        self._talk = talk
        self._network = network

    def in_portals(self) -> Sequence[Command]:
        """Those for the table of commands in portals."""
        return (
            Command(
                usage="set-relay [login]",
                help="people without a login speak here through yours, or through that one",
                run=self._set,
            ),
            Command(usage="unset-relay", help="they do not any more", run=self._unset),
            Command(usage="invite USER", help="bring a Matrix user into this room", run=self._invite),
        )

    def elsewhere(self) -> Sequence[Command]:
        """Those for the table of commands in a room of one's own with the bot."""
        return (
            Command(
                usage="set-relay ROOM [login]",
                help="people without a login speak in that portal through yours, or through that one",
                run=self._set,
            ),
            Command(usage="unset-relay ROOM", help="they do not any more", run=self._unset),
        )

    # --- the commands ---------------------------------------------------------------------------------------------
    async def _set(self, said: Said) -> str:
        found = await self._place(said)
        if isinstance(found, str):
            return found
        portal, words = found
        record = await self._chosen(said, portal, words)
        if isinstance(record, str):
            return record
        session = self._sessions.session(record.login.id)
        if session is not None and capability(session, CanSend) is None:
            return f"{self._network} cannot be written to, so there is nothing to relay."
        await self._books.save(RelaySaved(portal.key, record.login.id))
        name = record.login.name or record.login.id
        return await self._announce(
            said, portal, f"From now on people here who are not logged in to {self._network} speak through {name}."
        )

    async def _unset(self, said: Said) -> str:
        found = await self._place(said)
        if isinstance(found, str):
            return found
        portal, _ = found
        if self._books.relay(portal.key) is None:
            return "No relay is set there." if said.portal is None else "No relay is set here."
        await self._books.save(RelayRemoved(portal.key))
        return await self._announce(
            said, portal, f"What people here write who are not logged in does not reach {self._network} any more."
        )

    async def _invite(self, said: Said) -> str:
        found = await self._place(said)
        if isinstance(found, str):
            return found
        portal, words = found
        user = UserID(words[0]) if words else UserID("")
        if not user.startswith("@") or ":" not in user:
            return 'Whom? Say it like "invite @alice:example.com".'
        if not self._doors.may(user, Level.RELAY):
            return f"{user} may not use this bridge; its admin can allow it."
        assert portal.room is not None
        try:
            await self._homeserver.invite(portal.room, user)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            return f"{user} could not be invited: {error.errcode}."
        return f"{user} is invited."

    # --- who may, and what is meant -------------------------------------------------------------------------------
    async def _place(self, said: Said) -> tuple[Portal, tuple[str, ...]] | str:
        """The portal that is meant and the other words; or what to answer, because there is none or it is not for
        this person to say."""
        portal, words = said.portal, said.words
        if portal is None:
            if not words:
                return "In which room? Say its id, like !abc:example.com, behind the command."
            portal, words = await self._books.portal_by_room(RoomID(words[0])), words[1:]
        if portal is not None and portal.room is not None and await self._may(said, portal):
            return portal, words
        return WHO_MAY if said.portal is not None else UNKNOWN

    async def _may(self, said: Said, portal: Portal) -> bool:
        if said.level >= Level.ADMIN:
            return True
        logins = await self._books.portal_logins(portal.key)
        if all(record.user_id != said.user for record in logins):
            return False
        if all(record.user_id == said.user for record in logins):
            return True
        assert portal.room is not None
        return may_change_state(await self._homeserver.get_state(portal.room, "m.room.power_levels"), said.user)

    async def _chosen(self, said: Said, portal: Portal, words: tuple[str, ...]) -> LoginRecord | str:
        """The login that is meant: one's own, or for an admin any that is in the chat."""
        records = [record for record in await self._books.portal_logins(portal.key) if self._doors.may_connect(record)]
        own = [record for record in records if record.user_id == said.user]
        allowed = records if said.level >= Level.ADMIN else own
        if words:
            wanted = " ".join(words)
            fitting = [record for record in allowed if wanted in (record.login.id, record.login.name)]
        else:
            fitting = own or allowed
        if len(fitting) == 1:
            return fitting[0]
        if not allowed:
            return f"Nobody in this chat is logged in to {self._network} and may use this bridge."
        return f"Which login? Name one of: {', '.join(record.login.id for record in allowed)}"

    async def _announce(self, said: Said, portal: Portal, text: str) -> str:
        """Everybody in the portal learns it, wherever it was said."""
        if said.portal is not None:
            return text
        assert portal.room is not None
        try:
            await self._talk.say(portal.room, text, answers=said.event_id, index=IN_THE_ROOM)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            return f"Done; but the room could not be told: {error.errcode}."
        return "Done; the room is told."
