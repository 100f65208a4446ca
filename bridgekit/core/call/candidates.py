"""When a description has candidates enough for a network without trickle ICE, and where candidates wait that came
before their call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from bridgekit.core.call import sdp
from bridgekit.model.calls import Candidate, SDPType, Trickle

OFFER_MS: Final = 3_000
"""So long an offer waits for candidates. Many clients never say that there are no more."""

ANSWER_MS: Final = 1_200
QUIET_MS: Final = 600
"""So long an answer waits at most, and after its last candidate: the two people are waiting, too."""

BATCH_MS: Final = 200
"""MSC2746: "A delay of around 200ms is suggested as a starting point." """

STASH_MS: Final = 30_000
STASH_KEYS: Final = 200
STASH_BYTES: Final = 4 * 1024 * 1024


class Gathering(msgspec.Struct, frozen=True):
    """A description of Matrix's that waits for candidates since `since`; `last`: when the last one came. In ms."""

    sdp: str
    sdp_type: SDPType
    since: int
    last: int


def must_gather(trickle: Trickle, sdp_type: SDPType) -> bool:
    """Whether a description must have its candidates before this network may see it."""
    # RFC 8838, "half trickle": the first offer is complete; who answers it may trickle.
    return trickle == "none" or (trickle == "half" and sdp_type == "offer")


def due_at(gathering: Gathering, pool: Iterable[Candidate], *, ended: bool) -> int:
    """When the description goes on, with what there is then; a time in the past means now."""
    facts = sdp.facts(gathering.sdp)
    deadline = gathering.since + (OFFER_MS if gathering.sdp_type == "offer" else ANSWER_MS)
    if not facts.candidates and not has_usable(gathering.sdp, pool):
        return deadline
    if ended or facts.complete:
        return gathering.since
    return deadline if gathering.sdp_type == "offer" else min(deadline, gathering.last + QUIET_MS)


def has_usable(text: str, pool: Iterable[Candidate]) -> bool:
    """Whether one of these candidates can be used with this description."""
    ufrags = sdp.facts(text).ufrags
    return any(sdp.usable(one) and sdp.belongs(one, ufrags) for one in pool)


def complete(text: str, pool: Iterable[Candidate]) -> str | None:
    """The description with its candidates; None if it would have none: who cannot trickle must never see that."""
    merged = sdp.merge(text, pool)
    return merged if sdp.facts(merged).candidates else None


class Stash:
    """Candidates, and ends of calls, that came before their call did: bounded in number, size and time."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], tuple[int, list[object], list[int]]] = {}
        self._bytes = 0

    def put(self, key: tuple[str, ...], what: object, now: int, *, size: int = 0) -> None:
        """`size` in bytes, roughly."""
        self.expire(now)
        _, kept, sizes = self._held.setdefault(key, (now, [], []))
        if len(kept) < 16:
            kept.append(what)
            sizes.append(size)
            self._bytes += size
        while len(self._held) > STASH_KEYS or self._bytes > STASH_BYTES:
            self._drop(next(iter(self._held)))

    def take(self, key: tuple[str, ...], now: int) -> list[object]:
        self.expire(now)
        return self._drop(key) if key in self._held else []

    def next_timer(self) -> int | None:
        return min((since + STASH_MS for since, _, _ in self._held.values()), default=None)

    def expire(self, now: int) -> None:
        for key in [key for key, (since, _, _) in self._held.items() if since + STASH_MS <= now]:
            self._drop(key)

    def _drop(self, key: tuple[str, ...]) -> list[object]:
        _, kept, sizes = self._held.pop(key)
        self._bytes -= sum(sizes)
        return kept

    def __len__(self) -> int:
        return sum(len(kept) for _, kept, _ in self._held.values())
