"""How many entries the lanes keep in memory: a flood fills the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridgekit.model.entry import Entry
from bridgekit.model.ids import LaneKey
from bridgekit.runtime.lane import Lane

BUFFER_PER_LANE: Final = 100
"""Entries of one lane kept in memory; the rest waits on disk."""

BUFFER_TOTAL: Final = 20_000
"""Entries of all lanes together that may be kept in memory; a lane beyond that keeps only its head."""

BUFFER_BYTES: Final = 64 * 1024 * 1024
"""The same bound in bytes of raw events."""

POSITIONS: Final = 20_000
"""Idle lanes of which it is remembered how far they were read."""


class Buffers:
    """Puts entries into lanes' buffers and takes them out, and keeps count."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0
        self._positions: dict[LaneKey, int] = {}
        self.on_put: Callable[[Entry], None] = lambda entry: None
        """Told of each entry that comes into memory; must neither block nor raise."""

    def limit(self) -> int:
        """How many entries a lane whose buffer is empty may take."""
        return 1 if self._is_full() else BUFFER_PER_LANE

    def has_room(self, lane: Lane) -> bool:
        return len(lane.buffer) < BUFFER_PER_LANE and not self._is_full()

    def _is_full(self) -> bool:
        return self.entries >= BUFFER_TOTAL or self.bytes >= BUFFER_BYTES

    def put(self, lane: Lane, entry: Entry) -> None:
        lane.buffer.append(entry)
        lane.taken = entry.seq
        self.entries += 1
        self.bytes += len(entry.payload)
        self.on_put(entry)

    def pop(self, lane: Lane) -> None:
        """The head has ended."""
        entry = lane.buffer.popleft()
        self.entries -= 1
        self.bytes -= len(entry.payload)

    def forget(self, lane: Lane) -> None:
        """Let the lane be read anew from the journal."""
        while lane.buffer:
            self.pop(lane)
        lane.taken = 0
        lane.behind = True
        lane.offers += 1

    # --- lanes that have nothing to do ------------------------------------------------------------------------------
    def leave(self, lane: Lane) -> None:
        """All that an idle lane needs is how far it was read."""
        self._positions[lane.key] = lane.taken
        if len(self._positions) > POSITIONS:
            del self._positions[next(iter(self._positions))]

    def enter(self, lane: Lane) -> None:
        lane.taken = self._positions.pop(lane.key, 0)
