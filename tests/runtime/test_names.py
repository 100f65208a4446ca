"""A message that the network calls by several names: it is there once, and found under each."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bridgekit.errors import MatrixRequestError
from bridgekit.model.content import Text
from bridgekit.model.ids import RemoteMessageID
from bridgekit.model.matrix import MatrixMessage
from bridgekit.model.remote import Batch, Login, RemoteEvent, RemoteMessage, Sent
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import FakeNetwork, Outcome
from tests.runtime.changes import NEVER_OLD, delete, edit, latest, react, reactions, says

A, B = RemoteMessageID("a"), RemoteMessageID("b")


async def said(harness: Harness) -> tuple[RemoteMessage, RemoteMessage]:
    """One message under its two names, which nobody has heard of yet."""
    other = harness.network.say("chat", "friend", "zero", id="z")
    await harness.settle()
    one = msgspec.structs.replace(other, id=A, text=Text("one"))
    return one, msgspec.structs.replace(one, id=B, aliases=(A,))


# --- from the network -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "order", ["ab", "ba", "aEb", "Eab", "bEa", "aba", "bab", "Da", "aDb", "Dba", "baD", "abR", "bRa"]
)
async def test_it_is_bridged_once(harness: Harness, order: str, *, together: bool) -> None:
    """``b`` says that it is ``a``, too; ``E``, ``D`` and ``R`` change ``a``."""
    room = await harness.portal()
    one, again = await said(harness)
    events: dict[str, RemoteEvent] = {
        "a": one,
        "b": again,
        "E": edit("a", "uno"),
        "D": delete("a"),
        "R": react("a", "👍"),
    }
    if together:
        harness.network.emit(Batch(events=tuple(events[each] for each in order)))
    else:
        for each in order:
            harness.network.emit(events[each])
            await harness.settle()
    await harness.settle()
    assert len(reactions(harness, room)) == order.count("R")
    if "D" in order:
        assert latest(harness, room) == ["hello", "zero"]
        return
    # Before its message an edit takes its place, or waits for it, and says so or not.
    shown = [body.removesuffix(" (edited)") for body in latest(harness, room)]
    assert shown == ["hello", "zero", "uno" if "E" in order else "one"]
    for number, name in enumerate("ab"):
        harness.network.emit(edit(name, f"once more {number}", f"r{number + 2}"))
        await harness.settle()
        assert latest(harness, room) == ["hello", "zero", f"once more {number}"]
    harness.network.emit(delete("b"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "zero"]


async def test_a_retried_letter_of_several_names_is_bridged(harness: Harness) -> None:
    """Its names were taken when it came first, by itself."""
    room = await harness.portal()
    _, again = await said(harness)
    harness.homeserver.fail("send_event", MatrixRequestError(400, "M_BAD_JSON", "no"))
    harness.network.emit(again)
    await harness.settle()
    (dead,) = await harness.store.dead_letters()
    await harness.store.retry_dead(dead.id, now=harness.clock.now())
    await harness.settle(60)
    assert latest(harness, room) == ["hello", "zero", "one"]


@pytest.mark.parametrize("point", [points.PULL_AFTER, points.MATRIX_SENT])
async def test_killed_anywhere(point: str) -> None:
    hits = 0
    for after in range(3):
        harness = Harness(seed=after, catch_up=NEVER_OLD)
        await harness.start()
        room = await harness.portal()
        one, again = await said(harness)
        dead = harness.kill_at(point, after=after)
        for event in (again, one, edit("a", "uno")):
            harness.network.emit(event)
        harness.network.say("chat", "friend", "the end", id="end")
        await harness.until(says(harness, room, "the end", unless=dead))
        hits += dead.is_set()
        await harness.kill()
        await harness.start()
        await harness.until(says(harness, room, "the end"))
        assert latest(harness, room) == ["hello", "zero", "uno", "the end"], (point, after)
        await harness.kill()
    assert hits >= 2


# --- our own ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("nonce", [True, False])
@pytest.mark.parametrize("early", [True, False], ids=["the echo before the answer", "after it"])
async def test_the_echo_of_what_was_sent_has_another_name(*, nonce: bool, early: bool) -> None:
    """The send said ``s1``; the network calls it ``real`` from now on."""
    harness = Harness(FakeNetwork(echo="none"))
    await harness.start()
    room = await harness.portal()
    gate = asyncio.Event()
    if early:
        harness.network.next_sends(Outcome(gate=gate))
    harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    _, message = harness.network.spoken[-1]
    given_back = message.nonce if nonce else None
    harness.network.say("chat", "mine", "typed", id="real", aliases=(RemoteMessageID("s1"),), nonce=given_back)
    await harness.settle()
    gate.set()
    await harness.settle()
    harness.network.say("chat", "mine", "typed", id="third", aliases=(RemoteMessageID("real"),))
    await harness.settle()
    assert latest(harness, room) == ["hello", "typed"]
    for number, name in enumerate(("s1", "real", "third")):
        harness.network.emit(react(name, "👍👎👀"[number]))
    await harness.settle()
    assert len(reactions(harness, room)) == 3
    harness.network.emit(delete("third", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello"]
    await harness.kill()


class Unnamed(FakeNetwork):
    """It does not say what it calls what it takes."""

    async def take(self, login: Login, message: MatrixMessage) -> Sent:
        await super().take(login, message)
        return Sent(())


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("early", [True, False], ids=["the echo before the answer", "after it"])
async def test_only_the_echo_says_what_it_is_called(*, early: bool, killed: bool) -> None:
    harness = Harness(Unnamed(echo="nonce" if early else "none"))
    await harness.start()
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    if killed:
        await harness.kill()
        await harness.start()
    if not early:
        _, message = harness.network.spoken[-1]
        harness.network.say("chat", "mine", "typed", id="s1", nonce=message.nonce)
        await harness.settle()
    harness.network.emit(react("s1", "👍"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "typed"]
    assert len(reactions(harness, room)) == 1
    assert harness.homeserver.bodies(room, notices=True) == []
    await harness.kill()


# --- copies -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("by, chat", [("mine", "other"), ("friend", "other"), ("friend", "chat")])
async def test_what_somebody_copies_with_its_nonce_is_no_echo(harness: Harness, by: str, chat: str) -> None:
    """Networks that keep the nonce in the message hand it on with a forwarded one."""
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    _, message = harness.network.spoken[-1]
    harness.network.say("other", "friend", "elsewhere")
    await harness.settle()
    copied = harness.network.say(chat, by, "typed", id="copy", nonce=message.nonce)
    harness.network.emit(edit("copy", "copied", sender=by, portal=copied.portal, nonce=message.nonce))
    await harness.settle()
    portal = await harness.store.portal(copied.portal)
    assert portal is not None and portal.room is not None
    assert latest(harness, portal.room)[-1] == "copied"
    assert latest(harness, room)[:2] == ["hello", "typed"]
    assert await harness.store.dead_letters() == []
