"""One slot per key in which only the latest counts: what is said too often is left out, and nothing queues up.

A table says what is `due`; the caller carries it out and says when that has `ended`. In between the key is busy: one
call per key at a time. Times are in ms of any clock that never goes back. Nothing here knows what the values mean.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Table(Protocol[K, V]):
    """What `Latest` and `Lasting` have in common."""

    def due(self, now: int, limit: int) -> list[tuple[K, V]]:
        """What is to be carried out now, `limit` at most; each key is busy until `ended`."""

    def ended(self, key: K, now: int, *, done: bool) -> None:
        """It was carried out, or it failed and is not to be tried again."""

    def next_at(self, now: int) -> int | None:
        """When something will be due, if nothing else happens; None: not by the time alone."""

    def clear(self) -> None:
        """Forget everything that waits."""

    def __len__(self) -> int:
        """How many slots there are to look through."""


class _Busy(Generic[K]):
    """Which keys are busy, and how many of each group (a login, for instance), so that none takes all there is."""

    def __init__(self, group: Callable[[K], Hashable] | None, per_group: int) -> None:
        self._group = group
        self._per_group = per_group
        self._keys: set[K] = set()
        self._groups: dict[Hashable, int] = {}

    def is_free(self, key: K) -> bool:
        if key in self._keys:
            return False
        return self._group is None or self._groups.get(self._group(key), 0) < self._per_group

    def __contains__(self, key: K) -> bool:
        return key in self._keys

    def begin(self, key: K) -> None:
        self._keys.add(key)
        if self._group is not None:
            group = self._group(key)
            self._groups[group] = self._groups.get(group, 0) + 1

    def end(self, key: K) -> None:
        self._keys.discard(key)
        if self._group is not None:
            group = self._group(key)
            left = self._groups.get(group, 0) - 1
            if left > 0:
                self._groups[group] = left
            else:
                self._groups.pop(group, None)


class Latest(Generic[K, V]):
    """The latest value of each key is told once, at most every `every_ms`. When `size` keys wait, the one that has
    waited longest is forgotten."""

    def __init__(
        self, *, every_ms: int, size: int, group: Callable[[K], Hashable] | None = None, per_group: int = 1
    ) -> None:
        self._every_ms = every_ms
        self._size = size
        self._waiting: dict[K, V] = {}
        self._begun: dict[K, int] = {}  # within the last `every_ms`, in this order
        self._busy: _Busy[K] = _Busy(group, per_group)

    def offer(self, key: K, value: V) -> None:
        """This is what counts now; what waited under this key does not any more."""
        if key not in self._waiting and len(self._waiting) >= self._size:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[key] = value

    def due(self, now: int, limit: int) -> list[tuple[K, V]]:
        """See `Table.due`."""
        self._forget_old(now)
        found: list[tuple[K, V]] = []
        for key, value in self._waiting.items():
            if len(found) >= limit:
                break
            if key not in self._begun and self._busy.is_free(key):
                self._busy.begin(key)
                self._begun[key] = now
                found.append((key, value))
        for key, _ in found:
            del self._waiting[key]
        return found

    def ended(self, key: K, now: int, *, done: bool) -> None:
        """See `Table.ended`."""
        self._busy.end(key)

    def next_at(self, now: int) -> int | None:
        """See `Table.next_at`."""
        times = [self._begun.get(key, now - self._every_ms) for key in self._waiting if self._busy.is_free(key)]
        return max(now, min(times) + self._every_ms) if times else None

    def clear(self) -> None:
        """See `Table.clear`."""
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    def _forget_old(self, now: int) -> None:
        for key in list(self._begun):
            if self._begun[key] + self._every_ms > now:
                return
            del self._begun[key]


class _Slot:
    __slots__ = ("begun", "telling", "told", "until")

    def __init__(self) -> None:
        self.until = 0
        self.begun: int | None = None  # when it was last told, or begun to be told, that it lasts
        self.told = False  # as far as the other side knows, it lasts
        self.telling = False  # what is being told just now


class Lasting(Generic[K]):
    """Something lasts for a time: told at its beginning, again every `repeat_ms`, and once when it ends.

    Its beginning is told at most every `gap_ms`, its end at once. What failed is forgotten until it begins anew. When
    `size` keys last, others are not begun.

    The value of `due` is for how many ms it still lasts; 0: it has ended.
    """

    def __init__(
        self,
        *,
        repeat_ms: int,
        gap_ms: int,
        size: int,
        group: Callable[[K], Hashable] | None = None,
        per_group: int = 1,
    ) -> None:
        self._repeat_ms = repeat_ms
        self._gap_ms = gap_ms
        self._size = size
        self._slots: dict[K, _Slot] = {}
        self._busy: _Busy[K] = _Busy(group, per_group)

    def offer(self, key: K, lasts_ms: int, now: int) -> bool:
        """From now on it lasts so long; 0: it has ended. Whether that makes a difference."""
        slot = self._slots.get(key)
        if slot is None:
            if lasts_ms <= 0:
                return False
            if len(self._slots) >= self._size:
                self._forget_idle(now)
                if len(self._slots) >= self._size:
                    return False
            slot = self._slots[key] = _Slot()
        slot.until = now + max(lasts_ms, 0)
        return True

    def due(self, now: int, limit: int) -> list[tuple[K, int]]:
        """See `Table.due`."""
        self._forget_idle(now)
        found: list[tuple[K, int]] = []
        for key, slot in self._slots.items():
            if len(found) >= limit:
                break
            at = self._at(slot, now)
            if at is None or at > now or not self._busy.is_free(key):
                continue
            rest = max(slot.until - now, 0)
            slot.telling = rest > 0
            if slot.telling:
                slot.begun = now
            self._busy.begin(key)
            found.append((key, rest))
        return found

    def ended(self, key: K, now: int, *, done: bool) -> None:
        """See `Table.ended`."""
        self._busy.end(key)
        slot = self._slots.get(key)
        if slot is None:
            return
        if done:
            slot.told = slot.telling
        else:
            del self._slots[key]

    def next_at(self, now: int) -> int | None:
        """See `Table.next_at`."""
        times = [
            at
            for key, slot in self._slots.items()
            if self._busy.is_free(key) and (at := self._at(slot, now)) is not None
        ]
        return max(now, min(times)) if times else None

    def clear(self) -> None:
        """See `Table.clear`."""
        self._slots = {key: slot for key, slot in self._slots.items() if key in self._busy}

    def __len__(self) -> int:
        return len(self._slots)

    def _at(self, slot: _Slot, now: int) -> int | None:
        """When something is to be told of it next."""
        if slot.until <= now:
            return now if slot.told else None
        if slot.begun is None:
            return now
        return min(slot.begun + self._repeat_ms, slot.until) if slot.told else slot.begun + self._gap_ms

    def _forget_idle(self, now: int) -> None:
        """What is over and told; kept as long as its next beginning has to wait."""
        idle = [
            key
            for key, slot in self._slots.items()
            if slot.until <= now
            and not slot.told
            and key not in self._busy
            and (slot.begun is None or slot.begun + self._gap_ms <= now)
        ]
        for key in idle:
            del self._slots[key]
