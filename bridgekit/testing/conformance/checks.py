"""One check of the suite: what it needs to run at all, how it runs, and how it says what is wrong."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from bridgekit.adapter.capability import Capability
from bridgekit.errors import AuthFailed, NotSupported, Rejected, Transient, Uncertain
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.testing.conformance.remote import has
from bridgekit.testing.harness import Killed

if TYPE_CHECKING:
    from bridgekit.testing.conformance.scene import Scene

T = TypeVar("T")
POLL_S = 0.01
TESTS_PATIENCE = 20
"""A whole test may take so many times what a step may take."""


class Fault(AssertionError):
    """What is wrong with the adapter, in words for its author."""


class NotHere(Exception):
    """This check says nothing about this adapter, and why."""


def show(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}({error})" if str(error) else type(error).__name__


def trace(error: BaseException) -> str:
    """Where an error came from."""
    return "\n\n" + "".join(traceback.format_exception(error)).rstrip()


# --- what a check needs -----------------------------------------------------------------------------------------------
Need = type[Capability] | str
"""A capability of the session, or the name of an optional part of the driver."""


def check(
    *needs: Need,
) -> Callable[[Callable[[Any, Scene], Coroutine[Any, Any, None]]], Callable[[Any, Path], None]]:
    """Make a test of a coroutine that is given a `Scene`. It is skipped where something of `needs` is not there.

    The test is a plain function, so that the author needs no plugin of pytest's, and no mode of one.
    """

    def decorate(body: Callable[[Any, Scene], Coroutine[Any, Any, None]]) -> Callable[[Any, Path], None]:
        def test(self: Any, tmp_path: Path) -> None:
            from bridgekit.testing.conformance.scene import Scene

            _of_driver(needs, self.remote)

            async def run() -> None:
                async with Scene.of(self.adapter, self.remote, tmp_path) as scene:
                    await scene.require(*(need for need in needs if not isinstance(need, str)))
                    if "stranger" in needs and scene.remote.stranger is None:
                        raise NotHere(f"{self.remote.__name__}.stranger is None")
                    await body(self, scene)

            seconds = TESTS_PATIENCE * self.remote.patience_s
            hangs = f"this test had not ended after {seconds:g} s: something of {self.remote.__name__} does not return"
            reason = fault = ""
            try:
                run_alone(within(seconds, run(), hangs))
            except NotHere as error:
                reason = str(error)
            except Fault as error:
                fault = str(error)
            # Outside of the handlers, or pytest would show all of it twice.
            if fault:
                pytest.fail(fault, pytrace=False)
            if reason:
                pytest.skip(reason)

        test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
        test.__module__ = body.__module__
        return test

    return decorate


def _of_driver(needs: tuple[Need, ...], remote: Any) -> None:
    for need in needs:
        if isinstance(need, str) and not has(remote, need):
            what = "is False" if isinstance(getattr(remote, need), bool) else "is not there"
            pytest.skip(f"{remote.__name__}.{need} {what}")


def run_alone(work: Coroutine[Any, Any, T]) -> T:
    """Run it on an event loop of its own, which no plugin and no other test shares."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_not_of_the_dead)
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _not_of_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a killed bridge leaves behind is collected in silence."""
    if not isinstance(context.get("exception"), Killed):
        loop.default_exception_handler(context)


# --- waiting ----------------------------------------------------------------------------------------------------------
async def within(seconds: float, work: Awaitable[T], otherwise: str) -> T:
    """The result; a `Fault` with these words if there is none in time. The work is cancelled then."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise Fault(otherwise)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(seconds: float, look: Callable[[], Awaitable[T | None]], otherwise: Callable[[], str] | str) -> T:
    """Look until there is something (not None, not False), or fail with these words."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        seen = await look()
        if seen is not None and seen is not False:
            return seen
        if loop.time() >= end:
            raise Fault(otherwise if isinstance(otherwise, str) else otherwise())
        await asyncio.sleep(POLL_S)


# --- what may be raised -----------------------------------------------------------------------------------------------
POLICY: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((NotSupported,), "NotSupported", "it ends there, and its sender reads why"),
    ((Rejected,), "Rejected", "it ends there, and its sender reads why"),
    ((Transient,), "Transient", "the chat's queue waits and it is tried again"),
    ((Uncertain,), "Uncertain", "its sender is told that it may not have been sent, and it is never repeated"),
    ((AuthFailed,), "AuthFailed", "everything waits until its person has logged in again"),
    (CONNECTION_ERRORS, "a connection error", "it is repeated if the network drops repeats, else it is uncertain"),
)
"""What an author may raise (docs/reference/policy.md), and what follows. The first that fits counts."""


def kind_of(error: BaseException) -> str:
    """The row of `POLICY`; ``""`` for anything else, which is a bug in the adapter."""
    return next((name for types, name, _ in POLICY if isinstance(error, types)), "")


def wrong_error(call: str, error: BaseException, situation: str, wanted: str) -> Fault:
    """The fault of an adapter that raised the wrong kind of error."""
    name = kind_of(error)
    follows = next((what for _, each, what in POLICY if each == name), "bridgekit takes that for a bug in the adapter")
    said = show(error)
    return Fault(f"{situation}, and {call} raised {said}: {follows}. Raise {wanted} here.{trace(error)}")


async def raised(call: str, work: Awaitable[object], patience_s: float) -> tuple[BaseException | None, object]:
    """What a call of the adapter raised (None: nothing), and what it returned."""
    try:
        result = await within(patience_s, work, f"{call} neither returned nor raised within {patience_s:g} s")
    except Fault:
        raise
    except asyncio.CancelledError as error:
        return error, None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the adapter's answer, and judged by the caller
        return error, None
    return None, result


async def done(call: str, work: Awaitable[T], patience_s: float) -> T:
    """The result of a call of the adapter that must succeed."""
    error, result = await raised(call, work, patience_s)
    if error is not None:
        raise Fault(f"{call} failed, though nothing was wrong: {show(error)}{trace(error)}")
    return result  # type: ignore[return-value]  # nothing was raised, so it is what the call returned
