"""Commands as a table: what each is called, who may say it, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from bridgekit.core.permissions import Level
from bridgekit.core.tables import Answer
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.records import Portal
from bridgekit.runtime.permissions import BY_LEVEL


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A command as somebody said it. `words` are those behind its name; `portal` is set where it was said in one."""

    user: UserID
    level: Level
    room: RoomID
    event_id: EventID
    words: tuple[str, ...] = ()
    portal: Portal | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """`usage` begins with the command's name; `help` says what it does; `level` is who may. `run` returns what to
    answer, None if nothing (more) is to be said; it may be called again after a crash, and raises `HomeserverError`."""

    usage: str
    help: str
    run: Callable[[Said], Awaitable[Answer | str | None]]
    level: Level = Level.USER

    @property
    def name(self) -> str:
        """The command itself, in small letters."""
        return self.usage.partition(" ")[0]


class Table:
    """The commands that can be said in some place. `prefix` goes before each, as people have to write it."""

    def __init__(self, commands: Iterable[Command], *, prefix: str = "") -> None:
        self._commands = {command.name: command for command in commands}
        self._prefix = prefix

    def help(self, level: Level) -> str:
        """Those that this person may say."""
        lines = [
            f"{self._prefix}{command.usage} - {command.help}"
            for command in self._commands.values()
            if level >= command.level
        ]
        return "\n".join(["Commands:", f"{self._prefix}help - this list", *lines])

    def knows(self, name: str) -> bool:
        """Whether there is such a command, or it is a wish for help."""
        return name in self._commands or name in ("help", "")

    async def run(self, name: str, said: Said) -> Answer | str | None:
        """Carry a command out, if the person may. Raises `HomeserverError`, `StoreError`."""
        if name in ("help", ""):
            return self.help(said.level)
        command = self._commands.get(name)
        if command is None:
            # What was said is not repeated: it may be an answer that came too early or too late, a password.
            return "I do not know that command.\n" + self.help(said.level)
        if said.level < command.level:
            why = BY_LEVEL[command.level]
            return f"{why[0].upper()}{why[1:]}."
        return await command.run(said)
