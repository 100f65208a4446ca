"""A network that drops no repeats and can be asked (`CanConfirm`): after a crash nothing is uncertain."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.errors import Rejected, Transient
from bridgekit.model.remote import Sent
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork
from tests.runtime.ends import Talk


@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
@pytest.mark.parametrize("point", [points.APPEND_AFTER, points.ANSWER_BEFORE, points.NETWORK_SENT])
async def test_killed_at_a_point(point: str, echo: Echo) -> None:
    harness = Harness(FakeNetwork(dedupes=False, confirms=True, echo=echo), seed=1)
    await harness.start()
    talk = Talk(harness, {chat: await harness.portal(chat) for chat in ("one", "two")})
    dead = harness.kill_at(point)
    talk.speak(5)
    await harness.until(dead.is_set)
    await harness.kill()
    talk.speak(2)
    await harness.start()
    assert await talk.compare(uncertain=0) == 0
    await harness.kill()


async def killed_in_a_send(network: FakeNetwork) -> Harness:
    """Nobody wrote down whether the network took the message: it did."""
    harness = Harness(network)
    await harness.start()
    room = await harness.portal()
    dead = harness.kill_at(points.NETWORK_SENT)
    harness.homeserver.say(room, ALICE, "once")
    await harness.until(dead.is_set)
    await harness.kill()
    return harness


async def test_the_network_cannot_say_now(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FakeNetwork(dedupes=False, confirms=True, echo="none")
    harness = await killed_in_a_send(network)
    (room,) = (each for each in harness.homeserver.rooms if "hello" in harness.homeserver.bodies(each))
    find, asked = network.find, 0

    def busy_once(*what: Any) -> Sent | None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Transient("busy")
        return find(*what)

    monkeypatch.setattr(network, "find", busy_once)
    await harness.start()
    await harness.settle(60)
    assert (asked, network.texts("chat")) == (2, ["once"])
    assert harness.homeserver.bodies(room, notices=True) == []
    await harness.kill()


async def test_the_network_can_never_say(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FakeNetwork(dedupes=False, confirms=True, echo="none")
    harness = await killed_in_a_send(network)
    (room,) = (each for each in harness.homeserver.rooms if "hello" in harness.homeserver.bodies(each))

    def refuse(*what: Any) -> Sent | None:
        raise Rejected("no history here")

    monkeypatch.setattr(network, "find", refuse)
    await harness.start()
    await harness.settle(60)
    assert network.texts("chat") == ["once"]
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "may not have been sent" in notice
    await harness.kill()
