"""What is said with reference to something earlier: whom edits and replies notify, and where threads end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.core.power import ROOM_LEVEL
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.content import Mention, MentionRoom, MentionUser, Text
from bridgekit.model.ids import LoginID, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login, Role
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from tests.runtime.changes import T0, edit, event_of, events, latest, react, reactions

FRIEND, VERA = UserID("@fake_friend:test"), UserID("@fake_vera:test")
LONG = "x" * 50_000


def naming(body: str, *names: str) -> Text:
    spans = []
    for name in names:
        start = body.index(name)
        target = MentionRoom() if name == "@room" else MentionUser(RemoteUserID(name))
        spans.append(Mention(start, start + len(name), target))
    return Text(body, mentions=tuple(sorted(spans, key=lambda span: span.start)))


async def ready(harness: Harness, *said: tuple[str, Text | str]) -> RoomID:
    """The chat's room, in which vera has spoken; then the friend says these."""
    room = await harness.portal()
    harness.network.say("chat", "vera", "hi", id="v")
    for id, text in said:
        harness.network.say("chat", "friend", text, id=id)
    await harness.settle()
    return room


def edits(harness: Harness, room: RoomID) -> list[dict[str, Any]]:
    return [each["content"] for each in events(harness, room) if "m.new_content" in each["content"]]


