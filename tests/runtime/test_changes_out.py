"""Edits and deletions from Matrix: what the network is told, what the sender sees, and that repeats do no harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridgekit.adapter.capabilities import CanDelete, CanEdit
from bridgekit.errors import Rejected, Transient, Uncertain
from bridgekit.model.content import MentionUser
from bridgekit.model.ids import EventID, LoginID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.matrix import MatrixEdit
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork, Outcome, able
from tests.runtime.changes import delete as network_delete
from tests.runtime.changes import edit as network_edit

BOB = UserID("@bob:test")
SHORT = able(max_text_length=10)


async def started(network: FakeNetwork | None = None, **options: Any) -> tuple[Harness, RoomID]:
    harness = Harness(network, **options)
    await harness.start()
    room = await harness.portal()
    return harness, room


async def said(harness: Harness, room: RoomID, body: str, user: UserID = ALICE) -> EventID:
    """A message that has crossed."""
    event = harness.homeserver.say(room, user, body)
    await harness.settle(1)
    return event


def edit(harness: Harness, room: RoomID, target: EventID, body: str, user: UserID = ALICE) -> EventID:
    return harness.homeserver.say(
        room,
        user,
        f"* {body}",
        **{
            "m.new_content": {"msgtype": "m.text", "body": body},
            "m.relates_to": {"rel_type": "m.replace", "event_id": target},
        },
    )


def redact(harness: Harness, room: RoomID, target: EventID, user: UserID = ALICE, **content: str) -> EventID:
    for event in harness.homeserver.rooms[room].timeline:
        if event["event_id"] == target:
            event["content"] = {}
    return harness.homeserver.emit(room, user, "m.room.redaction", {"redacts": target, **content})


def notices(harness: Harness, room: RoomID) -> list[str]:
    return harness.homeserver.bodies(room, notices=True)


def edited(harness: Harness) -> list[tuple[str, str]]:
    return [(each.target, each.text.body) for each in harness.network.edits]


def sent_ids(harness: Harness) -> list[str]:
    """What the network calls what it took."""
    return list(harness.network._nonces.values())


# --- edits ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
async def test_an_edit_changes_the_message(echo: Echo) -> None:
    harness, room = await started(FakeNetwork(echo=echo))
    event = await said(harness, room, "frist")
    edit(harness, room, event, "first")
    edit(harness, room, event, "first!")
    await harness.settle(5)
    (id,) = sent_ids(harness)
    assert edited(harness) == [(id, "first"), (id, "first!")]
    assert harness.homeserver.bodies(room) == ["hello"]
    assert notices(harness, room) == []
    assert await harness.store.dead_letters() == []
    await harness.kill()


async def test_what_is_remembered_of_our_own_edits_is_small() -> None:
    """Each edit writes it anew, with all of the chat's."""
    harness, room = await started(FakeNetwork(echo="none"))
    event = await said(harness, room, "one")
    for number in range(30):
        edit(harness, room, event, f"{number} " + "x" * 50_000)
    await harness.settle(5)
    value = await harness.store.value('own edits ["chat", null]')
    assert value is not None and 20 * 60 < len(value) < 20 * 200
    assert len(edited(harness)) == 30
    await harness.kill()


async def test_an_edit_of_a_message_that_still_waits_is_sent_after_it() -> None:
    harness, room = await started()
    harness.network.next_sends(Transient("busy", retry_after=20))
    event = harness.homeserver.say(room, ALICE, "frist")
    edit(harness, room, event, "first")
    await harness.settle(60)
    assert harness.network.texts("chat") == ["frist"]
    assert edited(harness) == [(sent_ids(harness)[0], "first")]
    await harness.kill()


async def test_an_edit_of_an_edit_is_one_of_the_message() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    first = edit(harness, room, event, "two")
    edit(harness, room, first, "three")
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["two", "three"]
    assert {target for target, _ in edited(harness)} == {sent_ids(harness)[0]}
    await harness.kill()


