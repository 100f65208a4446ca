"""Edits and deletions from the network: of messages of one part and several, known and not, in any order."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, Uncertain
from bridgekit.model.content import Mention, MentionUser, Text
from bridgekit.model.ids import LoginID, RemoteMessageID, RemoteUserID, RoomID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Batch, Login
from bridgekit.runtime import points
from bridgekit.runtime.catching_up import CatchUpRules
from bridgekit.testing.clock import START_MS
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork, Outcome, able
from tests.runtime.changes import NEVER_OLD, T0, delete, edit, event_of, events, latest, react, reactions, says

FRIEND = "@fake_friend:test"
LONG = "x" * 50_000


async def ready(harness: Harness, *texts: str) -> RoomID:
    """The chat's room, with these messages of the friend as ``a``, ``b`` ... in it."""
    room = await harness.portal()
    for number, text in enumerate(texts):
        harness.network.say("chat", "friend", text, id="abcdef"[number])
    await harness.settle()
    return room


# --- edits ------------------------------------------------------------------------------------------------------------
async def test_an_edit_replaces_the_text_and_an_edit_of_it_edits_the_original(harness: Harness) -> None:
    room = await ready(harness, "one", "two")
    original = event_of(harness, room, "one")
    harness.network.emit(edit("a", "uno"))
    harness.network.emit(edit("a", "eins", "r2"))
    harness.network.emit(edit("a", "eins", "r2"))  # the network says it again
    await harness.settle()
    assert latest(harness, room) == ["hello", "eins", "two"]
    edits = [each for each in events(harness, room) if "m.new_content" in each["content"]]
    assert [each["content"]["m.relates_to"]["event_id"] for each in edits] == [original, original]
    assert {each["sender"] for each in edits} == {FRIEND}
    assert all("m.mentions" in each["content"] for each in edits)


async def test_an_edit_names_people(harness: Harness) -> None:
    room = await ready(harness, "one")
    text = Text("hi Mine", mentions=(Mention(3, 7, MentionUser(RemoteUserID("mine"))),))
    harness.network.emit(edit("a", text))
    await harness.settle()
    (changed,) = (each["content"] for each in events(harness, room) if "m.new_content" in each["content"])
    assert changed["m.new_content"]["m.mentions"] == {"user_ids": [ALICE]}


