from __future__ import annotations
import asyncio, json, sys
import pytest
from bridgekit.core.transaction import parse
from bridgekit.errors import StoreUnavailable, Transient, HomeserverUnreachable
from bridgekit.core import staging
from bridgekit.model.entry import Staged
from bridgekit.model.remote import Batch
from bridgekit.runtime import inbox as inboxes
from bridgekit.testing.clock import idle
from bridgekit.testing.harness import ALICE, Harness
from tests.runtime.test_intake import World, event, names, MANY
from tests.runtime.test_relay import a_room, BOB, said

async def test_looks_are_not_used_up() -> None:
    async with World() as world:
        await world.begin()
        rows = world.memory.intake.rows
        world.memory.intake.last += 1
        world.door.refused = {"stage"}
        with pytest.raises(StoreUnavailable):
            await world.push(*names("a"))
        world.door.refused = set()
        await world.push(*names("a"))
        await world.until_handled(names("a"))
        for n in range(10):
            await world.push(*names(f"x{n}."))
            await world.clock.advance(1)
        rows[1] = Staged(number=1, txn_id="1", received_at=0, events=MANY, body=staging.join([event(n) for n in names("a")]))
        await world.clock.advance(120)
        await idle()
        assert rows == {}

async def test_relay_owner_lost_permission() -> None:
    harness = Harness(permissions={"*": "relay", "test": "user"})
    await harness.start()
    room = await a_room(harness)
    harness.network.next_sends(*(Transient() for _ in range(30)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    await harness.kill()
    harness.permissions = {"*": "relay", ALICE: "relay"}
    await harness.start()
    await harness.settle(100000)
    harness.homeserver.say(room, BOB, "again")
    await harness.settle(100000)
    print(harness.homeserver.bodies(room, notices=True))
    assert (await harness.store.stats()).pending_matrix == 0
    await harness.kill()

async def test_views() -> None:
    async with World() as world:
        await world.begin()
        world.door.refused = {"append"}
        body = b'{"events":[' + b",".join(event(n) for n in names("a")) + b'],"ephemeral":[{"x":"' + b"x"*100000 + b'"}]}'
        before = sys.getrefcount(body)
        t = parse(body)
        print(before, sys.getrefcount(body))
        await world.inbox.transaction("1", t)
        del t
        await idle()
        print(sys.getrefcount(body), world.inbox.intake.bytes)
        assert sys.getrefcount(body) == before

from bridgekit.model.ids import LoginID, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.testing.network import FakeNetwork, Outcome
from bridgekit.runtime.relay import Voice

@pytest.mark.parametrize("dedupes", [True, False])
async def test_own_login_removed(dedupes: bool) -> None:
    network = FakeNetwork(dedupes=dedupes)
    harness = Harness(network, permissions={"*": "user"})
    await harness.start()
    room = await a_room(harness)
    await harness.bridge.logins.add(LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob"), name="Bob"), user_id=BOB))
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    network.next_sends(Outcome(ConnectionError(), taken=True), *(Transient() for _ in range(3)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    await harness.bridge.logins.remove(LoginID("bob"))
    await harness.settle(600)
    print(network.spoken, network.texts("chat"), harness.homeserver.bodies(room, notices=True))
    assert [l for l, _ in network.spoken] == ["bob"]
    await harness.kill()
