"""Commands about one's own logins."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.adapter.base import Network
from bridgekit.core.permissions import Level
from bridgekit.core.tables import Answer
from bridgekit.model.ids import LoginID, UserID
from bridgekit.model.records import LoginRecord, LoginState
from bridgekit.ports import Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.said import Command, Said
from bridgekit.runtime.logins import Logins
from bridgekit.runtime.permissions import Doors
from bridgekit.runtime.sessions import Sessions


class PeopleCommands:
    """What everybody may ask for."""

    def __init__(
        self,
        books: Books,
        logins: Logins,
        sessions: Sessions,
        doors: Doors,
        journal: Journal,
        network: Network,
    ) -> None:
        self._books = books
        self._logins = logins
        self._sessions = sessions
        self._doors = doors
        self._journal = journal
        self._network = network

    def commands(self) -> Sequence[Command]:
        """They, for the table. Who may not log in any more may still look at the logins, and log out."""
        return (
            Command(usage="login", help=f"log in to {self._network.name}", run=self._login),
            Command(usage="logout [account]", help="log out", run=self._logout, level=Level.RELAY),
            Command(usage="list", help="your accounts", run=self._list, level=Level.RELAY),
            Command(usage="status", help="how the bridge is doing", run=self._status, level=Level.RELAY),
            Command(usage="cancel", help="end the login that is under way", run=self._cancel),
        )

    async def _login(self, said: Said) -> str | None:
        if self._logins.begin(said.user, said.room, said.event_id):
            return None
        return 'A login is under way. Answer it, or say "cancel".'

    async def _cancel(self, said: Said) -> str:
        return "The login was cancelled." if await self._logins.cancel(said.user) else "There is nothing to cancel."

    async def _logout(self, said: Said) -> str:
        records = self._books.logins(said.user)
        if not records:
            return "You are not logged in."
        if said.words:
            records = [r for r in records if said.words[0] in (r.login.id, r.login.name)]
        if len(records) != 1:
            ids = ", ".join(record.login.id for record in self._books.logins(said.user))
            return f'Which account? Say "logout" and one of: {ids}'
        login = await self._logins.remove(LoginID(records[0].login.id))
        return f"You are logged out of {login.name or login.id}." if login is not None else "You are not logged in."

    async def _list(self, said: Said) -> str:
        records = self._books.logins(said.user)
        if not records:
            return 'You are not logged in. Say "login" to begin.'
        return "\n".join(f"{record.login.name or record.login.id} ({record.login.id})" for record in records)

    async def _status(self, said: Said) -> Answer | str:
        lines = [f"The {self._network.name} bridge is running."]
        lines += self._own(said.user)
        if said.level >= Level.ADMIN:
            stats = await self._journal.stats()
            records = self._books.logins()
            connected = sum(self._sessions.session(record.login.id) is not None for record in records)
            lines += [
                f"Logins: {len(records)}, connected: {connected}",
                f"Waiting for the network: {stats.pending_matrix}",
                f"Waiting for Matrix: {stats.pending_remote}",
                f"Files on their way: {stats.media}",
                f"Dead letters: {stats.dead}",
            ]
        return "\n".join(lines)

    def _own(self, user: UserID) -> list[str]:
        return [
            f"{record.login.name or record.login.id}: {state_in_words(record, self._sessions, self._doors)}"
            for record in self._books.logins(user)
        ]


def state_in_words(record: LoginRecord, sessions: Sessions, doors: Doors) -> str:
    """What a login is doing, for people."""
    if not doors.may_connect(record):
        return "not connected, because its person may not use this bridge"
    if record.state is LoginState.BAD_CREDENTIALS:
        return 'the login is no longer valid; say "login" to log in again'
    state = sessions.state(record.login.id)
    return state.name if not state.reason else f"{state.name}: {state.reason}"
