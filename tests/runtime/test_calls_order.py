"""What a call has said stays in its order, and is said once: where the adapter hangs, where the disk is away, and where
the room is replaced under it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridgekit.model.calls import (
    Candidate,
    RemoteCallCandidates,
)
from bridgekit.model.limits import Limits
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.test_calls import Scene, connected_in


async def started(network: FakeNetwork) -> Scene:
    harness = Harness(network)
    await harness.start()
    return Scene(harness, await harness.portal("chat"))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = await started(FakeNetwork())
    yield scene
    await scene.harness.stop()


@pytest.fixture
async def trickling() -> AsyncIterator[Scene]:
    """At a network that trickles."""
    scene = await started(FakeNetwork(limits=Limits(trickle="trickle")))
    yield scene
    await scene.harness.stop()


# --- a disk that is away --------------------------------------------------------------------------------------------
def candidates(scene: Scene) -> list[str]:
    """What Alice was given of the friend's, in order."""
    return [one["candidate"] for each in scene.alice.seen("candidates") for one in each["candidates"]]


def finds(scene: Scene, port: int) -> str:
    """The friend has found another candidate."""
    candidate = f"candidate:{port} 1 udp 2122260223 192.0.2.7 {port} typ host generation 0 ufrag abcd"
    scene.remote(RemoteCallCandidates, "r1", candidates=(Candidate(candidate, "0", 0, "abcd"),))
    return candidate


@pytest.mark.parametrize("killed", [True, False])
async def test_no_event_takes_the_transaction_id_of_another(trickling: Scene, killed: bool) -> None:
    """Candidates are sent a moment after they came. Sent before that is on disk, they would use the id up under which
    after a crash they go together with the next ones, of which the homeserver would then say that it has them."""
    scene = trickling
    await connected_in(scene)
    await scene.harness.settle(1)
    before = candidates(scene)
    scene.harness.door.refused = {"record"}
    first = finds(scene, 1001)
    await scene.harness.settle(5)
    if killed:
        await scene.harness.kill()
    second = finds(scene, 1002)
    scene.harness.door.refused = set()
    if killed:
        await scene.harness.start()
    await scene.harness.settle(5)
    assert candidates(scene)[len(before) :] == [first, second]


async def test_what_is_due_while_the_disk_is_away_is_said_when_it_is_back(scene: Scene) -> None:
    scene.ring()
    await scene.alice.see("invite")
    scene.harness.door.refused = {"record"}
    await scene.harness.settle(120)
    assert scene.harness.bridge.calls.live == 0 and scene.alice.seen("hangup") == []
    scene.harness.door.refused = set()
    hangup = await scene.alice.see("hangup")
    assert hangup["reason"] == "invite_timeout"
    await scene.harness.settle(5)
    assert len(scene.lines()) == 1