async def test_the_network_may_call_it_otherwise_afterwards() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    harness.network.edit_ids = ("new-id",)  # type: ignore[assignment]
    edit(harness, room, event, "two")
    await harness.settle(5)
    (record,) = await harness.store.message_by_remote(PortalKey("chat"), "new-id")  # type: ignore[arg-type]
    assert record.event_id == event
    await harness.kill()


@pytest.mark.parametrize(
    "before, after, texts, appended, deleted",
    [
        ("aaaaaaaaa bbbbbbbbb", "ccccccccc ddddddddd", ["ccccccccc", "ddddddddd"], [], 0),
        ("aaaaaaaaa", "ccccccccc ddddddddd eeeeeeeee", ["ccccccccc"], ["ddddddddd", "eeeeeeeee"], 0),
        ("aaaaaaaaa bbbbbbbbb ccccccccc", "ddddddddd", ["ddddddddd"], [], 2),
    ],
    ids=["as many", "more", "fewer"],
)
async def test_messages_of_several_parts(
    before: str, after: str, texts: list[str], appended: list[str], deleted: int
) -> None:
    harness, room = await started(FakeNetwork(limits=SHORT))
    event = await said(harness, room, before)
    ids, sent = sent_ids(harness), len(harness.network.accepted)
    edit(harness, room, event, after)
    await harness.settle(5)
    assert [(target, text.strip()) for target, text in edited(harness)] == list(zip(ids, texts, strict=False))
    assert [text.strip() for text in harness.network.texts("chat")[sent:]] == appended
    assert [each.target for each in harness.network.deletes] == (ids[-deleted:] if deleted else [])
    # What it is now is known: a deletion takes all of it away, and nothing twice.
    redact(harness, room, event)
    await harness.settle(5)
    assert sorted(each.target for each in harness.network.deletes) == sorted(sent_ids(harness))
    assert harness.homeserver.bodies(room) == ["hello"]
    assert notices(harness, room) == []
    await harness.kill()


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("after", [0, 1])
async def test_killed_between_the_parts_of_an_edit(dedupes: bool, after: int) -> None:
    harness, room = await started(FakeNetwork(dedupes=dedupes, limits=SHORT))
    event = await said(harness, room, "aaaaaaaaa bbbbbbbbb")
    dead = harness.kill_at(points.PARTS_BETWEEN, after=after)
    edit(harness, room, event, "ccccccccc ddddddddd eeeeeeeee")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(60)
    assert list(dict.fromkeys(text.strip() for _, text in edited(harness))) == ["ccccccccc", "ddddddddd"]
    assert [text.strip() for text in harness.network.texts("chat")] == ["aaaaaaaaa", "bbbbbbbbb", "eeeeeeeee"]
    assert notices(harness, room) == []
    await harness.kill()


async def test_fewer_parts_where_nothing_can_be_deleted() -> None:
    harness, room = await started(FakeNetwork(limits=SHORT, lacks=[CanDelete]))
    event = await said(harness, room, "aaaaaaaaa bbbbbbbbb")
    edit(harness, room, event, "ccc")
    await harness.settle(5)
    assert edited(harness) == []
    assert "went as 2 messages, and this network cannot delete any of them" in notices(harness, room)[0]
    await harness.kill()


