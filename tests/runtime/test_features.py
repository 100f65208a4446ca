"""Each portal's room says what its network can carry, and costs nothing after that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgekit.core.features import FALLBACK, FULL, REJECTED, ROOM_FEATURES
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import RoomID
from bridgekit.model.limits import Limits
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork, able

KEY = "bridgekit://fake//chat"


def shown(harness: Harness, room: RoomID) -> dict[str, Any] | None:
    return harness.homeserver.rooms[room].state.get((ROOM_FEATURES, KEY))


def asked(harness: Harness) -> int:
    """How often the homeserver was asked for state, or given some."""
    return sum(call in ("get_state", "send_state") for call in harness.homeserver.calls)


def is_features(arguments: Mapping[str, Any]) -> bool:
    return bool(arguments["type"] == ROOM_FEATURES)


async def test_a_new_room_says_it_and_a_message_costs_nothing_for_it(harness: Harness) -> None:
    room = await harness.portal()
    features = shown(harness, room)
    assert features is not None
    assert (features["edit"], features["thread"], features["poll"]) == (FULL, FALLBACK, REJECTED)
    before = asked(harness)
    for number in range(3):
        harness.network.say("chat", "friend", f"{number}")
    await harness.settle()
    assert asked(harness) == before
    levels = harness.homeserver.rooms[room].state["m.room.power_levels", ""]
    assert levels["events"][ROOM_FEATURES] == 100


async def test_after_a_restart_the_disk_knows_it_and_a_new_adapter_changes_it() -> None:
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    before = shown(harness, room)
    for limits, thread in ((able(), FALLBACK), (able(threads=True), FULL)):
        await harness.stop()
        harness.network.limits = limits
        await harness.start()
        sent = harness.homeserver.calls.count("send_state")
        harness.network.say("chat", "friend", "again")
        await harness.settle()
        now = shown(harness, room)
        assert now is not None and now["thread"] == thread
        assert harness.homeserver.calls.count("send_state") - sent == (now != before)
    await harness.kill()


async def test_a_crash_before_it_is_on_disk_writes_nothing_twice() -> None:
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    await harness.stop()
    harness.network.limits = able(threads=True)
    await harness.start()
    harness.homeserver.fail("send_state", HomeserverUnreachable("away", endpoint="x"), lost=True, when=is_features)
    sent = harness.homeserver.calls.count("send_state")
    harness.network.say("chat", "friend", "again")
    await harness.until(lambda: "again" in harness.homeserver.bodies(room))
    assert (shown(harness, room) or {})["thread"] == FULL
    assert harness.homeserver.calls.count("send_state") - sent == 1  # it took effect; what is so is not written
    await harness.kill()


async def test_a_room_in_which_the_bot_may_not_say_it(harness: Harness) -> None:
    harness.homeserver.fail("send_state", MatrixRequestError(403, "M_FORBIDDEN", "no"), times=99, when=is_features)
    room = await harness.portal()
    harness.network.say("chat", "friend", "and on")
    await harness.settle()
    assert harness.homeserver.bodies(room) == ["hello", "and on"]
    assert shown(harness, room) is None


class Broken(FakeNetwork):
    """An adapter that breaks its word: its limits raise."""

    @property
    def limits(self) -> Limits:
        raise RuntimeError("no limits")

    @limits.setter
    def limits(self, limits: Limits) -> None:
        pass


async def test_an_adapter_that_cannot_say_it_costs_no_message() -> None:
    harness = Harness(Broken())
    await harness.start()
    room = await harness.portal()
    assert harness.homeserver.bodies(room) == ["hello"]
    await harness.kill()
