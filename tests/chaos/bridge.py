"""The webchat bridge, which kills itself with SIGKILL where ``CHAOS_KILL_AT=point:count`` says.

Before it dies it writes the point's name into the file ``CHAOS_MARK``, so that nobody takes another end for this one.
Into ``CHAOS_FLIGHTS`` it writes when a message begins that must not be repeated, and when its end is on disk
(`inflight` reads it). Written bytes survive the process, so nothing is missing there after a kill. Where
``CHAOS_STAGED`` is 1, every transaction is staged: those of a chat are otherwise too small for that.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from bridgekit.cli import main
from bridgekit.core import staging
from bridgekit.core.lane import room_of
from bridgekit.model.entry import Completion
from bridgekit.model.ids import LaneKey
from bridgekit.runtime import points
from bridgekit.store.base import SqlStore
from example_bridge.webchat.adapter import WebchatAdapter

KILL_AT = "CHAOS_KILL_AT"
MARK = "CHAOS_MARK"
FLIGHTS = "CHAOS_FLIGHTS"
STAGED = "CHAOS_STAGED"


def killer(point: str, count: int, mark: Path) -> Callable[[str], None]:
    """A hook that ends this process when `point` is reached for the `count`th time."""
    if point not in points.POINTS:
        raise ValueError(f"there is no point {point!r}")
    left = count

    def hook(reached: str) -> None:
        nonlocal left
        if reached != point:
            return
        left -= 1
        if left == 0:
            mark.write_text(point, encoding="ascii")
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def log_flights(path: Path) -> None:
    """Write a line ``+ TIME ROOM NUMBER`` before the mark of a message goes to disk, ``- TIME ROOM NUMBER`` after its
    end has, or that of a change, which has no mark. NUMBER: its entry's, in the room's lane."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    real_mark, real_complete = SqlStore.mark, SqlStore.complete

    def write(sign: str, lane: LaneKey, seq: int) -> None:
        if (room := room_of(lane)) is not None:
            os.write(file, f"{sign} {time.time_ns() // 1_000_000} {room} {seq}\n".encode())

    async def mark(self: SqlStore, lane: LaneKey, seq: int, *, at: int | None, **rest: Any) -> None:
        if at is not None:
            write("+", lane, seq)
        await real_mark(self, lane, seq, at=at, **rest)

    async def complete(self: SqlStore, completions: Collection[Completion], *, epoch: int) -> None:
        await real_complete(self, completions, epoch=epoch)
        for completion in completions:
            write("-", completion.lane, completion.seq)

    SqlStore.mark = mark  # type: ignore[method-assign]  # watched from outside, not changed
    SqlStore.complete = complete  # type: ignore[method-assign]  # as above


if __name__ == "__main__":
    log_flights(Path(os.environ[FLIGHTS]))
    if wanted := os.environ.get(KILL_AT):
        name, _, number = wanted.partition(":")
        points.hook = killer(name, int(number), Path(os.environ[MARK]))
    if os.environ.get(STAGED) == "1":
        staging.DIRECT_EVENTS = 0
    main(WebchatAdapter)
