"""``dead``: what could not be bridged, and is kept until a person decides."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bridgekit.adapter.base import Adapter
from bridgekit.cli._common import (
    CommandGroup,
    Exit,
    age,
    config_option,
    json_option,
    lane_in_words,
    print_json,
    table,
    time_text,
)
from bridgekit.cli._database import on_database
from bridgekit.config import Config
from bridgekit.core.lane import room_of
from bridgekit.errors import ConfigError
from bridgekit.model.entry import DeadLetter, Direction
from bridgekit.ports import Store

PAGE = 1000

ids_argument = click.argument("ids", metavar="ID...", type=int, nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All that there are now, instead of some by id.")


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the commands."""

    @group.group(cls=CommandGroup, no_args_is_help=True)
    def dead() -> None:
        """What could not be bridged: look at it, try it again, let it go.

        Works while the bridge runs, which notices within seconds, and while it does not.
        """

    _add_looking(dead, adapter)
    _add_ending(dead, adapter)


def _add_looking(dead: click.Group, adapter: type[Adapter]) -> None:
    @dead.command("list")
    @config_option
    @json_option
    @click.option("--direction", type=click.Choice([d.value for d in Direction]), help="Only what comes from there.")
    @click.option("--after", default=0, help="Only those with a higher id.")
    @click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="How many at most.")
    def list_(config: Path, as_json: bool, direction: str | None, after: int, limit: int) -> None:
        """List them, the oldest first."""
        of = None if direction is None else Direction(direction)

        async def work(_: Config, store: Store) -> list[DeadLetter]:
            return await store.dead_letters(after=after, limit=limit + 1, direction=of)

        letters = on_database(config, adapter, work)
        if as_json:
            print_json([_values(letter) for letter in letters[:limit]])
            return
        if not letters:
            click.echo("There are no dead letters." if not after else "There are no more.")
            return
        now = _now()
        rows = [
            (letter.id, age(now - letter.ended_at), letter.direction.value, letter.kind, letter.code, letter.reason)
            for letter in letters[:limit]
        ]
        click.echo(table(("ID", "AGE", "FROM", "KIND", "CODE", "REASON"), rows))
        if len(letters) > limit:
            click.echo(f"There are more: --after {letters[limit - 1].id}")

    @dead.command()
    @config_option
    @json_option
    @click.argument("id", metavar="ID", type=int)
    @click.option("--content", is_flag=True, help="Show what was said, too.")
    def show(config: Path, as_json: bool, id: int, content: bool) -> None:
        """Show one: why it failed, where it belongs, and how old it is."""

        async def work(_: Config, store: Store) -> DeadLetter:
            return (await _found(store, [id]))[0]

        letter = on_database(config, adapter, work)
        values = _values(letter)
        if content:
            values["content"] = _content(letter.payload)
        if as_json:
            print_json(values)
            return
        now = _now()
        shown: list[tuple[str, object]] = [
            ("reason", letter.reason),
            ("code", letter.code),
            ("from", letter.direction.value),
            ("kind", letter.kind),
            ("where", lane_in_words(letter.lane) if letter.lane else "nowhere: it could not be read"),
            ("event", letter.event_id or ""),
            ("login", letter.login or ""),
            ("received", f"{time_text(letter.received_at)}, {age(now - letter.received_at)} ago"),
            ("given up", f"{time_text(letter.ended_at)}, {age(now - letter.ended_at)} ago"),
            ("size", f"{len(letter.payload)} bytes"),
        ]
        click.echo(table(("dead letter", str(letter.id)), [row for row in shown if row[1]]))
        if content:
            said = values["content"]
            click.echo(said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False))


def _add_ending(dead: click.Group, adapter: type[Adapter]) -> None:
    @dead.command()
    @config_option
    @json_option
    @ids_argument
    @all_option
    def retry(config: Path, as_json: bool, ids: tuple[int, ...], everything: bool) -> Exit:
        """Try them again, behind what waits in the same place."""

        async def work(_: Config, store: Store) -> tuple[list[int], list[int]]:
            letters = await _chosen(store, ids, everything)
            done: list[int] = []
            for letter in letters:
                if await store.retry_dead(letter.id, now=_now()) is not None:
                    done.append(letter.id)  # noqa: PERF401 - one after the other: each commits by itself
            return done, [letter.id for letter in letters if letter.id not in done]

        done, left = on_database(config, adapter, work)
        if as_json:
            print_json({"retried": done, "left": left})
        else:
            click.echo(f"{_count(done)} will be tried again." if done else "Nothing will be tried again.")
            if left:
                what = ", ".join(map(str, left))
                click.echo(f"These could not even be read, so there is nothing to try: {what}. Drop them.", err=True)
        return Exit.FAILED if left else Exit.FINE

    @dead.command()
    @config_option
    @json_option
    @ids_argument
    @all_option
    def drop(config: Path, as_json: bool, ids: tuple[int, ...], everything: bool) -> None:
        """Let them go for ever, with what was said."""

        async def work(_: Config, store: Store) -> list[int]:
            letters = await _chosen(store, ids, everything)
            return [letter.id for letter in letters if await store.drop_dead(letter.id)]

        done = on_database(config, adapter, work)
        if as_json:
            print_json({"dropped": done})
        else:
            click.echo(f"{_count(done)} dropped." if done else "Nothing to drop.")


async def _chosen(store: Store, ids: Sequence[int], everything: bool) -> list[DeadLetter]:
    if bool(ids) == everything:
        raise ConfigError("ID...", "there must be ids, or --all, and not both", "`dead list` shows the ids.")
    if not everything:
        return await _found(store, list(dict.fromkeys(ids)))
    letters: list[DeadLetter] = []
    while page := await store.dead_letters(after=letters[-1].id if letters else 0, limit=PAGE):
        letters += page
    return letters


async def _found(store: Store, ids: Sequence[int]) -> list[DeadLetter]:
    """Those letters. Raises `ConfigError` if one is not there: then nothing was done to the others either."""
    letters = [await store.dead_letter(id) for id in ids]
    if missing := [str(id) for id, letter in zip(ids, letters, strict=True) if letter is None]:
        raise ConfigError("ID", f"there is no dead letter {', '.join(missing)}", "`dead list` shows which there are.")
    return [letter for letter in letters if letter is not None]


def _values(letter: DeadLetter) -> dict[str, Any]:
    """Everything but what was said."""
    return {
        "id": letter.id,
        "direction": letter.direction.value,
        "kind": letter.kind,
        "code": letter.code,
        "reason": letter.reason,
        "room": room_of(letter.lane) if letter.lane else None,
        "lane": letter.lane,
        "event_id": letter.event_id,
        "login": letter.login,
        "received_at": letter.received_at,
        "ended_at": letter.ended_at,
        "size": len(letter.payload),
    }


def _content(payload: bytes) -> Any:
    """The raw event: JSON if it is that, else text that shows every byte."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "backslashreplace")


def _count(ids: Sequence[int]) -> str:
    return "1 dead letter" if len(ids) == 1 else f"{len(ids)} dead letters"


def _now() -> int:
    return time.time_ns() // 1_000_000
