"""Group commit: writes that wait together go to disk together, in one SQL transaction.

While one commit waits for the disk, more writes gather; the next commit takes them all, up to a bound. A write's
caller gets its answer only after the commit. Whoever is cancelled while waiting is left out; a commit that has begun is
carried to its end by a task of its own, so a cancelled caller never leaves a SQL transaction open.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final

from bridgekit.core.histogram import Histogram
from bridgekit.errors import StoreUnavailable
from bridgekit.store.program import Program

MAX_OPERATIONS = 500
"""In one SQL transaction: bounds how long the first of them waits for the last."""

MAX_WEIGHT = 2_000
"""In one SQL transaction: entries, completions and facts. A single heavier operation still goes as one."""


class Operation:
    """One caller's write. `program` takes the arguments of several operations that have the same `family` (None: it
    stands alone) and returns their results in order. `urgent`: it may be committed before what was queued earlier."""

    __slots__ = ("argument", "family", "future", "program", "urgent", "weight")

    def __init__(
        self,
        program: Callable[[Sequence[Any]], Program[list[Any]]],
        argument: Any,
        *,
        family: Hashable = None,
        weight: int = 1,
        urgent: bool = False,
    ) -> None:
        self.program: Final = program
        self.argument: Final = argument
        self.family: Final = family
        self.weight: Final = weight
        self.urgent: Final = urgent
        self.future: Final[asyncio.Future[Any]] = asyncio.get_running_loop().create_future()


class Group:
    """Operations that run as one program."""

    __slots__ = ("operations",)

    def __init__(self, first: Operation) -> None:
        self.operations: Final = [first]

    def start(self) -> Program[list[Any]]:
        """A fresh run of the program; may be called again after a rollback."""
        return self.operations[0].program([operation.argument for operation in self.operations])


Commit = Callable[[Sequence[Group]], Awaitable[list[list[Any]]]]
"""Run the groups in one SQL transaction and return when it is on disk: the results, group by group. If anything raises,
nothing was written, or it is `StoreUnavailable`."""


class GroupCommit:
    """The queue in front of a database's one writer."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self.seconds: Final = Histogram()
        """How long each SQL transaction took that reached the disk, from its begin to its commit."""
        self._waiting: deque[Operation] = deque()
        self._urgent: deque[Operation] = deque()
        self._was_urgent = False
        self._wakeup = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="group commit")

    async def write(self, operation: Operation) -> Any:
        """Its result, once it is on disk. Raises what the program raises, or `StoreUnavailable`."""
        if self._task is None or self._closing:
            raise StoreUnavailable("the database is closed")
        (self._urgent if operation.urgent else self._waiting).append(operation)
        self._wakeup.set()
        return await operation.future

    async def close(self) -> None:
        """Commit what waits; take nothing more."""
        self._closing = True
        self._wakeup.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            while True:
                if self._waiting or self._urgent:
                    await self._write(self._take())
                elif self._closing:
                    return
                else:
                    self._wakeup.clear()
                    await self._wakeup.wait()
        finally:
            # Only if the event loop is being torn down; nobody may wait for an answer that never comes.
            for operation in (*self._urgent, *self._waiting):
                operation.future.cancel()

    def _take(self) -> list[Operation]:
        # Who is in a hurry does not wait for the others' work, and does not hold them up twice in a row.
        self._was_urgent = bool(self._urgent) and not (self._was_urgent and self._waiting)
        waiting = self._urgent if self._was_urgent else self._waiting
        batch: list[Operation] = []
        weight = 0
        while waiting and len(batch) < MAX_OPERATIONS:
            if batch and weight + waiting[0].weight > MAX_WEIGHT:
                break
            operation = waiting.popleft()
            if not operation.future.done():  # its caller was cancelled
                batch.append(operation)
                weight += operation.weight
        return batch

    async def _write(self, batch: Sequence[Operation]) -> None:
        groups = group(batch)
        begin = time.perf_counter()
        try:
            results = await self._commit(groups)
        except StoreUnavailable as error:
            for operation in batch:
                if not operation.future.done():
                    operation.future.set_exception(_again(error))
        except asyncio.CancelledError:
            for operation in batch:
                operation.future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is handed to the caller that it belongs to
            if len(batch) > 1:
                # One of them is at fault. The whole batch was rolled back: each gets a SQL transaction of its own.
                for operation in batch:
                    await self._write([operation])
            elif batch and not batch[0].future.done():
                batch[0].future.set_exception(error)
        else:
            self.seconds.observe(time.perf_counter() - begin)
            for part, values in zip(groups, results, strict=True):
                for operation, value in zip(part.operations, values, strict=True):
                    if not operation.future.done():
                        operation.future.set_result(value)


def group(operations: Sequence[Operation]) -> list[Group]:
    """Neighbours of one family together; the order stays."""
    groups: list[Group] = []
    for operation in operations:
        last = groups[-1].operations[0] if groups else None
        if last is not None and operation.family is not None and operation.family == last.family:
            groups[-1].operations.append(operation)
        else:
            groups.append(Group(operation))
    return groups


def _again(error: StoreUnavailable) -> StoreUnavailable:
    # One exception object for many callers would collect the tracebacks of them all.
    copy = StoreUnavailable(str(error))
    copy.__cause__ = error.__cause__
    return copy