def whom(content: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(whom the edit notifies, whom its new content mentions)"""
    of = [each["m.mentions"].get("user_ids", []) for each in (content, content["m.new_content"])]
    return of[0], of[1]


def content(harness: Harness, room: RoomID, body: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [e["content"] for e in events(harness, room) if e["content"]["body"] == body]
    assert len(found) == 1
    return found[0]


# --- edits ------------------------------------------------------------------------------------------------------------
async def test_an_edit_notifies_those_newly_mentioned_and_only_once(harness: Harness) -> None:
    room = await ready(harness, ("a", naming("hi vera", "vera")))
    for number, text in enumerate([
        naming("hi vera and mine", "vera", "mine"), Text("nobody"), naming("mine, vera", "mine", "vera"),
    ]):  # fmt: skip
        harness.network.emit(edit("a", text, f"r{number}"))
    await harness.settle()
    assert [whom(each) for each in edits(harness, room)] == [
        ([ALICE], [VERA, ALICE]), ([], []), ([], [ALICE, VERA]),
    ]  # fmt: skip


async def test_an_edit_that_names_the_room_notifies_it_once(harness: Harness) -> None:
    room = await ready(harness, ("a", "one"))
    for number in range(2):
        harness.network.emit(edit("a", naming(f"@room {number}", "@room"), f"r{number}"))
    await harness.settle()
    assert [each["m.mentions"] for each in edits(harness, room)] == [{"room": True}, {}]


async def test_roles_do_not_take_away_what_naming_the_room_took(harness: Harness) -> None:
    room = await ready(harness)
    roles = [{}, {RemoteUserID("friend"): Role.MODERATOR}, {}]
    for number, each in enumerate(roles):
        harness.network.say("chat", "friend", naming(f"@room {number}", "@room"))
        harness.network.emit(harness.network.chat("chat", "friend", "vera", roles=each))
    harness.network.say("chat", "friend", naming("@room again", "@room"))
    await harness.settle()
    timeline = harness.homeserver.rooms[room].timeline
    levels = [each["content"]["users"].get(FRIEND) for each in timeline if each["type"] == "m.room.power_levels"]
    # Given, a moderator's, a member's, and given again: nothing goes back and forth.
    assert levels == [ROOM_LEVEL, 50, None, ROOM_LEVEL]
    said = [each["content"] for each in events(harness, room) if each["content"]["body"].startswith("@room")]
    assert [each["m.mentions"] for each in said] == [{"room": True}] * 4


async def test_a_message_of_several_parts(harness: Harness) -> None:
    room = await ready(harness, ("a", naming(f"{LONG} {LONG} vera", "vera")))
    harness.network.emit(edit("a", naming(f"vera mine {LONG} {LONG}", "vera", "mine")))
    harness.network.emit(edit("a", naming("vera", "vera"), "r2"))
    harness.network.emit(edit("a", naming(f"{LONG} {LONG} mine vera", "vera", "mine"), "r3"))
    await harness.settle()
    # The redacted second part, which named vera, among them.
    sent = [each for each in harness.homeserver.sent if each["room_id"] == room]
    said = [each["content"] for each in sent if each["type"] == "m.room.message"]
    notified = [user for each in said for user in each["m.mentions"].get("user_ids", [])]
    assert sorted(notified) == sorted([VERA, ALICE])


@pytest.mark.parametrize("point", [points.MATRIX_SENT])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_kill_between_the_edit_and_its_end(point: str, after: int) -> None:
    harness = Harness()
    await harness.start()
    room = await ready(harness, ("a", naming(f"{LONG} {LONG} vera", "vera")))
    dead = harness.kill_at(point, after=after)
    harness.network.emit(edit("a", naming(f"mine {LONG} {LONG} friend", "mine", "friend")))
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle()
    assert [whom(each)[0] for each in edits(harness, room)] == [[ALICE], [FRIEND]]
    harness.network.emit(edit("a", naming(f"mine vera {LONG} {LONG} friend", "mine", "vera", "friend"), "r2"))
    await harness.settle()
    assert [whom(each)[0] for each in edits(harness, room)][2:] == [[], []]
    await harness.kill()


async def test_an_edit_of_what_was_redacted_on_matrix_notifies_nobody(harness: Harness) -> None:
    room = await ready(harness, ("a", "one"))
    harness.homeserver.redacted.append(event_of(harness, room, "one"))  # and the bridge is not told
    harness.network.emit(edit("a", naming("hi mine", "mine")))
    await harness.settle()
    assert [whom(each) for each in edits(harness, room)] == [([], [ALICE])]


async def test_an_event_that_cannot_be_read_costs_no_message(harness: Harness) -> None:
    room = await ready(harness, ("a", "one"))
    harness.homeserver.fail("get_event", MatrixRequestError(403, "M_FORBIDDEN", "no"), times=2)
    harness.network.emit(edit("a", naming("hi mine", "mine")))
    harness.network.say("chat", "friend", "yes", reply_to=RemoteMessageID("v"))
    await harness.settle()
    assert [whom(each) for each in edits(harness, room)] == [([], [ALICE])]
    assert content(harness, room, "yes")["m.mentions"] == {"user_ids": [VERA]}


async def test_while_the_homeserver_is_away_edit_and_reply_wait(harness: Harness) -> None:
    room = await ready(harness, ("a", "one"))
    harness.homeserver.fail("get_event", HomeserverUnreachable("away", endpoint="x"), times=3)
    harness.network.emit(edit("a", naming("hi mine", "mine")))
    harness.network.say("chat", "friend", "yes", reply_to=RemoteMessageID("v"))
    await harness.settle()
    assert latest(harness, room) == ["hello", "hi", "one"]
    await harness.until(lambda: latest(harness, room) == ["hello", "hi", "hi Mine", "yes"])
    assert [whom(each)[0] for each in edits(harness, room)] == [[ALICE]]


async def test_edits_of_the_same_moment_are_shown_in_their_order(harness: Harness) -> None:
    room = await ready(harness, ("a", "one"))
    for number, at in enumerate([T0 + 5, T0 + 5, T0 + 3, T0 + 5]):
        harness.network.emit(edit("a", f"version {number}", f"r{number}", timestamp=at))
    await harness.settle()
    sent = [each for each in events(harness, room) if "m.new_content" in each["content"]]
    assert [each["content"]["m.new_content"]["body"] for each in sent] == [f"version {number}" for number in range(4)]
    assert [each["origin_server_ts"] for each in sent] == [T0 + 5, T0 + 6, T0 + 7, T0 + 8]


@pytest.mark.parametrize("at", [-1, 0, 2**53, T0 * 1_000_000, 10**30])
async def test_a_time_that_matrix_has_not_costs_no_message(harness: Harness, at: int) -> None:
    """As from an adapter that counts in nanoseconds: what is sent has the present time."""
    room = await harness.portal()
    harness.network.say("chat", "friend", "one", id="a", at=at)
    for number in range(2):
        harness.network.emit(edit("a", f"version {number}", f"r{number}", timestamp=at))
    harness.network.emit(react("a", "👍", "1", timestamp=at))
    await harness.settle()
    assert latest(harness, room) == ["hello", "version 1"]
    assert len(reactions(harness, room)) == 1
    assert await harness.store.dead_letters() == []


async def retry(harness: Harness) -> None:
    (letter,) = await harness.store.dead_letters()
    await harness.store.retry_dead(letter.id, now=harness.clock.now())
    await harness.kill()
    await harness.start()
    await harness.settle()


async def test_an_old_edit_that_is_retried_changes_nothing_after_a_newer_one() -> None:
    harness = Harness()
    await harness.start()
    room = await ready(harness, ("a", "one"))
    harness.homeserver.fail("send_event", MatrixRequestError(413, "M_TOO_LARGE", "no"))
    harness.network.emit(edit("a", "second", "r2", timestamp=T0 + 60_000))
    harness.network.emit(edit("a", "third", "r3", timestamp=T0 + 120_000))
    await harness.settle()
    assert latest(harness, room) == ["hello", "hi", "third"]
    await retry(harness)
    assert latest(harness, room) == ["hello", "hi", "third"]
    # The newest, retried, is carried out; so is one that was not retried, whatever its time.
    harness.homeserver.fail("send_event", MatrixRequestError(413, "M_TOO_LARGE", "no"))
    harness.network.emit(edit("a", "fourth", "r4", timestamp=T0 + 180_000))
    await harness.settle()
    await retry(harness)
    assert latest(harness, room) == ["hello", "hi", "fourth"]
    harness.network.emit(edit("a", "fifth", "r5", timestamp=T0))
    await harness.settle()
    assert latest(harness, room) == ["hello", "hi", "fifth"]
    await harness.kill()


@pytest.mark.parametrize("newer", ["third", "x" * 20_000], ids=["caption", "behind"])
@pytest.mark.parametrize("during", [True, False], ids=["while it comes", "when it is there"])
async def test_an_old_edit_of_a_caption_that_is_retried_changes_nothing_after_a_newer_one(
    during: bool, newer: str
) -> None:
    """Edits of the file itself come between, and have times of their own."""
    harness = Harness()
    await harness.start()
    room = await ready(harness)
    gate = asyncio.Event()
    file = harness.network.add_remote_file(b"bytes", gate=gate, name="a.bin", known=False, says=None)
    harness.network.say("chat", "friend", "first", id="f", at=T0, media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 1)
    if not during:
        gate.set()
        await harness.settle()

    async def refused(text: str, revision: str, at: int) -> None:
        sent = harness.homeserver.calls.count("send_event")
        harness.homeserver.fail("send_event", MatrixRequestError(413, "M_TOO_LARGE", "no"))
        harness.network.emit(edit("f", text, revision, timestamp=at))
        await harness.until(lambda: harness.homeserver.calls.count("send_event") > sent)

    await refused("second", "r2", T0 + 60_000)
    harness.network.emit(edit("f", newer, "r3", timestamp=T0 + 120_000))
    await harness.until(lambda: latest(harness, room)[-1] == newer)
    gate.set()
    await harness.settle()
    await retry(harness)
    after = ["hello", "hi", "third"] if newer == "third" else ["hello", "hi", "a.bin", newer]
    assert latest(harness, room) == after
    # The newest, retried, is carried out, whatever was edited of the file since.
    await refused("fourth", "r4", T0 + 180_000)
    await harness.settle()
    await retry(harness)
    assert latest(harness, room) == [*after[:-1], "fourth"]
    await harness.kill()


async def test_an_old_edit_that_is_retried_is_not_told_to_the_network_after_a_newer_one() -> None:
    harness = Harness()
    await harness.start()
    room = await ready(harness)
    typed = harness.homeserver.say(room, ALICE, "typed")

    def change(body: str) -> None:
        new = {"msgtype": "m.text", "body": body}
        relation = {"rel_type": "m.replace", "event_id": typed}
        harness.homeserver.say(room, ALICE, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})

    await harness.settle()
    harness.network.next_deeds("edit", RuntimeError("a bug in the adapter"))
    change("second")
    change("third")
    await harness.settle()
    await retry(harness)
    assert [each.text.body for each in harness.network.edits] == ["third"]
    harness.network.next_deeds("edit", RuntimeError("a bug in the adapter"))
    change("fourth")
    await harness.settle()
    await retry(harness)
    assert [each.text.body for each in harness.network.edits] == ["third", "fourth"]
    await harness.kill()


# --- replies ----------------------------------------------------------------------------------------------------------
async def test_a_reply_notifies_whom_the_answered_message_mentions(harness: Harness) -> None:
    room = await ready(harness, ("a", naming("hi vera, mine, @room", "vera", "mine", "@room")))
    harness.network.say("chat", "vera", "yes", reply_to=RemoteMessageID("a"))
    await harness.settle()
    assert content(harness, room, "yes")["m.mentions"] == {"user_ids": [FRIEND, ALICE]}
    # An edit of the answered message counts as it is now.
    harness.network.emit(edit("a", "hi all"))
    harness.network.say("chat", "vera", "no", reply_to=RemoteMessageID("a"))
    await harness.settle()
    assert content(harness, room, "no")["m.mentions"] == {"user_ids": [FRIEND]}


async def test_an_edit_of_a_reply_keeps_whom_it_answers(harness: Harness) -> None:
    room = await ready(harness)
    harness.network.say("chat", "friend", naming("yes mine", "mine"), id="a", reply_to=RemoteMessageID("v"))
    harness.network.emit(edit("a", "yes"))
    await harness.settle()
    assert [whom(each) for each in edits(harness, room)] == [([], [VERA])]


async def test_somebody_who_is_on_matrix_is_notified_there_and_never_by_themselves(harness: Harness) -> None:
    bob = UserID("@bob:test")
    room = await ready(harness)
    # Bob, who has a login, too, writes on his phone.
    harness.network.say("chat", "bobs", "from my phone", id="p")
    await harness.settle()
    login = Login(id=LoginID("bobs"), user=RemoteUserID("bobs"), name="Bob")
    await harness.bridge.logins.add(LoginRecord(login=login, user_id=bob))
    harness.network.say("chat", "friend", "an answer", reply_to=RemoteMessageID("p"))
    harness.network.say("chat", "friend", naming("hi bobs", "bobs"), id="h")
    harness.network.say("chat", "bobs", "I say", id="s", reply_to=RemoteMessageID("p"))
    harness.network.say("chat", "bobs", "yes?", reply_to=RemoteMessageID("h"))
    await harness.settle()
    said = {each["content"]["body"]: each["content"] for each in events(harness, room)}
    assert said["an answer"]["m.mentions"] == {"user_ids": [bob]}
    assert said["hi Bob"]["m.mentions"] == {"user_ids": [bob]}
    assert f"https://matrix.to/#/{bob}" in said["hi Bob"]["formatted_body"]
    assert said["I say"]["m.mentions"] == {}
    assert said["yes?"]["m.mentions"] == {"user_ids": [FRIEND]}


# --- threads ----------------------------------------------------------------------------------------------------------
async def test_a_thread_goes_on_behind_its_last_message(harness: Harness) -> None:
    room = await ready(harness, ("a", "root"))
    root = event_of(harness, room, "root")

    def fallback(body: str) -> str:
        relation = content(harness, room, body)["m.relates_to"]
        assert (relation["rel_type"], relation["event_id"], relation["is_falling_back"]) == ("m.thread", root, True)
        return str(relation["m.in_reply_to"]["event_id"])

    for body in ("one", "two"):
        harness.network.say("chat", "friend", body, thread=RemoteMessageID("a"))
    await harness.settle()
    assert (fallback("one"), fallback("two")) == (root, event_of(harness, room, "one"))
    relation = {"rel_type": "m.thread", "event_id": root}
    typed = harness.homeserver.say(room, ALICE, "typed", **{"m.relates_to": relation})
    harness.network.say("chat", "friend", "three", thread=RemoteMessageID("a"))
    await harness.settle()
    harness.homeserver.fail("get_event", MatrixRequestError(403, "M_FORBIDDEN", "no"))
    harness.network.say("chat", "friend", "four", thread=RemoteMessageID("a"))
    await harness.settle()
    assert (fallback("three"), fallback("four")) == (typed, root)
