"""Commands for admins: everybody's logins, the portals, and the dead letters. Nobody's words are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bridgekit.core.lane import room_of
from bridgekit.core.permissions import Level
from bridgekit.core.tables import Answer, table
from bridgekit.model.entry import DeadLetter, Entry
from bridgekit.model.records import Portal
from bridgekit.ports import Clock, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.people import state_in_words
from bridgekit.runtime.commands.said import Command, Said
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.permissions import Doors
from bridgekit.runtime.sessions import Sessions

ROWS = 20
"""Rows of a table at once."""

USAGE = 'Say "dead", "dead list AFTER", "dead show ID", "dead retry ID" or "dead drop ID".'


class AdminCommands:
    """What admins may ask for, in a room of their own with the bot."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lanes: Lanes,
        lease: LeaseKeeper,
        sessions: Sessions,
        doors: Doors,
        clock: Clock,
    ) -> None:
        self._books = books
        self._journal = journal
        self._lanes = lanes
        self._lease = lease
        self._sessions = sessions
        self._doors = doors
        self._clock = clock

    def commands(self) -> Sequence[Command]:
        """They, for the table."""
        return (
            Command(usage="logins [page]", help="who is logged in", run=self._logins, level=Level.ADMIN),
            Command(usage="portals [page]", help="the rooms and their chats", run=self._portals, level=Level.ADMIN),
            Command(
                usage="dead [list AFTER | show ID | retry ID | drop ID]",
                help="what could not be bridged",
                run=self._dead,
                level=Level.ADMIN,
            ),
        )

    # --- who and where --------------------------------------------------------------------------------------------
    async def _logins(self, said: Said) -> Answer | str:
        records = sorted(self._books.logins(), key=lambda record: (record.user_id, record.login.id))
        rows = [
            (record.user_id, record.login.name, record.login.id, state_in_words(record, self._sessions, self._doors))
            for record in records
        ]
        return _page(said, "Nobody is logged in.", "Logins", ("person", "account", "id", "state"), rows)

    async def _portals(self, said: Said) -> Answer | str:
        total, shown, after = 0, list[Portal](), None
        first = (_page_number(said) - 1) * ROWS
        while page := await self._books.directory.portals(after=after):
            shown += page[max(first - total, 0) : max(first + ROWS - total, 0)]
            total, after = total + len(page), page[-1].key
        rows = []
        for portal in shown:
            logins = ", ".join(record.login.id for record in await self._books.portal_logins(portal.key))
            relay = self._books.relay(portal.key)
            rows.append(
                (portal.name or portal.key.chat, portal.room or "being made", logins, relay.login.id if relay else "")
            )
        head = ("chat", "room", "logins", "relay")
        return _page(said, "There are no portals.", "Portals", head, rows, total=total)

    # --- dead letters ---------------------------------------------------------------------------------------------
    async def _dead(self, said: Said) -> Answer | str:
        what, *rest = said.words or ("list",)
        number = _number(rest[0]) if rest else None
        match what.casefold():
            case "list":
                return await self._dead_list(number or 0)
            case "show" if number is not None:
                return await self._dead_show(number)
            case "retry" if number is not None:
                return await self._dead_retry(number, said)
            case "drop" if number is not None:
                done = await self._journal.drop_dead(number, epoch=self._lease.epoch)
                return f"Dead letter {number} is gone." if done else _unknown(number)
        return USAGE

    async def _dead_list(self, after: int) -> Answer | str:
        letters = await self._journal.dead_letters(after=after, limit=ROWS + 1)
        if not letters:
            return "There are no dead letters." if not after else "There are no more."
        rows = [
            (str(letter.id), _time(letter.ended_at), letter.direction.value, letter.kind, letter.code, letter.reason)
            for letter in letters[:ROWS]
        ]
        note = f'There are more: say "dead list {letters[ROWS - 1].id}".' if len(letters) > ROWS else ""
        return table("Dead letters", ("id", "since", "from", "kind", "code", "reason"), rows, note=note)

    async def _dead_show(self, number: int) -> Answer | str:
        letter = await self._journal.dead_letter(number)
        if letter is None:
            return _unknown(number)
        rows = [
            ("from", letter.direction.value),
            ("kind", letter.kind),
            ("where", _where(letter)),
            ("login", letter.login or ""),
            ("event", letter.event_id or ""),
            ("received", _time(letter.received_at)),
            ("given up", _time(letter.ended_at)),
            ("code", letter.code),
            ("reason", letter.reason),
            ("size", f"{len(letter.payload)} bytes"),
        ]
        shown = [(name, value) for name, value in rows if value]
        note = f'Say "dead retry {number}" or "dead drop {number}".'
        return table(f"Dead letter {number}", ("what", "value"), shown, note=note)

    async def _dead_retry(self, number: int, said: Said) -> str:
        letter = await self._journal.dead_letter(number)
        if letter is None:
            return _unknown(number)
        if letter.lane is None:
            return f"Dead letter {number} cannot be tried again: it could not even be read."
        entry = await self._journal.retry_dead(number, now=self._clock.now(), epoch=self._lease.epoch)
        if entry is None:
            return _unknown(number)
        self._offer(entry)
        return f"Dead letter {number} is tried again, behind what waits in its lane."

    def _offer(self, entry: Entry) -> None:
        # It may be one that waits already, of which the lane knows: then the offer tells it nothing new.
        self._lanes.offer((entry,))
        self._lanes.wake(entry.lane)


def _page(
    said: Said, empty: str, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, total: int | None = None
) -> Answer | str:
    """One page of a table. `total`: `rows` are the page already, of so many."""
    number = _page_number(said)
    count = len(rows) if total is None else total
    if not count:
        return empty
    pages = -(-count // ROWS)
    shown = rows if total is not None else rows[(number - 1) * ROWS : number * ROWS]
    note = f"Page {number} of {pages}. For another, say the command and its number." if pages > 1 else ""
    return table(f"{title}: {count}", head, shown, note=note)


def _page_number(said: Said) -> int:
    number = _number(said.words[0]) if said.words else None
    return max(number or 1, 1)


def _number(word: str) -> int | None:
    word = word.removeprefix("#")
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def _unknown(number: int) -> str:
    return f"There is no dead letter {number}."


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _where(letter: DeadLetter) -> str:
    if letter.lane is None:
        return ""
    return room_of(letter.lane) or letter.lane[2:].replace("\x1f", " ").strip()
