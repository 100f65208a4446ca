"""The process dies at any moment of a call, and is started again: both ends come to the same end, once."""

from __future__ import annotations

import random

import pytest

from bridgekit.model.calls import (
    CallProgress,
    MatrixCallAnswer,
    MatrixCallHangUp,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    RemoteCallAnswer,
    RemoteCallHangUp,
)
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.test_calls import COMPLETE, Scene
from tests.runtime.test_kills import turns


async def killed_and_started(scene: Scene, count: int) -> None:
    await turns(count)
    await scene.harness.kill()
    await scene.harness.start()


def no_event_twice(scene: Scene, *types: str) -> None:
    for type in types:
        assert len(scene.alice.seen(type)) <= 1, type


async def is_over(scene: Scene) -> None:
    harness = scene.harness
    await harness.until(lambda: harness.bridge.calls.live == 0, within_s=300)
    await harness.settle(1)
    assert [call for call in harness.bridge.calls._steps._open.values() if call] == []
    assert len(scene.lines()) == 1
    assert await harness.store.dead_letters() == []


@pytest.mark.parametrize("seed", range(24))
async def test_alice_calls(seed: int) -> None:
    rng = random.Random(seed)
    harness = Harness(FakeNetwork(), seed=seed)
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    steps = [rng.randrange(60) if rng.random() < 0.6 else None for _ in range(4)]
    if steps[1] is not None:
        steps[2] = None  # two deaths take 40 s, and an answer that nobody takes ends the call after 30

    async def perhaps_killed(step: int) -> None:
        if (count := steps[step]) is not None:
            await killed_and_started(scene, count)

    scene.alice.invite("c1")
    await perhaps_killed(0)
    await harness.until(lambda: bool(scene.network.told(MatrixCallOffer)), within_s=60)
    scene.remote(RemoteCallAnswer, "c1", sdp=COMPLETE)
    await perhaps_killed(1)
    await harness.until(lambda: bool(scene.alice.seen("answer")), within_s=60)
    party = scene.alice.seen("answer")[0]["party_id"]
    scene.alice.send("select_answer", "c1", selected_party_id=party)
    await perhaps_killed(2)
    await harness.until(
        lambda: any(one.progress is CallProgress.CONNECTED for one in scene.network.told(MatrixCallProgress)),
        within_s=60,
    )
    by_alice = rng.random() < 0.5
    if by_alice:
        scene.alice.send("hangup", "c1", reason="user_hangup")
    else:
        scene.remote(RemoteCallHangUp, "c1")
    await perhaps_killed(3)
    if by_alice:
        await harness.until(lambda: bool(scene.network.told(MatrixCallHangUp)), within_s=60)
        assert scene.alice.seen("hangup") == []
    else:
        await harness.until(lambda: bool(scene.alice.seen("hangup")), within_s=60)
        assert scene.network.told(MatrixCallHangUp) == []
    await is_over(scene)
    no_event_twice(scene, "answer", "hangup", "reject")
    assert {offer.call for offer in scene.network.told(MatrixCallOffer)} == {"c1"}
    await harness.stop()


@pytest.mark.parametrize("seed", range(24))
async def test_the_friend_calls(seed: int) -> None:
    rng = random.Random(seed)
    harness = Harness(FakeNetwork(), seed=seed)
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    steps = [rng.randrange(60) if rng.random() < 0.6 else None for _ in range(3)]

    async def perhaps_killed(step: int) -> None:
        if (count := steps[step]) is not None:
            await killed_and_started(scene, count)

    scene.ring()
    await perhaps_killed(0)
    await harness.until(lambda: bool(scene.alice.seen("invite")), within_s=60)
    id = scene.alice.seen("invite")[0]["call_id"]
    declines = rng.random() < 0.3
    if declines:
        scene.alice.send("reject", id)
        await perhaps_killed(1)
        await harness.until(lambda: bool(scene.network.told(MatrixCallReject)), within_s=60)
    else:
        scene.alice.answer(id)
        await perhaps_killed(1)
        await harness.until(lambda: bool(scene.network.told(MatrixCallAnswer)), within_s=60)
        scene.alice.send("hangup", id, reason="user_hangup")
        await perhaps_killed(2)
        await harness.until(lambda: bool(scene.network.told(MatrixCallHangUp)), within_s=60)
    await is_over(scene)
    no_event_twice(scene, "invite", "select_answer", "hangup")
    await harness.stop()
