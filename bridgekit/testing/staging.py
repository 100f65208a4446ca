"""The part of `MemoryJournal` that keeps pushed transactions until they are unpacked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import msgspec

from bridgekit.model.entry import Append, NewStaged, Staged


@dataclass
class Intake:
    """What a database would hold of them, by number."""

    rows: dict[int, Staged] = field(default_factory=dict)
    last: int = 0

    def unstage(self, append: Append) -> bool:
        """Forget what `append` was unpacked from. False if nothing of it is there: it was done before."""
        found = [number for number in append.unstage if self.rows.pop(number, None) is not None]
        return bool(found) or not append.unstage


class MemoryIntake(ABC):
    """The methods of `bridgekit.ports.Journal` for them."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    @abstractmethod
    async def _reading(self) -> None: ...

    @abstractmethod
    async def _writing(self, epoch: int | None) -> None: ...

    async def stage(self, staged: NewStaged, *, epoch: int) -> int:
        await self._writing(epoch)
        self._intake.last += 1
        self._intake.rows[self._intake.last] = Staged(number=self._intake.last, **msgspec.structs.asdict(staged))
        return self._intake.last

    async def staged(self, *, after: int = 0, limit: int = 100, max_bytes: int = 1 << 20) -> list[Staged]:
        await self._reading()
        found: list[Staged] = []
        for number, row in sorted(self._intake.rows.items()):
            if number <= after:
                continue
            if found and (len(found) == limit or sum(len(each.body) for each in (*found, row)) > max_bytes):
                break
            found.append(row)
        return found