async def test_only_the_sender_may_edit() -> None:
    """Matrix servers do not check that."""
    harness, room = await started()
    await harness.bridge.logins.add(LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob")), user_id=BOB))
    harness.network.say("chat", "friend", "again")
    await harness.settle(5)
    harness.homeserver.join_person(room, BOB)
    event = await said(harness, room, "mine")
    edit(harness, room, event, "hacked", BOB)
    edit(harness, room, EventID(harness.homeserver.rooms[room].timeline[-3]["event_id"]), "hacked", BOB)
    await harness.settle(5)
    assert edited(harness) == []
    await harness.kill()


async def test_a_relayed_edit_keeps_the_name_in_front() -> None:
    harness, room = await started()
    harness.homeserver.join_person(room, BOB)
    harness.homeserver.names[BOB] = "Bob"
    harness.homeserver.say(room, ALICE, "!fake set-relay")
    await harness.settle(1)
    event = await said(harness, room, "hi", BOB)
    edit(harness, room, event, "hi there", BOB)
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["Bob: hi there"]
    redact(harness, room, event, BOB)
    await harness.settle(5)
    (gone,) = harness.network.deletes
    assert (gone.speaker.name, gone.speaker.relayed) == ("Bob", True)
    await harness.kill()


REFUSED: dict[str, tuple[FakeNetwork, int, int, str]] = {
    "cannot edit": (FakeNetwork(lacks=[CanEdit]), 1, 0, "edit was not sent: this network cannot change what was sent"),
    "too late": (
        FakeNetwork(limits=able(edit_within=timedelta(minutes=15))),
        1,
        16 * 60,
        "can be changed only for 15 minutes",
    ),
    "too often": (FakeNetwork(limits=able(edits_per_message=2)), 3, 0, "can be changed only 2 times"),
}


@pytest.mark.parametrize("network, times, later, words", REFUSED.values(), ids=REFUSED)
async def test_what_the_network_does_not_allow(network: FakeNetwork, times: int, later: int, words: str) -> None:
    harness, room = await started(network)
    event = await said(harness, room, "one")
    await harness.settle(later)
    for number in range(times):
        edit(harness, room, event, f"version {number}")
    await harness.settle(5)
    assert len(edited(harness)) == times - 1
    (notice,) = notices(harness, room)
    assert words in notice
    answer = next(e for e in harness.homeserver.rooms[room].timeline if e["content"].get("msgtype") == "m.notice")
    assert answer["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event
    await harness.kill()


async def test_how_often_is_remembered_over_a_restart() -> None:
    harness, room = await started(FakeNetwork(limits=able(edits_per_message=1)))
    event = await said(harness, room, "one")
    edit(harness, room, event, "two")
    await harness.settle(5)
    await harness.stop()
    await harness.start()
    edit(harness, room, event, "three")
    await harness.settle(20)
    assert [text for _, text in edited(harness)] == ["two"]
    await harness.kill()


async def test_a_message_that_never_crossed_cannot_be_edited() -> None:
    harness, room = await started()
    harness.network.next_sends(Rejected("too rude"))
    event = await said(harness, room, "one")
    edit(harness, room, event, "two")
    await harness.settle(5)
    assert edited(harness) == []
    assert "Your edit was not sent: the message that it belongs to is not on the network" in notices(harness, room)[1]
    await harness.kill()


async def test_a_message_that_was_deleted_meanwhile_needs_no_edit() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    redact(harness, room, event)
    await harness.settle(5)
    edit(harness, room, event, "two")
    await harness.settle(5)
    assert (edited(harness), notices(harness, room), await harness.store.dead_letters()) == ([], [], [])
    await harness.kill()


async def test_an_edit_that_waits_for_the_network_is_dropped_with_its_message() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    harness.network.next_deeds("edit", Transient("busy", retry_after=30))
    edit(harness, room, event, "two")
    await harness.settle(1)
    redact(harness, room, event)
    await harness.settle(120)
    assert (edited(harness), len(harness.network.deletes)) == ([], 1)
    await harness.kill()


FAULTS = {
    "transient": (Outcome(Transient("busy")), True, None),
    "reset before": (Outcome(ConnectionResetError()), True, None),
    "reset after": (Outcome(ConnectionResetError(), taken=True), True, None),
    "time-out": (Outcome(TimeoutError(), taken=True), True, None),
    "rejected": (Outcome(Rejected("too rude")), False, "was not {}: too rude"),
    "uncertain": (Outcome(Uncertain("no receipt")), False, "may not have been {}: no receipt"),
    "bug": (Outcome(KeyError("oops")), False, "was not {}: internal error"),
}


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("deed", ["edit", "delete"])
@pytest.mark.parametrize("outcome, arrives, words", FAULTS.values(), ids=FAULTS)
async def test_faults(deed: Any, outcome: Outcome, arrives: bool, words: str | None, dedupes: bool) -> None:
    """What cannot be repeated where messages are not deduplicated is repeated here: it says how things shall be."""
    harness, room = await started(FakeNetwork(dedupes=dedupes))
    event = await said(harness, room, "one")
    harness.network.next_deeds(deed, outcome)
    if deed == "edit":
        edit(harness, room, event, "two")
    else:
        redact(harness, room, event)
    harness.homeserver.say(room, ALICE, "next")
    await harness.settle(60)
    assert harness.network.texts("chat") == ["one", "next"]
    # The echo of a deletion says that it was carried out, however the call ended.
    echoed = deed == "delete" and outcome.taken
    assert len(harness.network.tries_of(deed)) == (2 if arrives and not echoed else 1)
    done = "sent" if deed == "edit" else "carried out"
    assert notices(harness, room) == [] if words is None else words.format(done) in notices(harness, room)[0]
    assert len(await harness.store.dead_letters()) == (0 if arrives else 1)
    await harness.kill()


@pytest.mark.parametrize("echo", ["nonce", "plain"])
@pytest.mark.parametrize("deed", ["edit", "delete"])
async def test_killed_after_the_network_has_taken_it(deed: Any, echo: Echo) -> None:
    harness, room = await started(FakeNetwork(echo=echo, dedupes=False))
    event = await said(harness, room, "one")
    dead = harness.kill_at(points.NETWORK_SENT)
    if deed == "edit":
        edit(harness, room, event, "two")
    else:
        redact(harness, room, event)
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    harness.homeserver.say(room, ALICE, "next")
    await harness.settle(60)
    told = harness.network.tries_of(deed)
    assert len(told) == 2
    assert not isinstance(told[0], MatrixEdit) or told[0] == told[1]
    assert notices(harness, room) == []
    assert harness.network.texts("chat") == ["one", "next"]
    await harness.kill()


# --- deletions --------------------------------------------------------------------------------------------------------
async def test_a_deletion_deletes_all_parts_with_its_reason() -> None:
    harness, room = await started(FakeNetwork(limits=SHORT))
    event = await said(harness, room, "aaaaaaaaa bbbbbbbbb")
    redact(harness, room, event, reason="a typo")
    await harness.settle(5)
    assert [(each.target, each.reason) for each in harness.network.deletes] == [
        (id, "a typo") for id in sent_ids(harness)
    ]
    assert await harness.store.messages_by_event(room, event) == []
    redact(harness, room, event)  # once more does no harm
    await harness.settle(5)
    assert len(harness.network.deletes) == 2
    assert notices(harness, room) == []
    await harness.kill()


async def test_a_moderator_deletes_somebody_elses_message() -> None:
    harness, room = await started()
    harness.network.say("chat", "friend", "spam", id="spam")
    await harness.settle(5)
    spam = next(e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "spam")
    redact(harness, room, EventID(spam["event_id"]))
    await harness.settle(5)
    assert [each.target for each in harness.network.deletes] == ["spam"]
    await harness.kill()


async def test_nobody_deletes_without_login_and_relay() -> None:
    harness, room = await started()
    harness.homeserver.join_person(room, BOB)
    event = await said(harness, room, "one")
    redact(harness, room, event, BOB)
    await harness.settle(5)
    assert harness.network.deletes == []
    assert "you are not logged in" in notices(harness, room)[0]
    await harness.kill()


async def test_nothing_is_said_about_the_deletion_of_what_never_crossed() -> None:
    harness, room = await started()
    harness.network.next_sends(Rejected("too rude"))
    event = await said(harness, room, "one")
    redact(harness, room, event)
    redact(harness, room, EventID("$elsewhere"))
    await harness.settle(5)
    assert harness.network.deletes == []
    assert len(notices(harness, room)) == 1  # that it was not sent
    await harness.kill()


async def test_the_deletion_of_an_edit_is_nothing_to_the_network() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    second = edit(harness, room, event, "two")
    await harness.settle(5)
    redact(harness, room, second)
    await harness.settle(5)
    assert (harness.network.deletes, notices(harness, room)) == ([], [])
    await harness.kill()


async def test_the_deletion_of_an_uncertain_message_is_said_to_be_impossible() -> None:
    harness, room = await started(FakeNetwork(dedupes=False, echo="none"))
    harness.network.next_sends(Uncertain("no receipt"))
    event = await said(harness, room, "one")
    redact(harness, room, event)
    await harness.settle(15)  # it may have shown itself
    assert "Your deletion was not carried out: it is not known whether" in notices(harness, room)[1]
    await harness.kill()


@pytest.mark.parametrize(
    "network, words",
    [
        (FakeNetwork(lacks=[CanDelete]), "this network cannot delete what was sent"),
        (FakeNetwork(limits=able(delete_within=timedelta(hours=1))), "can be deleted only for 1 hour"),
    ],
    ids=["cannot", "too late"],
)
async def test_a_deletion_that_the_network_does_not_allow(network: FakeNetwork, words: str) -> None:
    harness, room = await started(network)
    event = await said(harness, room, "one")
    await harness.settle(3700)
    redact(harness, room, event)
    await harness.settle(5)
    assert harness.network.deletes == []
    assert words in notices(harness, room)[0]
    await harness.kill()


async def test_a_message_in_several_events_goes_as_a_whole() -> None:
    """A moderator redacts one of the events of a long message from the network."""
    harness, room = await started()
    harness.network.say("chat", "friend", "long " * 20_000, id="long")
    await harness.settle(5)
    parts = [r.event_id for r in await harness.store.message_by_remote(PortalKey("chat"), "long")]  # type: ignore[arg-type]
    assert len(parts) > 1
    redact(harness, room, parts[0])
    await harness.settle(5)
    assert [each.target for each in harness.network.deletes] == ["long"]
    assert set(parts[1:]) <= set(harness.homeserver.redacted)
    await harness.kill()


# --- an edit that is redacted -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
async def test_a_message_says_again_what_it_said_before_a_redacted_edit(echo: Echo) -> None:
    harness, room = await started(FakeNetwork(echo=echo))
    event = await said(harness, room, "one")
    second = edit(harness, room, event, "two")
    await harness.settle(1)
    third = edit(harness, room, event, "three")
    await harness.settle(1)
    redact(harness, room, third)
    await harness.settle(5)
    redact(harness, room, second)
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["two", "three", "two", "one"]
    redact(harness, room, event)
    await harness.settle(5)
    assert len(harness.network.deletes) == 1
    assert notices(harness, room) == [] and await harness.store.dead_letters() == []
    await harness.kill()


async def test_a_redacted_edit_that_was_not_the_last_changes_nothing() -> None:
    harness, room = await started()
    event = await said(harness, room, "one")
    second = edit(harness, room, event, "two")
    edit(harness, room, event, "three")
    await harness.settle(1)
    redact(harness, room, second)
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["two", "three"]
    await harness.kill()


@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
async def test_all_edits_are_redacted_one_after_the_other(echo: Echo) -> None:
    """The oldest first does nothing; each that is shown then gives way to the one before it, also in several parts,
    over a restart, and where two said the same."""
    harness, room = await started(FakeNetwork(echo=echo, limits=SHORT))
    event = await said(harness, room, "aaaaaaaaa bbbbbbbbb")
    edits = [edit(harness, room, event, body) for body in ("ccccccccc ddddddddd", "e", "f", "e", "g")]
    await harness.settle(1)
    for which in (0, 4, 3, 2, 1):
        before = len(edited(harness))
        redact(harness, room, edits[which])
        await harness.settle(5)
        shown = {0: [], 4: ["e"], 3: ["f"], 2: ["e"], 1: ["aaaaaaaaa"]}[which]
        assert [text for _, text in edited(harness)][before:] == shown
        await harness.kill()
        await harness.start()
        await harness.settle(1)
    assert [message.text.body for _, message in harness.network.spoken][-1] == "bbbbbbbbb"
    assert notices(harness, room) == [] and await harness.store.dead_letters() == []
    await harness.kill()


async def test_an_edit_that_a_redaction_has_told_ahead_can_be_redacted_too() -> None:
    """The room shows the third already when the second is redacted."""
    harness, room = await started(FakeNetwork(echo="none"))
    event = await said(harness, room, "one")
    second = edit(harness, room, event, "two")
    await harness.settle(1)
    redact(harness, room, second)
    third, fourth = edit(harness, room, event, "three"), edit(harness, room, event, "four")
    await harness.settle(5)
    redact(harness, room, fourth)
    await harness.settle(5)
    redact(harness, room, third)
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["two", "four", "three", "four", "three", "one"]
    await harness.kill()


@pytest.mark.parametrize("killed", [False, True])
async def test_a_moderator_redacts_an_edit(killed: bool) -> None:
    """Its author's login changes the message back, in all its parts."""
    harness, room = await started(FakeNetwork(limits=SHORT))
    event = await said(harness, room, "aaaaaaaaa bbbbbbbbb")
    second = edit(harness, room, event, "ccccccccc ddddddddd")
    await harness.settle(1)
    dead = harness.kill_at(points.PARTS_BETWEEN) if killed else None
    harness.homeserver.join_person(room, BOB)
    redact(harness, room, second, BOB)
    if dead is not None:
        await harness.until(dead.is_set)
        await harness.kill()
        await harness.start()
    await harness.settle(30)
    assert [text for _, text in edited(harness)][-2:] == ["aaaaaaaaa", "bbbbbbbbb"]
    assert notices(harness, room) == [] and await harness.store.dead_letters() == []
    await harness.kill()


async def test_who_redacts_what_somebody_of_the_network_has_edited_is_told_that_it_stays_there() -> None:
    harness, room = await started()
    harness.network.say("chat", "friend", "one", id="theirs")
    harness.network.emit(network_edit("theirs", "two"))
    await harness.settle(5)
    by_body = {e["content"].get("body"): EventID(e["event_id"]) for e in harness.homeserver.rooms[room].timeline}
    redact(harness, room, by_body["* two"])
    redact(harness, room, by_body["* two"])  # once more: it is gone
    await harness.settle(5)
    assert harness.network.edits == [] and harness.network.deletes == []
    (notice,) = notices(harness, room)
    assert "Your deletion was not carried out" in notice and "delete the message itself" in notice
    redact(harness, room, by_body["one"])
    await harness.settle(5)
    assert [each.target for each in harness.network.deletes] == ["theirs"]
    redact(harness, room, by_body["one"])
    await harness.settle(5)
    assert len(notices(harness, room)) == 1
    await harness.kill()


async def test_who_redacts_what_the_network_has_deleted_is_told_nothing() -> None:
    harness, room = await started()
    harness.network.say("chat", "friend", "one", id="theirs")
    harness.network.emit(network_delete("theirs"))
    await harness.settle(5)
    (gone,) = harness.homeserver.redacted
    redact(harness, room, gone)
    await harness.settle(5)
    assert notices(harness, room) == []
    await harness.kill()


async def test_where_an_edit_cannot_be_taken_back_the_sender_is_told() -> None:
    harness, room = await started(FakeNetwork(limits=able(edits_per_message=1)))
    event = await said(harness, room, "one")
    second = edit(harness, room, event, "two")
    await harness.settle(1)
    redact(harness, room, second)
    await harness.settle(5)
    assert [text for _, text in edited(harness)] == ["two"]
    (notice,) = notices(harness, room)
    assert "can be changed only once" in notice
    await harness.kill()


async def test_somebody_with_a_long_id_is_mentioned() -> None:
    """Their ghost's user id is a hash, which only the database can read back."""
    harness, room = await started()
    long = RemoteUserID("somebody/" * 60)
    harness.network.say("chat", long, "it is me")
    await harness.settle(5)
    (ghost,) = (e["sender"] for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "it is me")
    pill = f'<a href="https://matrix.to/#/{ghost}">Somebody</a>'
    html = {"format": "org.matrix.custom.html", "formatted_body": f"hi {pill}", "m.mentions": {"user_ids": [ghost]}}
    harness.homeserver.say(room, ALICE, "hi Somebody", **html)
    await harness.settle(5)
    _, message = harness.network.spoken[-1]
    assert [mention.target for mention in message.text.mentions] == [MentionUser(long)]
    await harness.kill()
