"""How many messages may be uncertain: at most what was in flight when the bridge was killed.

A message is in flight from the moment in which its mark is written ("from now on it must not be repeated") until its
end is on disk; the bridge's process is watched at its store (`bridge.log_flights`). A room's lane is strictly ordered,
so at one kill at most ONE message of a room is in flight. The bound is the number of rooms with one, summed over the
kills; and each uncertain message needs such a kill for itself alone, after it was accepted and before its sender was
told.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.judge import Way


def read_flights(path: Path, kills: Sequence[int]) -> dict[str, list[int]]:
    """Room -> the kills (times in ms, ascending) at which a message of it was in flight."""
    begun: dict[str, int] = {}
    numbers: dict[str, str] = {}
    found: dict[str, list[int]] = {}

    def next_kill(at: int) -> int:
        return bisect_left(kills, at)

    def ended(room: str, at: float) -> None:
        """What began in this room did so before `at`: was its process killed in between?"""
        if room in begun and (kill := next_kill(begun.pop(room))) < len(kills) and kills[kill] < at:
            found.setdefault(room, []).append(kills[kill])

    for line in path.read_text(encoding="utf-8").splitlines():
        sign, at, room, number = line.split(" ")
        if sign == "-" and number != numbers.get(room):
            continue  # a change before it, which the lane goes on from before its end is on disk
        ended(room, int(at))
        if sign == "+":
            begun[room], numbers[room] = int(at), number
    for room in list(begun):
        ended(room, math.inf)
    return found


def unexplained(ways: Sequence[Way], flights: dict[str, list[int]]) -> list[str]:
    """The uncertain messages that no kill explains."""
    problems = []
    for way in ways:
        free = list(flights.get(way.room, []))
        for message in way.accepted:
            report, told_at = way.reports.get(message.id, ("", 0))
            if report != "uncertain":
                continue
            kill = next((kill for kill in free if message.at <= kill <= told_at), None)
            if kill is None:
                problems.append(
                    f"uncertain without a kill: {way.name}: {message.token} ({message.id}), accepted {message.at}, "
                    f"told {told_at}, in flight at {flights.get(way.room)}"
                )
            else:
                free.remove(kill)
    return problems
