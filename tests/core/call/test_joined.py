"""Two ends joined by a book of calls, over links that delay, repeat and reorder: whatever the two people do, both ends
come to an end that agrees, and nothing is left behind."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgekit.model.calls import Trickle
from tests.core.call.ends import START, MatrixClient, RemoteEnd, World

ACTIONS = ("answer", "decline", "hang_up", "hold", "mute")
TRICKLES: tuple[Trickle, ...] = ("none", "half", "trickle")


def begun(world: World, by: str) -> tuple[MatrixClient | RemoteEnd, MatrixClient | RemoteEnd]:
    """(who calls, who is called)."""
    if by == "matrix":
        world.matrix.call()
        return world.matrix, world.remote
    world.remote.call()
    return world.remote, world.matrix


def agrees(world: World) -> None:
    """Let time pass, and end what still goes on: then nothing is left."""
    world.run(world.now + 3 * 60_000)
    both = (world.matrix, world.remote)
    assert {one.status for one in both} in ({"connected"}, {"ended"}, {"none", "ended"}), [one.status for one in both]
    if world.matrix.status == "connected":
        assert not any(one.offering for one in both), "an offer without an answer"
        world.remote.hang_up()
        world.run(world.now + 60_000)
    assert {one.status for one in both} in ({"ended"}, {"none", "ended"})
    assert all(call.over and call.next_timer() is None for call in world.book._calls.values())
    assert len(world.notes) <= 1
    if world.matrix.was_connected and world.remote.was_connected:
        assert world.notes[0].connected_ms is not None
    world.run(world.now + 20 * 60_000)
    assert len(world.book) == 0
    assert len(world.book._stash) == 0
    assert world.book.next_timer() is None


PHASES = {
    "at once": (0, ()),
    "under way": (100, ()),
    "rings": (3_500, ()),
    "answer under way": (3_500, ("answer",)),
    "answered": (4_300, ("answer",)),
    "connected": (8_000, ("answer",)),
    "held": (8_000, ("answer", "hold")),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("by", ["matrix", "remote"])
def test_every_pair_of_actions_in_every_state(by: str, phase: str) -> None:
    when, before = PHASES[phase]
    runs = product(ACTIONS, ACTIONS, (0, 250), TRICKLES, (0, 400))
    for one, other, apart, trickle, slow in runs:
        world = World(ACTIONS.index(one) * 10 + ACTIONS.index(other), trickle=trickle, slow=slow)
        _, called = begun(world, by)
        if "answer" in before:
            world.at(START + 3_400, called.answer)
        if "hold" in before:
            world.at(START + 7_900, called.hold)
        world.at(START + when, getattr(world.matrix, one))
        world.at(START + when + apart * (1 if one < other else -1), getattr(world.remote, other))
        agrees(world)


@given(
    by=st.sampled_from(["matrix", "remote"]),
    trickle=st.sampled_from(TRICKLES),
    seed=st.integers(0, 10_000),
    slow=st.sampled_from([0, 50, 500, 2_000]),
    acts=st.lists(
        st.tuples(st.integers(0, 20_000), st.sampled_from(["matrix", "remote"]), st.sampled_from(ACTIONS)), max_size=8
    ),
    restarts=st.lists(st.integers(0, 20_000), max_size=2),
    end_marker=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_both_ends_agree(
    by: str,
    trickle: Trickle,
    seed: int,
    slow: int,
    acts: list[tuple[int, str, str]],
    restarts: list[int],
    end_marker: bool,
) -> None:
    world = World(seed, trickle=trickle, slow=slow)
    if by == "matrix":
        world.matrix.call(end_marker=end_marker)
    else:
        world.remote.call()
    for when, who, act in acts:
        world.at(START + when, getattr(world.matrix if who == "matrix" else world.remote, act))
    for when in restarts:
        world.at(START + when, world.restart)
    agrees(world)


def test_the_ordinary_call_connects() -> None:
    for by, trickle in product(("matrix", "remote"), TRICKLES):
        world = World(trickle=trickle)
        _, called = begun(world, by)
        world.at(START + 5_000, called.answer)
        world.run(START + 10_000)
        assert (world.matrix.status, world.remote.status) == ("connected", "connected"), (by, trickle)
        agrees(world)
