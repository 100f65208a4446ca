"""What all commands share: options, exit codes, tables, and how an error is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import click

from bridgekit.core.lane import room_of
from bridgekit.errors import AddressTaken, BridgekitError, ConfigError, LeaseHeld
from bridgekit.model.ids import LaneKey


class Exit(IntEnum):
    """The exit codes of every command."""

    FINE = 0
    FAILED = 1
    BAD_INPUT = 2
    CHECK_FAILED = 3
    INTERRUPTED = 130


EXIT_CODES: dict[Exit, str] = {
    Exit.FINE: "fine",
    Exit.FAILED: "it failed while it ran: the database, the homeserver or the network",
    Exit.BAD_INPUT: "a mistake in a file, an option or an argument; nothing was begun",
    Exit.CHECK_FAILED: "`check` found something that must be mended",
    Exit.INTERRUPTED: "ended by Ctrl-C",
}
"""What each of them means, in the words of ``--help`` and the documentation."""

# \b: click keeps the lines of the paragraph that follows.
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {int(code):<4} {meaning}" for code, meaning in EXIT_CODES.items())

config_option = click.option(
    "--config",
    "-c",
    default="config.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The configuration file.",
)
"""``config: Path``"""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
"""``as_json: bool``"""


class CommandGroup(click.Group):
    """Lists its commands in the order in which they were added, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns for a person to read, as wide as what is in them; the last one is not filled up.

    Control characters become spaces: what others wrote must not steer this terminal.
    """
    lines = [
        ["".join(sign if sign.isprintable() else " " for sign in str(cell)) for cell in row] for row in (head, *rows)
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def age(ms: int) -> str:
    """How long that is, roughly: ``3 min``."""
    seconds = max(ms, 0) // 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def time_text(ms: int) -> str:
    """A point in time, in ms since the epoch, as RFC 3339 has it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lane_in_words(lane: LaneKey) -> str:
    """What a lane belongs to, for a person."""
    if (room := room_of(lane)) is not None:
        return f"room {room}"
    kind, _, rest = lane.partition(":")
    what = {"r": "chat", "u": "user", "c": "copy of chat"}.get(kind, "lane")
    return f"{what} {rest.strip(chr(0x1F)).replace(chr(0x1F), ' ')}"


def report(error: BridgekitError) -> Exit:
    """Tell a person what is wrong, where, and the one thing to do; the exit code."""
    match error:
        case ConfigError():
            for one in (error, *error.more):
                click.echo(f"error: {one.where}: {one.what}\n       {one.fix}", err=True)
            return Exit.FAILED if isinstance(error, AddressTaken) else Exit.BAD_INPUT
        case LeaseHeld():
            click.echo(
                f"error: {error}\n       Stop that process, or give this bridge a database of its own.", err=True
            )
        case _:
            click.echo(f"error: {error}", err=True)
    return Exit.FAILED