async def test_an_edit_by_another_name_of_the_message(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "one", id="a", aliases=(RemoteMessageID("a2"),))
    harness.network.emit(edit("a2", "uno"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "uno"]


async def test_more_parts_and_fewer(harness: Harness) -> None:
    room = await ready(harness, "short", "after")
    longer = " ".join((LONG, LONG))
    harness.network.emit(edit("a", longer))
    await harness.settle()
    assert latest(harness, room)[1].startswith("x") and latest(harness, room)[3].startswith("x")
    assert "".join(latest(harness, room)[1:2] + latest(harness, room)[3:]).count("x") == 100_000
    harness.network.emit(edit("a", "short again", "r2"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "short again", "after"]
    harness.network.emit(edit("a", longer, "r3"))
    await harness.settle()
    assert "".join(latest(harness, room)).count("x") == 100_000
    harness.network.emit(delete("a"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "after"]


async def test_an_edit_of_an_unknown_message_takes_its_place(harness: Harness) -> None:
    room = await ready(harness, "one")
    harness.network.emit(edit("late", "second thoughts"))
    harness.network.emit(edit("late", "third thoughts", "r2"))
    harness.network.say("chat", "friend", "first thoughts", id="late")  # overtaken by its own edits
    await harness.settle()
    assert latest(harness, room) == ["hello", "one", "third thoughts"]
    assert "second thoughts (edited)" in harness.homeserver.bodies(room)
    harness.network.emit(delete("late"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "one"]


async def test_an_edit_of_a_chat_without_a_room_makes_it(harness: Harness) -> None:
    harness.network.emit(edit("unknown", "changed"))
    await harness.until(
        lambda: any("changed (edited)" in harness.homeserver.bodies(r) for r in harness.homeserver.rooms)
    )


async def test_changes_that_wait_before_their_message_follow_it() -> None:
    """Both are on disk before the first of them has its turn."""
    harness = Harness()
    await harness.start()
    room = await ready(harness)
    gate = harness.homeserver.gate("send_event")
    harness.network.say("chat", "friend", "busy")
    first, second = edit("a", "changed"), delete("b")
    harness.network.emit(Batch(events=(first, second)))
    harness.network.say("chat", "friend", "one", id="a")
    harness.network.say("chat", "friend", "two", id="b")
    await harness.settle()
    gate.set()
    await harness.settle()
    assert latest(harness, room) == ["hello", "busy", "changed"]
    await harness.kill()


@pytest.mark.parametrize("echo", ["nonce", "plain"])
@pytest.mark.parametrize("early", [True, False], ids=["the echo before the answer", "after it"])
async def test_the_echo_of_our_own_edit(echo: Echo, early: bool) -> None:
    harness = Harness(FakeNetwork(echo=echo))
    await harness.start()
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    gate = asyncio.Event()
    if early:
        harness.network.next_deeds("edit", Outcome(gate=gate))
    relation = {"rel_type": "m.replace", "event_id": typed}
    new = {"msgtype": "m.text", "body": "typed better"}
    harness.homeserver.say(room, ALICE, "* typed better", **{"m.new_content": new, "m.relates_to": relation})
    await harness.settle()
    gate.set()
    await harness.settle()
    assert [each.text.body for each in harness.network.edits] == ["typed better"]
    assert latest(harness, room) == ["hello", "typed better"]
    await harness.kill()
    await harness.start()
    # A network that is asked for what we missed may say it once more, as another event.
    harness.network.emit(edit(harness.network.edits[0].target, "typed better", "again", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "typed better"]
    await harness.kill()


def edit_here(harness: Harness, room: RoomID, event_id: str, body: str) -> None:
    """Alice edits a message of hers in the room."""
    new = {"msgtype": "m.text", "body": body}
    relation = {"rel_type": "m.replace", "event_id": event_id}
    harness.homeserver.say(room, ALICE, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("echo", ["nonce", "plain"])
async def test_what_we_told_before_may_be_said_again_on_the_phone(echo: Echo, early: bool, restarted: bool) -> None:
    harness = Harness(FakeNetwork(echo=echo))
    await harness.start()
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")
    for body in ("once", "twice"):
        gate = asyncio.Event()
        if early:
            harness.network.next_deeds("edit", Outcome(gate=gate))
        edit_here(harness, room, typed, body)
        await harness.settle()
        gate.set()
        await harness.settle()
    assert latest(harness, room) == ["hello", "twice"]
    if restarted:
        await harness.kill()
        await harness.start()
    harness.network.emit(edit(harness.network.edits[0].target, "once", "r9", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "twice", "once (edited)"]
    await harness.kill()


async def test_what_the_phone_has_replaced_is_no_echo_any_more(harness: Harness) -> None:
    """Also if the homeserver was away, and the bridge was restarted then."""
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")
    edit_here(harness, room, typed, "better")
    await harness.settle()
    remote_id = harness.network.edits[0].target
    harness.homeserver.fail("send_event", HomeserverUnreachable("away"), times=2, lost=False)
    harness.network.emit(edit(remote_id, "on the phone", "r8", sender="mine"))
    await harness.settle(120)
    await harness.kill()
    await harness.start()
    harness.network.emit(edit(remote_id, "better", "r9", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "better", "better"]


async def test_what_is_kept_of_our_edits_is_small(harness: Harness) -> None:
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")
    for number in range(3):
        edit_here(harness, room, typed, f"{number} {LONG}")
    await harness.settle()
    assert len(harness.network.edits) == 3
    kept = await harness.store.value('own edits ["chat", null]')
    assert kept is not None and len(kept) < 1_000


async def test_an_edit_on_the_phone_of_what_was_typed_here_stands_beside_it(harness: Harness) -> None:
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    remote_id = (await harness.bridge.books.messages_by_event(room, typed))[0].remote_id
    harness.network.emit(edit(remote_id, "on the phone", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "typed", "on the phone (edited)"]
    (beside,) = (each for each in events(harness, room) if each["content"]["body"] == "on the phone (edited)")
    assert beside["sender"] == "@fake_mine:test"
    assert beside["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": typed}}
    harness.network.emit(edit(remote_id, "on the phone again", "r2", sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "typed", "on the phone again"]
    harness.network.emit(delete(remote_id, sender="mine"))
    await harness.settle()
    assert latest(harness, room) == ["hello"]


async def test_edits_of_several_logins_are_bridged_once() -> None:
    harness = Harness()
    await harness.start(login=Login(id=LoginID("one"), user=RemoteUserID("one")))
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("two"), user=RemoteUserID("two")), user_id=ALICE)
    )
    room = await ready(harness, "one", "two")
    harness.network.emit(edit("a", "uno"))
    harness.network.emit(edit("b", "due"), to=LoginID("two"))  # the source does not see it
    harness.network.emit(delete("a"), to=LoginID("two"))
    await harness.settle(60)
    assert latest(harness, room) == ["hello", "due"]
    assert len([each for each in events(harness, room) if "m.new_content" in each["content"]]) == 2
    assert await harness.store.dead_letters() == []
    await harness.kill()


# --- deletions --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "sender, by", [("friend", FRIEND), ("admin", "@bot:test"), (None, FRIEND)], ids=["oneself", "another", "unsaid"]
)
async def test_a_deletion_redacts(harness: Harness, sender: str | None, by: str) -> None:
    room = await ready(harness, "one", "two")
    event_id = event_of(harness, room, "one")
    redactors: list[str] = []

    def noted(call: Mapping[str, Any]) -> bool:
        redactors.append(call["user"])
        return False

    harness.homeserver.fail("redact", HomeserverUnreachable("never"), when=noted)
    harness.network.emit(delete("a", sender=sender))
    harness.network.emit(delete("a", sender=sender))
    await harness.settle()
    assert latest(harness, room) == ["hello", "two"]
    assert harness.homeserver.redacted == [event_id]
    assert await harness.bridge.books.messages_by_event(room, event_id) == []
    harness.network.emit(edit("a", "a ghost"))  # late
    await harness.settle()
    assert latest(harness, room) == ["hello", "two"]
    assert redactors == [by]


async def test_a_message_that_comes_after_its_deletion_does_not_appear(harness: Harness) -> None:
    room = await ready(harness, "one")
    harness.network.emit(delete("late"))
    await harness.settle()
    harness.network.say("chat", "friend", "deleted already", id="late")
    harness.network.say("chat", "friend", "two")
    await harness.settle()
    assert harness.homeserver.bodies(room) == ["hello", "one", "two"]
    assert await harness.store.dead_letters() == []


async def test_of_what_is_several_messages_on_the_network_each_is_deleted() -> None:
    harness = Harness(FakeNetwork(limits=able(max_text_length=10)))
    await harness.start()
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "aaaaaaaaa bbbbbbbbb")
    await harness.settle()
    first, second = (each.remote_id for each in await harness.bridge.books.messages_by_event(room, typed))
    harness.network.emit(delete(first, sender="mine"))
    await harness.settle()
    assert harness.homeserver.redacted == []
    harness.network.emit(delete(second, sender="mine"))
    await harness.settle()
    assert harness.homeserver.redacted == [typed]
    await harness.kill()


async def test_a_ghost_that_has_left_and_an_event_that_is_gone(harness: Harness) -> None:
    room = await ready(harness, "one", "two")
    one = event_of(harness, room, "one")
    harness.homeserver.fail("redact", MatrixRequestError(403, "M_FORBIDDEN", "not in the room"))
    harness.network.emit(delete("a"))
    await harness.settle()
    assert harness.homeserver.redacted == [one]
    harness.homeserver.fail("redact", MatrixRequestError(404, "M_NOT_FOUND", "no such event"))
    harness.network.emit(delete("b"))
    await harness.settle()
    assert await harness.store.dead_letters() == []


# --- faults -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("lost", [True, False])
async def test_the_homeserver_is_away(harness: Harness, lost: bool) -> None:
    room = await ready(harness, "one", "two")
    harness.homeserver.fail("send_event", HomeserverUnreachable("away"), times=3, lost=lost)
    harness.network.emit(edit("a", "uno"))
    harness.network.emit(edit("a", "eins", "r2"))
    await harness.settle(120)
    assert latest(harness, room) == ["hello", "eins", "two"]
    assert len([each for each in events(harness, room) if "m.new_content" in each["content"]]) == 2
    harness.homeserver.fail("redact", HomeserverUnreachable("away"), times=3, lost=lost)
    harness.network.emit(delete("a"))
    await harness.settle(120)
    assert latest(harness, room) == ["hello", "two"]


async def test_what_the_homeserver_refuses_is_told_and_kept(harness: Harness) -> None:
    room = await ready(harness, "one", "two")
    harness.homeserver.fail(
        "send_event", MatrixRequestError(400, "M_BAD_JSON", "no"), times=9, when=lambda call: call["user"] == FRIEND
    )
    harness.network.emit(edit("a", "uno"))
    await harness.settle(10)
    (dead,) = await harness.store.dead_letters()
    assert dead.kind == "edit" and dead.code
    assert "edited on the network" in harness.homeserver.bodies(room, notices=True)[-1]


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize("point", [points.PULL_BEFORE, points.PULL_AFTER, points.MATRIX_SENT])
async def test_killed_anywhere(point: str, forgets: bool) -> None:
    hits = 0
    for after in range(5):
        harness = Harness(seed=after, catch_up=NEVER_OLD)
        await harness.start()
        room = await ready(harness, "one", "two", "three")
        dead = harness.kill_at(point, after=after)
        harness.network.emit(edit("a", "uno"))
        harness.network.emit(edit("late", "instead"))
        harness.network.say("chat", "friend", "late one", id="late")
        harness.network.emit(delete("b"))
        harness.network.emit(delete("later"))
        harness.network.say("chat", "friend", "never", id="later")
        harness.network.emit(edit("c", " ".join((LONG, LONG))))
        harness.network.emit(edit("c", "drei", "r2"))
        harness.network.say("chat", "friend", "the end", id="end")
        await harness.until(says(harness, room, "the end", unless=dead))
        hits += dead.is_set()
        await harness.kill()
        if forgets:
            harness.clock.jump(25 * 3600)
            harness.homeserver.forget_transactions()
        await harness.start()
        await harness.until(says(harness, room, "the end"))
        await harness.settle(60)
        # If the message waits behind its edit already, it is edited; else the edit takes its place.
        got = [body.removesuffix(" (edited)") for body in latest(harness, room)]
        assert got == ["hello", "uno", "drei", "instead", "the end"], (point, after)
        assert "never" not in harness.homeserver.bodies(room)
        assert await harness.store.dead_letters() == []
        await harness.kill()
    assert hits >= 2


@pytest.mark.parametrize("times", [(1, 2), (0, 0), (2, 1), None], ids=["in order", "the same", "wrong", "none"])
@pytest.mark.parametrize("order", [*itertools.permutations("m12"), *itertools.permutations("m123")], ids="".join)
async def test_edits_that_came_before_their_message_keep_their_order(
    harness: Harness, order: tuple[str, ...], times: tuple[int, int] | None
) -> None:
    """What is put behind the message stands behind what came after it: that waits in turn, whatever their times are."""
    room = await harness.portal()
    message = harness.network.say("chat", "friend", "one", id="never", at=T0)
    await harness.settle()
    at = [T0 + 1000 * each for each in (*times, times[1])] if times is not None else [0, 0, 0]
    said = {number: edit("a", number, number, timestamp=at[int(number) - 1]) for number in "123"}
    said_first = msgspec.structs.replace(message, id=RemoteMessageID("a"))
    harness.network.emit(Batch(events=tuple(said.get(each, said_first) for each in order)))
    await harness.settle()
    assert latest(harness, room) == ["hello", "one", next(each for each in reversed(order) if each != "m")]


async def test_what_waits_behind_its_message_is_looked_up_after_a_crash() -> None:
    """The first edit was put behind the message already; the second must see it there."""
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    message = harness.network.say("chat", "friend", "one", id="never", at=T0)
    await harness.settle()
    gate = harness.homeserver.gate("send_event")
    message = msgspec.structs.replace(message, id=RemoteMessageID("a"))
    others = (edit("never", f"{number}", f"{number}") for number in range(150))  # more than are looked at together
    harness.network.emit(
        Batch(events=(edit("a", "uno"), message, react("a", "👍", "1"), edit("a", "eins", "r2"), *others))
    )
    await harness.settle()
    await harness.kill()
    assert latest(harness, room) == ["hello", "one"]
    gate.set()
    await harness.start()
    await harness.settle()
    assert latest(harness, room) == ["hello", "149", "eins"]
    assert len(reactions(harness, room)) == 1
    await harness.kill()


# --- catching up ------------------------------------------------------------------------------------------------------
async def test_old_edits_follow_their_messages() -> None:
    hour = 3_600_000
    harness = Harness(catch_up=CatchUpRules(older_than_ms=6 * hour, replay=2))
    await harness.start()
    room = await ready(harness)
    await harness.stop()
    ago = START_MS - 100 * hour
    for number in range(5):
        harness.network.say("chat", "friend", f"old {number}", at=ago + number, id=f"o{number}")
        harness.network.emit(edit(f"o{number}", f"newer {number}", timestamp=ago + number))
    harness.network.emit(edit("o1", "now", "r2", timestamp=START_MS))  # a new edit of one that was skipped
    await harness.start()
    await harness.settle(120)
    assert latest(harness, room) == ["hello", "newer 3", "newer 4"]
    assert not any("(edited)" in body for body in latest(harness, room))
    assert await harness.store.dead_letters() == []
    await harness.kill()


async def test_an_edit_of_a_message_whose_send_is_uncertain() -> None:
    """The echo of the message says that it has arrived; the edit comes behind it."""
    harness = Harness(FakeNetwork(dedupes=False))
    await harness.start()
    room = await ready(harness)
    harness.network.next_sends(Outcome(Uncertain("no answer"), taken=True))
    harness.homeserver.say(room, ALICE, "typed")
    await harness.settle(30)
    harness.network.emit(edit("s1", "on the phone", sender="mine"))
    await harness.settle(30)
    assert latest(harness, room) == ["hello", "typed", "on the phone (edited)"]
    await harness.kill()


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_comes_right_behind_the_echo_of_a_message_whose_send_is_uncertain(
    caplog: pytest.LogCaptureFixture, *, deleted: bool
) -> None:
    """The process was killed while it was being sent, and the next one is shown all at once."""
    harness = Harness(FakeNetwork(dedupes=False))
    await harness.start()
    room = await ready(harness)
    harness.network.next_sends(Outcome(gate=asyncio.Event()))
    typed = harness.homeserver.say(room, ALICE, "typed")
    await harness.until(lambda: harness.network.texts("chat") == ["typed"])
    await harness.kill()
    harness.network.emit(react("s1", "👍", "1"))
    harness.network.emit(edit("s1", "on the phone", sender="mine"))
    if deleted:
        harness.network.emit(delete("s1", sender="mine"))
    harness.network.say("chat", "friend", "the end")
    # Behind the message a change of what nobody knows, which waits for what the network says.
    edit_here(harness, room, "$nowhere", "different")
    caplog.set_level(logging.INFO)
    await harness.start()
    await harness.until(says(harness, room, "the end"))
    await harness.settle(30)
    assert "take long" not in caplog.text  # the lanes have not waited for each other
    assert "takes long" not in caplog.text
    if deleted:
        assert latest(harness, room) == ["hello", "the end"]
    else:
        assert latest(harness, room) == ["hello", "typed", "on the phone (edited)", "the end"]
        assert [target for _, target, _ in reactions(harness, room)] == [typed]
    await harness.kill()


@pytest.mark.parametrize("late", [False, True], ids=["the echo is there", "the echo comes later"])
async def test_what_is_changed_here_right_behind_a_message_whose_send_is_uncertain(*, late: bool) -> None:
    """The message shows itself only when the change's turn has come: it is not refused."""
    harness = Harness(FakeNetwork(dedupes=False, echo="none" if late else "nonce"))
    await harness.start()
    room = await ready(harness)
    harness.network.next_sends(Outcome(gate=asyncio.Event()))
    typed = harness.homeserver.say(room, ALICE, "typed")
    await harness.until(lambda: harness.network.texts("chat") == ["typed"])
    edit_here(harness, room, typed, "better")
    annotation = {"rel_type": "m.annotation", "event_id": typed, "key": "👍"}
    harness.homeserver.emit(room, ALICE, "m.reaction", {"m.relates_to": annotation})
    await harness.kill()
    await harness.start()
    if late:
        await harness.settle(2)
        nonce = harness.network.spoken[0][1].nonce
        harness.network.say("chat", "mine", "typed", id="s1", nonce=nonce)
    await harness.settle(30)
    assert [(each.target, each.text.body) for each in harness.network.edits] == [("s1", "better")]
    assert [(each.target, each.emoji) for each in harness.network.reactions] == [("s1", "👍")]
    assert latest(harness, room) == ["hello", "better"]
    await harness.kill()
