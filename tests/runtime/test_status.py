"""What the sender of a message sees of its way: receipts, status events, notices, and their corrections."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.errors import HomeserverUnreachable, Rejected, Transient, Uncertain
from bridgekit.model.ids import EventID, RoomID
from bridgekit.runtime import points
from bridgekit.runtime.status import StatusRules
from bridgekit.testing.harness import ALICE, IDENTITY, Harness
from bridgekit.testing.network import FakeNetwork, Outcome, able

BOT = IDENTITY.bot
STATUS = "com.beeper.message_send_status"


async def started(network: FakeNetwork | None = None, **options: Any) -> tuple[Harness, RoomID]:
    harness = Harness(network, **options)
    await harness.start()
    return harness, await harness.portal()


def states(harness: Harness, room: RoomID) -> list[tuple[EventID, str]]:
    return [
        (event["content"]["m.relates_to"]["event_id"], event["content"]["status"])
        for event in harness.homeserver.rooms[room].timeline
        if event["type"] == STATUS
    ]


def notices(harness: Harness, room: RoomID) -> list[Any]:
    timeline = harness.homeserver.rooms[room].timeline
    return [event for event in timeline if event["content"].get("msgtype") == "m.notice"]


async def test_the_bots_receipt_follows_what_has_crossed() -> None:
    harness, room = await started()
    first = harness.homeserver.say(room, ALICE, "one")
    await harness.settle()
    assert harness.homeserver.receipts[room, BOT] == first
    events = [harness.homeserver.say(room, ALICE, str(number)) for number in range(20)]
    await harness.settle(5)
    assert harness.homeserver.receipts[room, BOT] == events[-1]
    assert harness.homeserver.calls.count("send_receipt") == 2  # one at once, then the latest
    assert states(harness, room) == []
    harness.network.next_sends(Rejected("too rude"))
    harness.homeserver.say(room, ALICE, "rude")
    await harness.settle(5)
    assert harness.homeserver.receipts[room, BOT] == events[-1]
    await harness.kill()


async def test_a_receipt_holds_up_nothing() -> None:
    harness, room = await started()
    harness.homeserver.fail("send_receipt", HomeserverUnreachable("gone"))
    gate = harness.homeserver.gate("send_receipt")
    for number in range(3):
        harness.homeserver.say(room, ALICE, str(number))
    await harness.settle(5)
    assert harness.network.texts("chat") == ["0", "1", "2"]
    gate.set()
    await harness.settle(5)
    last = harness.homeserver.say(room, ALICE, "3")
    await harness.settle(5)
    assert harness.homeserver.receipts[room, BOT] == last
    await harness.kill()


@pytest.mark.parametrize(
    "error, state, reason",
    [
        (Rejected("too rude"), "FAIL_PERMANENT", "m.foreign_network_error"),
        (Uncertain("no receipt"), "FAIL_PERMANENT", "m.foreign_network_error"),
        (KeyError("oops"), "FAIL_PERMANENT", "m.event_not_handled"),
    ],
)
async def test_a_failure_is_a_status_event_and_a_notice(error: Exception, state: str, reason: str) -> None:
    harness, room = await started()
    harness.network.next_sends(error)
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(5)
    (status,) = (each for each in harness.homeserver.rooms[room].timeline if each["type"] == STATUS)
    (notice,) = notices(harness, room)
    assert status["content"] == {
        "network": "fake",
        "m.relates_to": {"rel_type": "m.reference", "event_id": event},
        "status": state,
        "reason": reason,
        "message": notice["content"]["body"],
    }
    assert status["sender"] == BOT
    await harness.kill()


async def test_pending_after_a_minute_and_then_a_success() -> None:
    harness, room = await started()
    harness.network.next_sends(*(Transient("busy", retry_after=30) for _ in range(5)))
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(55)
    assert states(harness, room) == []
    await harness.settle(20)
    assert states(harness, room) == [(event, "PENDING")]
    await harness.settle(200)
    assert states(harness, room) == [(event, "PENDING"), (event, "SUCCESS")]
    second = harness.homeserver.say(room, ALICE, "two")
    await harness.settle(5)
    assert second not in [each for each, _ in states(harness, room)]
    await harness.kill()


async def test_a_retried_dead_letter_corrects_what_was_said() -> None:
    harness, room = await started()
    harness.network.next_sends(Rejected("too rude"), Rejected("still too rude"))
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(5)
    await retry(harness)
    # It is told again that it failed again.
    assert [each["content"]["body"] for each in notices(harness, room)] == [
        "Your message was not sent: too rude.",
        "Your message was not sent: still too rude.",
    ]
    last = notices(harness, room)[-1]["event_id"]
    await harness.stop()  # what was said is known over a restart
    await harness.start()
    await retry(harness)
    assert harness.network.texts("chat") == ["one"]
    assert states(harness, room)[-1] == (event, "SUCCESS")
    assert harness.homeserver.redacted == [last]
    assert harness.homeserver.receipts[room, BOT] == event
    await harness.kill()


async def retry(harness: Harness) -> None:
    (letter,) = await harness.store.dead_letters()
    entry = await harness.store.retry_dead(letter.id, now=harness.clock.now(), epoch=harness.bridge.lease.epoch)
    assert entry is not None
    harness.bridge._lanes.wake(entry.lane)
    await harness.settle(20)


async def test_an_uncertain_message_that_arrives_after_all() -> None:
    harness, room = await started(FakeNetwork(dedupes=False, echo="nonce"))
    harness.network.connect_errors.extend(ConnectionError() for _ in range(3))
    harness.network.next_sends(Outcome(Uncertain("no receipt"), taken=True))
    harness.network.drop_connections()  # the echo comes later
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(120)
    told = states(harness, room)
    if told:  # the echo may have come first
        assert told == [(event, "FAIL_PERMANENT"), (event, "SUCCESS")]
    await harness.kill()


async def test_the_correction_is_tried_again() -> None:
    harness, room = await started()
    harness.network.next_sends(*(Transient("busy", retry_after=70) for _ in range(2)))
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(80)
    harness.homeserver.fail(
        "send_event", HomeserverUnreachable("gone"), times=2, when=lambda arguments: arguments["type"] == STATUS
    )
    await harness.settle(200)
    assert harness.network.texts("chat") == ["one"]
    assert states(harness, room) == [(event, "PENDING"), (event, "SUCCESS")]
    await harness.kill()


@pytest.mark.parametrize(
    "rules, marks",
    [
        (StatusRules(notices=False), (1, 0, 1)),
        (StatusRules(events=False), (0, 1, 1)),
        (StatusRules(receipts=False), (1, 1, 0)),
        (StatusRules(receipts=False, events=False, notices=False), (0, 0, 0)),
    ],
)
async def test_each_can_be_left_out(rules: StatusRules, marks: tuple[int, int, int]) -> None:
    harness, room = await started(status=rules)
    harness.network.next_sends(Rejected("too rude"))
    for body in ("one", "two"):
        harness.homeserver.say(room, ALICE, body)
    await harness.settle(5)
    assert (
        len(states(harness, room)),
        len(notices(harness, room)),
        len([key for key in harness.homeserver.receipts if key[1] == BOT]),
    ) == marks
    assert len(await harness.store.dead_letters()) == 1
    await harness.kill()


async def test_killed_while_the_sender_is_told() -> None:
    """The end is on disk before the words: the message is not sent after all, and the words are said once."""
    harness, room = await started()
    harness.network.next_sends(Rejected("too rude"))
    gate = harness.homeserver.gate("send_event")
    harness.homeserver.say(room, ALICE, "one")
    await harness.settle(1)
    await harness.kill()
    gate.set()
    await harness.start()
    await harness.settle(30)
    assert harness.network.texts("chat") == []
    assert (len(states(harness, room)), len(notices(harness, room))) == (1, 1)
    await harness.kill()


async def test_killed_after_a_retried_letter_has_crossed() -> None:
    harness, room = await started()
    harness.network.next_sends(Rejected("too rude"))
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(5)
    (letter,) = await harness.store.dead_letters()
    await harness.store.retry_dead(letter.id, now=harness.clock.now(), epoch=harness.bridge.lease.epoch)
    dead = harness.kill_at(points.NETWORK_SENT)
    harness.bridge._lanes.wake(letter.lane)  # type: ignore[arg-type]
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(30)
    assert harness.network.texts("chat") == ["one"]
    assert states(harness, room)[-1] == (event, "SUCCESS")
    await harness.kill()


async def test_a_part_that_arrives_after_all_corrects_nothing_where_the_rest_is_missing() -> None:
    network = FakeNetwork(dedupes=False, echo="nonce", limits=able(max_text_length=10))
    harness, room = await started(network)
    harness.network.next_sends(Outcome(Uncertain("no receipt"), taken=True))
    event = harness.homeserver.say(room, ALICE, "aaaaaaaaa bbbbbbbbb")
    await harness.settle(60)
    assert [text.strip() for text in network.texts("chat")] == ["aaaaaaaaa"]
    assert states(harness, room) == [(event, "FAIL_PERMANENT")]
    (notice,) = notices(harness, room)
    assert "what comes behind that part of it was not sent" in notice["content"]["body"]
    assert harness.homeserver.redacted == []
    await harness.kill()
