"""What the command line does in the database is noticed by the bridge that runs."""

from __future__ import annotations

from typing import cast

from bridgekit.errors import Rejected
from bridgekit.ports import Store
from bridgekit.runtime.lease import RENEW_EVERY_S
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.journal import MemoryJournal


async def test_a_letter_retried_beside_the_bridge_crosses() -> None:
    memory = MemoryJournal()
    harness = Harness(new_store=lambda: cast(Store, MemoryJournal(sharing=memory)))
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(RuntimeError("a bug"))
    harness.homeserver.say(room, ALICE, "lost")
    await harness.settle()
    (letter,) = await harness.store.dead_letters()
    assert harness.network.texts("chat") == []
    async with MemoryJournal(sharing=memory) as beside:
        assert await beside.retry_dead(letter.id, now=harness.clock.now()) is not None
    await harness.settle(RENEW_EVERY_S)
    await harness.settle()
    assert harness.network.texts("chat") == ["lost"]
    assert await harness.store.dead_letters() == []
    await harness.stop()


async def test_what_was_retried_while_no_bridge_ran_crosses_at_the_start() -> None:
    memory = MemoryJournal()
    harness = Harness(new_store=lambda: cast(Store, MemoryJournal(sharing=memory)))
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(Rejected("not today"), RuntimeError("a bug"))
    harness.homeserver.say(room, ALICE, "refused")
    harness.homeserver.say(room, ALICE, "lost")
    await harness.settle()
    await harness.stop()
    async with MemoryJournal(sharing=memory) as beside:
        for letter in await beside.dead_letters():
            await beside.retry_dead(letter.id, now=harness.clock.now())
    await harness.start()
    await harness.settle()
    assert harness.network.texts("chat")[-1] == "lost"
    await harness.stop()
