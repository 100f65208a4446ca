"""What can be made to go wrong with the calls of a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bridgekit.errors import HomeserverError, HomeserverUnreachable

T = TypeVar("T")


@dataclass
class _Fault:
    error: HomeserverError
    times: int
    lost: bool
    when: Callable[[Mapping[str, Any]], bool]


class Faulty:
    """Calls that fail, wait and lose their answers on demand."""

    def __init__(self, yields: Callable[[], int]) -> None:
        self.calls: list[str] = []
        self.on_recovered: list[Callable[[], None]] = []
        self._faults: dict[str, list[_Fault]] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._yields = yields
        self._failing = False

    def fail(
        self,
        call: str,
        error: HomeserverError,
        *,
        times: int = 1,
        lost: bool = False,
        when: Callable[[Mapping[str, Any]], bool] = lambda arguments: True,
    ) -> None:
        """Let the next `times` calls of this method (those for which `when` says so) fail. `lost`: it takes effect,
        and only the answer is lost."""
        self._faults.setdefault(call, []).append(_Fault(error, times, lost, when))

    def mend(self) -> None:
        """No more faults."""
        self._faults.clear()

    def gate(self, call: str) -> asyncio.Event:
        """Let calls of this method wait until the event is set."""
        return self._gates.setdefault(call, asyncio.Event())

    async def _do(self, call: str, effect: Callable[[], T], **arguments: Any) -> T:
        self.calls.append(call)
        if call in self._gates:
            await self._gates[call].wait()
        for _ in range(self._yields()):
            await asyncio.sleep(0)
        fault = next((each for each in self._faults.get(call, ()) if each.times > 0 and each.when(arguments)), None)
        if fault is None:
            result = effect()
            for _ in range(self._yields()):
                await asyncio.sleep(0)
            if self._failing:
                self._failing = False
                for listener in self.on_recovered:
                    listener()
            return result
        fault.times -= 1
        if fault.lost:
            effect()
        if isinstance(fault.error, HomeserverUnreachable):
            self._failing = True
        raise fault.error
