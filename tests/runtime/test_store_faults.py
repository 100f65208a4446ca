"""The database fails, before or after a write took effect: nothing is lost, doubled or out of order."""

from __future__ import annotations

import pytest

from bridgekit.errors import Transient
from bridgekit.testing.harness import ALICE, WRITES, Harness
from bridgekit.testing.network import Echo, FakeNetwork, Outcome, able
from tests.runtime.ends import Talk

NETWORKS = [(True, "nonce"), (True, "plain"), (False, "nonce")]


@pytest.mark.parametrize("dedupes, echo", NETWORKS)
@pytest.mark.parametrize("direct_events", [None, 0, 2])
@pytest.mark.parametrize("seed", range(4))
async def test_any_write_may_fail(dedupes: bool, echo: Echo, seed: int, direct_events: int | None) -> None:
    harness = Harness(FakeNetwork(dedupes=dedupes, echo=echo), seed=seed, direct_events=direct_events)
    harness.batch = 1 + seed
    await harness.start()
    talk = Talk(harness, {chat: await harness.portal(chat) for chat in ("one", "two")})
    harness.door.store_faults = 0.3
    harness.network.next_sends(Transient(), Outcome(), Transient(), Outcome(), Outcome(), Transient())
    for _ in range(4):
        talk.speak(3)
        await harness.settle(5)
    harness.door.store_faults = 0.0
    # Without deduplication a mark that may have been written is believed.
    await talk.compare(uncertain=0 if dedupes else 12)
    await harness.kill()


@pytest.mark.parametrize("call", sorted(WRITES - {"cancel", "repair"}))
@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("direct_events", [None, 0])
async def test_a_write_fails_for_an_hour(call: str, dedupes: bool, direct_events: int | None) -> None:
    harness = Harness(FakeNetwork(dedupes=dedupes), direct_events=direct_events)
    await harness.start()
    talk = Talk(harness, {"one": await harness.portal("one")})
    talk.speak(2)
    await harness.until(talk.arrived)
    harness.door.refused = {call}
    talk.speak(5)
    harness.network.next_sends(Transient("busy"))
    await harness.settle(3600)
    harness.door.refused = set()
    await talk.compare(uncertain=0 if dedupes else 1)
    await harness.kill()


async def test_a_mark_that_memory_lacks() -> None:
    """No deduplication, the answer lost, and the database away just then: the message is not sent a second time."""
    harness = Harness(FakeNetwork(dedupes=False, echo="none"))
    await harness.start()
    room = await harness.portal()
    gate = Outcome(ConnectionResetError(), taken=True)
    harness.network.next_sends(gate)
    take = harness.network.take

    async def take_and_break(*args: object) -> object:
        harness.door.refused = {"mark", "defer"}
        return await take(*args)  # type: ignore[arg-type]

    harness.network.take = take_and_break  # type: ignore[method-assign, assignment]
    harness.homeserver.say(room, ALICE, "once")
    await harness.settle(5)
    harness.network.take = take  # type: ignore[method-assign]
    harness.door.refused = set()
    await harness.settle(600)
    assert harness.network.texts("chat") == ["once"]
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "may not have been sent" in notice
    await harness.kill()


async def test_progress_that_memory_lacks() -> None:
    """A message of several parts, and the database away while it waits: no part is sent twice."""
    harness = Harness(FakeNetwork(dedupes=False, echo="none", limits=able(max_text_length=10)))
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(Outcome(), Transient("busy"))
    harness.door.refused = {"defer"}
    harness.homeserver.say(room, ALICE, "aaaaaaaaa bbbbbbbbb")
    await harness.settle(1)
    harness.door.refused = set()
    await harness.settle(600)
    assert [text.strip() for text in harness.network.texts("chat")] == ["aaaaaaaaa", "bbbbbbbbb"]
    await harness.kill()
