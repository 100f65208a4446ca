"""docs/operate.md names commands, codes, checks, metrics and words that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click

from bridgekit.cli import command_line
from example_bridge.webchat.adapter import WebchatAdapter
from tests.docs.guide import blocks

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = ROOT / "docs" / "operate.md"
TEXT: Final = GUIDE.read_text(encoding="utf-8")
CODE: Final = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bridgekit").rglob("*.py")))


def parsed(words: list[str]) -> None:
    """Raises `click.UsageError` if there is no such command, option or argument."""
    command: click.Command = command_line(WebchatAdapter)
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    command.parse_args(context, list(words))


def test_the_commands_are_those_of_the_command_line() -> None:
    lines = [line.removeprefix("$ ") for block in blocks(GUIDE) for line in block.text.splitlines()]
    inline = re.findall(r"`(bridge [^`]+)`", TEXT)
    assert len(lines) >= 8
    for line in [*lines, *inline]:
        program, *words = shlex.split(line, comments=True)
        assert program == "bridge", line
        parsed(words)


def test_the_codes_of_dead_letters_are_those_of_the_code() -> None:
    table = TEXT.partition("| code | what happened")[2].partition("\n\n")[0]
    codes = [code for row in table.splitlines()[2:] for code in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    ours = {code for code in codes if not code.startswith("M_")}
    for code in ours:
        assert f'"{code}"' in CODE, code
    # And all that an entry can end with are explained.
    known = re.findall(r'\bending\(\s*"(\w+)"|\bcode="([a-z_]+)"|\b(?:Refusal|Unreadable)\(\s*"(\w+)"', CODE)
    ends = {code for found in known for code in found if code}
    retried = {"connection", "unreachable", "replaced"}
    # A file's job is tried again, or ends in words in its room: it is no dead letter.
    of_files = {"gone", "disk", "no_name", "no_session"}
    assert ends - ours == {*retried, *of_files, "redacted"}  # the last ends in silence


def test_the_metrics_and_checks_are_documented_ones() -> None:
    monitoring = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for metric in re.findall(r"`(bridgekit_\w+)`", TEXT):
        assert f"`{metric}`" in monitoring
    doctor = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    for check in re.findall(r"`bridge check`: `(\w+)`", TEXT):
        assert f"| `{check}` |" in doctor


def test_what_one_sees_is_what_is_said() -> None:
    table = TEXT.partition("| you see |")[2]
    said = re.sub(r'"\s*f?"', "", CODE)  # literals that stand below each other are one
    for quoted in re.findall(r'"([^"\n]{12,})"', table):
        for piece in filter(None, map(str.strip, quoted.split("\N{HORIZONTAL ELLIPSIS}"))):
            assert piece.lower() in said.lower(), quoted
