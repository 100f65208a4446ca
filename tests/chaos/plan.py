"""What is killed when: drawn from the seed before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

import msgspec

from bridgekit.runtime import points

SynapseKill = Literal["first", "together", "down"]
"""When Synapse is killed and restarted: while the bridge runs, at the same time as the bridge, while that is down."""

_ROOM_POINTS = (points.ROOM_BEFORE, points.ROOM_CREATED)
_COUNTS = {points.ROOM_BEFORE: 2, points.ROOM_CREATED: 2, points.PARTS_BETWEEN: 3} | dict.fromkeys(points.OF_FILES, 4)
"""How far into the traffic a point's kill comes at most; 12 for the others."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One kill of the bridge: when it reaches `point` for the `count`th time, or, without a point, after `delay_s`.

    `new_chats` are begun, and `long` messages of several parts and `files` sent, while the bridge runs towards its end.
    Those come besides the ones that are sent anyhow. `staged`:
    in this life every transaction is staged, however small.
    """

    point: str | None = None
    count: int = 1
    delay_s: float = 0.0
    new_chats: int = 0
    long: int = 0
    files: int = 0
    staged: bool = False
    synapse: SynapseKill | None = None
    synapse_delay_s: float = 0.0

    def __str__(self) -> str:
        where = f"{self.point}:{self.count}" if self.point else f"random, after {self.delay_s:.2f} s"
        return where + (f", Synapse {self.synapse}" if self.synapse else "")


def make_plan(random: Random, kills: int, *, at: Sequence[str], min_hits: int, synapse_every: int) -> list[Kill]:
    """`min_hits` kills at each of the points, the rest at random moments, in random order."""
    fixed = [point for point in at for _ in range(min_hits)]
    if len(fixed) > kills:
        raise ValueError(f"{kills} kills cannot hit {len(at)} points {min_hits} times each: {len(fixed)} are needed")
    targets: list[str | None] = [*fixed, *([None] * (kills - len(fixed)))]
    random.shuffle(targets)
    ways: tuple[SynapseKill, ...] = ("first", "together", "down")
    turn = random.randrange(len(ways))
    plan = []
    for number, point in enumerate(targets, start=1):
        synapse: SynapseKill | None = None
        if number % synapse_every == 0:
            synapse = ways[(turn + number // synapse_every) % len(ways)]
        plan.append(
            Kill(
                point=point,
                count=random.randint(1, _COUNTS.get(point or "", 12)),
                delay_s=random.uniform(0.3, 4.0),
                new_chats=3 if point in _ROOM_POINTS else int(random.random() < 0.15),
                # Every other life, so that what one way has left behind is found by the other.
                staged=point == points.INTAKE_STAGED or number % 2 == 0,
                long=5 if point == points.PARTS_BETWEEN else int(random.random() < 0.3),
                files=8 if point in points.OF_FILES else 0,
                synapse=synapse,
                synapse_delay_s=random.uniform(0.2, 2.5),
            )
        )
    return plan
