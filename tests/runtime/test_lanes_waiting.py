"""The two lanes of a portal wait for each other's heads now and then; never both at once."""

from __future__ import annotations

import asyncio

import pytest

from bridgekit.core.lane import matrix_lane
from bridgekit.model.entry import Entry
from bridgekit.model.ids import LaneKey, RoomID
from bridgekit.runtime.lanes import Handled, Lane
from bridgekit.testing.clock import idle
from tests.runtime.test_lanes import World

ROOM, CHAT = matrix_lane(RoomID("!room")), matrix_lane(RoomID("!chat"))


class Pair(World):
    """The head of `CHAT` waits for what `ROOM` may have sent; the head of `ROOM` for what `CHAT` is about to show."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = {ROOM: asyncio.Event(), CHAT: asyncio.Event()}
        self.ended: list[LaneKey] = []

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        await self.gates[lane.key].wait()
        if lane.key == CHAT:
            await self.lanes.resolved(ROOM)
        else:
            await self.lanes.resolved(CHAT, asked_by=lane)
        self.ended.append(lane.key)
        return Handled()


@pytest.mark.parametrize("first", [ROOM, CHAT])
async def test_two_heads_do_not_wait_for_each_other(first: LaneKey) -> None:
    world = Pair()
    async with world:
        await world.append("room", lane=ROOM)
        await world.append("chat", lane=CHAT)
        await idle()
        world.gates[first].set()
        await idle()
        assert world.ended == []  # it waits for the other
        for gate in world.gates.values():
            gate.set()
        async with asyncio.timeout(10):
            while len(world.ended) < 2:
                await idle()
                world.completer.hurry()
        assert world.ended == [ROOM, CHAT]


async def test_a_head_waits_for_one_that_waits_for_nothing() -> None:
    world = Pair()
    async with world:
        await world.append("room", lane=ROOM)
        await idle()
        world.gates[ROOM].set()
        await idle()
        assert world.ended == [ROOM]  # nobody is at the head of the other
