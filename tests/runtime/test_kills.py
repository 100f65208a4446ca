"""The process dies at each of the named points, and at any other moment, and is started again."""

from __future__ import annotations

import pytest

from bridgekit.runtime import points
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import Echo, FakeNetwork, able
from tests.runtime.ends import Talk

NETWORKS = [(True, "nonce"), (True, "plain"), (True, "none"), (False, "nonce"), (False, "plain")]


STAGED = [points.INTAKE_STAGED, points.APPEND_BEFORE, points.APPEND_AFTER, points.ANSWER_BEFORE, points.NETWORK_SENT]
"""Where it makes a difference whether what is pushed is staged first."""

POINTS = [
    *((p, None) for p in points.POINTS if p not in (points.PARTS_BETWEEN, points.INTAKE_STAGED, *points.OF_FILES)),
    *((p, 0) for p in STAGED),
]
"""With how many events in a transaction at most none is staged."""


async def killed_while_talking(
    network: FakeNetwork, point: str, after: int, seed: int, direct_events: int | None
) -> tuple[Harness, Talk, int]:
    harness = Harness(network, seed=seed, direct_events=direct_events)
    harness.batch = 1 + seed
    await harness.start()
    rooms = {chat: await harness.portal(chat) for chat in ("one", "two")}
    talk = Talk(harness, rooms)
    talk.speak(2)
    await harness.until(talk.arrived)
    dead = harness.kill_at(point, after=after)
    talk.speak(5)
    if point in (points.ROOM_BEFORE, points.ROOM_CREATED):
        for number in range(after + 1):
            network.say(f"new{number}", "friend", "hello")
    await harness.until(lambda: dead.is_set() or talk.arrived())
    kills = int(dead.is_set())
    await harness.kill()
    talk.speak(2)
    await harness.start()
    return harness, talk, kills


@pytest.mark.parametrize("dedupes, echo", [(True, "nonce"), (True, "plain"), (False, "nonce")])
@pytest.mark.parametrize("point, direct_events", POINTS)
async def test_killed_at_a_point(point: str, direct_events: int | None, dedupes: bool, echo: Echo) -> None:
    hits = 0
    for seed, after in enumerate((0, 2)):
        network = FakeNetwork(dedupes=dedupes, echo=echo)
        harness, talk, kills = await killed_while_talking(network, point, after, seed, direct_events)
        hits += kills
        try:
            await talk.compare(uncertain=0 if dedupes else kills)
            if point in (points.ROOM_BEFORE, points.ROOM_CREATED):
                rooms = [room for room in harness.homeserver.rooms if room not in talk.rooms.values()]
                made = [harness.homeserver.bodies(room) for room in rooms]
                assert made.count(["hello"]) == after + 1  # one room for each chat, the management room aside
        finally:
            await harness.kill()
    assert hits >= 1


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("part", [0, 1])
async def test_killed_between_the_parts_of_a_message(dedupes: bool, part: int) -> None:
    network = FakeNetwork(dedupes=dedupes, limits=able(max_text_length=10))
    harness = Harness(network, seed=part)
    await harness.start()
    room = await harness.portal()
    dead = harness.kill_at(points.PARTS_BETWEEN, after=part)
    harness.homeserver.say(room, harness.bridge.books.logins()[0].user_id, "aaaaaaaaa bbbbbbbbb ccccccccc")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(120)
    joined = [text.strip() for text in network.texts("chat")]
    if dedupes:
        assert joined == ["aaaaaaaaa", "bbbbbbbbb", "ccccccccc"]
        assert harness.homeserver.bodies(room, notices=True) == []
    else:
        # The mark says that the part was begun, and nothing says how it ended.
        assert joined == ["aaaaaaaaa", "bbbbbbbbb", "ccccccccc"][: part + 1]
        (notice,) = harness.homeserver.bodies(room, notices=True)
        assert "may not have been sent" in notice
    await harness.kill()


@pytest.mark.parametrize("direct_events", [None, 0, 2])
@pytest.mark.parametrize("dedupes, echo", NETWORKS)
async def test_killed_at_any_moment(dedupes: bool, echo: Echo, direct_events: int | None) -> None:
    for seed in range(100, 104):
        network = FakeNetwork(dedupes=dedupes, echo=echo)
        harness = Harness(network, seed=seed, direct_events=direct_events)
        rng = harness.rng
        assert rng is not None
        harness.batch = rng.randrange(1, 8)
        await harness.start()
        talk = Talk(harness, {chat: await harness.portal(chat) for chat in ("one", "two")})
        kills = 3
        for _ in range(kills):
            talk.speak(rng.randrange(1, 6))
            moments = rng.randrange(120)
            await turns(moments)
            await harness.kill()
            await harness.start()
            await turns(rng.randrange(200))
        try:
            await talk.compare(uncertain=0 if dedupes else kills)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
        finally:
            await harness.kill()


async def turns(count: int) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await one_turn()


async def one_turn() -> None:
    import asyncio

    await asyncio.sleep(0)  # noqa: TID251 - one turn, no time
