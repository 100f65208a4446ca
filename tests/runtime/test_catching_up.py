"""After days away: the newest are replayed in order, the others are told of, and nothing notifies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import LoginID, RemoteMessageID, RoomID
from bridgekit.model.media import Location, MediaKind
from bridgekit.runtime import points
from bridgekit.runtime.catching_up import CatchUpRules
from bridgekit.runtime.media_rules import MediaMode, MediaRules
from bridgekit.testing.clock import START_MS
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.files import settled, shown

HOUR = 3_600_000
LONG_AGO = START_MS - 100 * HOUR


def old(network: FakeNetwork, count: int, *, chat: str = "chat", since: int = 0) -> list[str]:
    """So many messages of days ago, an hour apart."""
    texts = [f"old {since + number}" for number in range(count)]
    for number, text in enumerate(texts):
        network.say(chat, "friend", text, at=LONG_AGO + (since + number) * 60_000)
    return texts


def timeline(harness: Harness, room: RoomID) -> list[tuple[str, str]]:
    """What a room shows: (msgtype, the first line)."""
    return [
        (event["content"]["msgtype"], event["content"]["body"])
        for event in harness.homeserver.rooms[room].timeline
        if event["type"] == "m.room.message"
    ]


def counts(lines: list[tuple[str, str]]) -> list[int]:
    """How many messages each notice of the bot says were not bridged."""
    return [int(body.split()[0]) for _, body in lines if "not bridged" in body]


def replayed(lines: list[tuple[str, str]]) -> list[str]:
    return [body for _, body in lines if "not bridged" not in body]


async def away(
    network: FakeNetwork | None = None, *, seed: int | None = None, media: MediaRules | None = None, **rules: Any
) -> tuple[Harness, RoomID]:
    """A bridge that was stopped, and the room of its one portal."""
    settings: dict[str, Any] = {"older_than_ms": 6 * HOUR, "replay": 5, **rules}
    harness = Harness(network, seed=seed, catch_up=CatchUpRules(**settings), media=media)
    await harness.start()
    room = await harness.portal()
    await harness.settle()
    await harness.stop()
    return harness, room


@pytest.mark.parametrize("marker", [True, False], ids=["it says when it has caught up", "it does not"])
async def test_the_newest_are_replayed_as_notices(marker: bool) -> None:
    network = FakeNetwork()
    network.says_caught_up = marker
    harness, room = await away(network)
    texts = old(network, 30)
    network.say("chat", "friend", "just now")
    await harness.start()
    await harness.until(lambda: "just now" in harness.homeserver.bodies(room))
    lines = timeline(harness, room)
    assert lines[0] == ("m.text", "hello")
    assert lines[1][0] == "m.notice" and lines[1][1].startswith("25 older messages, from 2023-11-10")
    assert lines[2:] == [*(("m.notice", text) for text in texts[25:]), ("m.text", "just now")]
    assert harness.bridge.catching_up.skipped == 25
    assert await harness.store.dead_letters() == []
    await harness.kill()


async def test_without_a_newer_message_it_takes_some_quiet_seconds() -> None:
    harness, room = await away()
    texts = old(harness.network, 30)
    await harness.start()
    await harness.until(lambda: len(timeline(harness, room)) >= 7, within_s=60)
    assert replayed(timeline(harness, room)) == ["hello", *texts[25:]]
    assert counts(timeline(harness, room)) == [25]
    await harness.kill()


@pytest.mark.parametrize(
    "count, rules, notices, shown",
    [
        (5, {}, [], 5),
        (6, {}, [1], 5),
        (3, {"replay": 0}, [3], 0),
        (1, {"replay": 0}, [1], 0),
        (3, {"replay": 1}, [2], 1),
        (30, {"replay": 1000}, [], 30),
        (30, {"older_than_ms": 1000 * HOUR}, [], 30),
        (1200, {}, [1195], 5),  # more than is looked at at once
    ],
)
async def test_how_many(count: int, rules: dict[str, Any], notices: list[int], shown: int) -> None:
    harness, room = await away(**rules)
    texts = old(harness.network, count)
    await harness.start()
    await harness.until(lambda: len(timeline(harness, room)) > shown + len(notices), within_s=120)
    await harness.settle(60)
    lines = timeline(harness, room)
    assert counts(lines) == notices
    assert replayed(lines) == ["hello", *texts[count - shown :]]
    await harness.kill()


async def test_as_messages() -> None:
    harness, room = await away(as_notice=False)
    texts = old(harness.network, 9)
    await harness.start()
    await harness.settle(60)
    assert harness.homeserver.bodies(room) == ["hello", *texts[4:]]
    assert counts(timeline(harness, room)) == [4]
    await harness.kill()


async def test_nobody_is_mentioned_aloud_and_a_reply_to_a_skipped_one_is_a_message() -> None:
    harness, room = await away()
    old(harness.network, 10)
    harness.network.say("chat", "friend", "as you said", reply_to=RemoteMessageID("m2"))
    await harness.start()
    await harness.until(lambda: "as you said" in harness.homeserver.bodies(room))
    event = next(e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "as you said")
    assert "m.relates_to" not in event["content"]
    await harness.kill()


async def test_a_chat_of_which_there_is_no_room_yet() -> None:
    """The first login: all that the network remembers comes at once."""
    harness = Harness(catch_up=CatchUpRules(replay=5))
    texts = old(harness.network, 20, chat="new")
    await harness.start()
    await harness.until(lambda: any(len(timeline(harness, room)) == 6 for room in harness.homeserver.rooms))
    (room,) = (room for room in harness.homeserver.rooms if timeline(harness, room))
    lines = timeline(harness, room)
    assert counts(lines[:1]) == [15]
    assert replayed(lines) == texts[15:]
    await harness.kill()


async def test_each_chat_by_itself() -> None:
    harness, room = await away()
    few, many = old(harness.network, 2, chat="chat"), old(harness.network, 9, chat="other")
    await harness.start()
    await harness.settle(60)
    assert replayed(timeline(harness, room)) == ["hello", *few]
    (other,) = (each for each in harness.homeserver.rooms if many[-1] in [body for _, body in timeline(harness, each)])
    assert replayed(timeline(harness, other)) == many[4:]
    assert counts(timeline(harness, other)) == [4]
    await harness.kill()


async def test_what_came_from_the_persons_phone_counts_like_anything_else() -> None:
    harness, room = await away(replay=2)
    for number in range(3):
        harness.network.say("chat", MINE, f"mine {number}", at=LONG_AGO)
    texts = old(harness.network, 2)
    await harness.start()
    await harness.settle(60)
    assert counts(timeline(harness, room)) == [3]
    assert replayed(timeline(harness, room)) == ["hello", *texts]
    await harness.kill()


async def test_what_we_sent_and_the_network_gives_back_late_says_nothing() -> None:
    harness, room = await away(FakeNetwork(echo="none"), replay=1)
    await harness.start()
    harness.homeserver.say(room, ALICE, "sent")
    await harness.until(lambda: harness.network.texts("chat") == ["sent"])
    await harness.settle()
    await harness.stop()
    harness.network.say("chat", MINE, "sent", id="s1", nonce=harness.network.tries[0], at=LONG_AGO)
    await harness.start()
    await harness.settle(60)
    assert timeline(harness, room) == [("m.text", "hello"), ("m.text", "sent")]
    await harness.kill()


async def test_the_next_time_is_told_of_by_itself() -> None:
    harness, room = await away()
    first = old(harness.network, 8)
    await harness.start()
    await harness.settle(60)
    await harness.stop()
    second = old(harness.network, 9, since=100)
    await harness.start()
    await harness.settle(60)
    lines = timeline(harness, room)
    assert counts(lines) == [3, 4]
    assert replayed(lines) == ["hello", *first[3:], *second[4:]]
    await harness.kill()


async def test_old_and_new_mixed() -> None:
    """A network without order in time: each notice stands where the messages are missing."""
    harness, room = await away()
    first = old(harness.network, 8)
    harness.network.say("chat", "friend", "new")
    second = old(harness.network, 8, since=50)
    harness.network.say("chat", "friend", "newer")
    await harness.start()
    await harness.until(lambda: "newer" in harness.homeserver.bodies(room))
    lines = timeline(harness, room)
    shown = replayed(lines)
    assert sum(counts(lines)) + len(shown) - 3 == 16
    everything = ["hello", *first, "new", *second, "newer"]
    assert shown == [each for each in everything if each in shown]
    assert {"new", "newer", *second[-5:]} <= set(shown)
    await harness.kill()


async def test_the_homeserver_is_away_meanwhile() -> None:
    harness, room = await away()
    texts = old(harness.network, 30)
    await harness.start()
    harness.homeserver.fail("send_event", HomeserverUnreachable("gone"), times=5, lost=True)
    harness.homeserver.fail("send_event", MatrixRequestError(502, "M_UNKNOWN", "proxy"), times=2)
    await harness.settle(300)
    lines = timeline(harness, room)
    assert counts(lines) == [25]
    assert replayed(lines) == ["hello", *texts[25:]]
    await harness.kill()


async def test_a_dead_letter_of_a_new_message_is_never_taken_for_an_old_one() -> None:
    def is_it(arguments: Mapping[str, Any]) -> bool:
        return bool(arguments["content"].get("body") == "too large")

    harness, room = await away()
    await harness.start()
    harness.homeserver.fail("send_event", MatrixRequestError(413, "M_TOO_LARGE", "no"), when=is_it)
    harness.network.say("chat", "friend", "too large")
    await harness.settle(60)
    (letter,) = await harness.store.dead_letters()
    harness.clock.jump(100 * 3600)
    entry = await harness.store.retry_dead(letter.id, now=harness.clock.now())
    assert entry is not None
    await harness.kill()
    await harness.start()
    await harness.until(lambda: "too large" in harness.homeserver.bodies(room))
    await harness.kill()


async def test_a_login_that_has_to_be_renewed_holds_nothing_up() -> None:
    harness, room = await away()
    texts = old(harness.network, 8)
    await harness.start()
    await harness.settle()
    await harness.bridge.sessions.disconnect(LoginID(MINE))
    await harness.settle(60)
    assert replayed(timeline(harness, room)) == ["hello", *texts[3:]]
    await harness.kill()


# --- crashes --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("batch", [1, 7])
async def test_killed_while_replaying(after: int, batch: int) -> None:
    """At each message that was sent and not yet completed; and more has come when the bridge is back."""
    network = FakeNetwork()
    harness, room = await away(network, seed=after)
    texts = old(network, 30)
    await harness.start()
    dead = harness.kill_at(points.MATRIX_SENT, after=after)
    await harness.until(lambda: dead.is_set() or len(timeline(harness, room)) >= 7)
    await harness.kill()
    more = old(network, 30, since=100)
    await harness.start()
    await harness.settle(120)
    lines = timeline(harness, room)
    assert replayed(lines) == ["hello", *texts[25:], *more[25:]]
    assert counts(lines) == [25, 25]
    await harness.kill()


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_moment(seed: int) -> None:
    """Whatever was decided stays so: what is shown and what is told of is everything, once, and in order."""
    network = FakeNetwork()
    network.says_caught_up = seed % 2 == 0
    harness, room = await away(network, seed=seed)
    rng = harness.rng
    assert rng is not None
    everything = ["hello"]
    for round in range(5):
        texts = [f"old {round}.{number}" for number in range(rng.randrange(25))]
        everything += texts
        for text in texts:
            network.say("chat", "friend", text, id=text, at=LONG_AGO)
        await harness.start()
        await harness.settle(rng.choice([0.0, 0.5, 5.0, 6.0]))
        await harness.kill()
    await harness.start()
    await harness.settle(120)
    lines = timeline(harness, room)
    shown = replayed(lines)
    assert len(set(shown)) == len(shown)
    assert shown == [text for text in everything if text in set(shown)]
    assert len(shown) + sum(counts(lines)) == len(everything)
    await harness.kill()


# --- files ----------------------------------------------------------------------------------------------------------
NOTIFIES = frozenset({"m.text", "m.image", "m.video", "m.audio", "m.file", "m.location"})


def notifying(harness: Harness, room: RoomID) -> list[str]:
    """The bodies of what notifies people, by the push rules: no notices, no edits, no stickers but for who is named."""
    found = []
    for event in harness.homeserver.rooms[room].timeline:
        content = event["content"]
        is_edit = content.get("m.relates_to", {}).get("rel_type") == "m.replace"
        by_kind = event["type"] == "m.room.message" and content["msgtype"] in NOTIFIES
        is_named = content.get("m.mentions", {}) != {} and content.get("msgtype") != "m.notice"
        if not is_edit and event["type"] in ("m.room.message", "m.sticker") and (by_kind or is_named):
            found.append(content["body"])
    return found


@pytest.mark.parametrize("reserves", [True, False])
@pytest.mark.parametrize("mode", ["async", "wait"])
async def test_old_files_notify_nobody(mode: MediaMode, reserves: bool) -> None:
    network = FakeNetwork()
    harness, room = await away(network, media=MediaRules(mode=mode))
    harness.homeserver.async_uploads = reserves
    picture = network.add_remote_file(b"picture", name="p.png", mimetype="image/png")
    sticker = network.add_remote_file(b"sticker", name="s.webp", kind=MediaKind.STICKER)
    network.say("chat", "friend", "old", id="o", at=LONG_AGO)
    network.say("chat", "friend", "look", at=LONG_AGO + 1, media=(picture,))
    network.say("chat", "friend", "", at=LONG_AGO + 2, media=(sticker,), reply_to=RemoteMessageID("o"))
    network.say("chat", "friend", "", at=LONG_AGO + 3, location=Location(51.5, -0.25))
    network.say("chat", "friend", "just now", media=(network.add_remote_file(b"new", name="n.png"),))
    await harness.start()
    place = "Location: 51.5, -0.25\nhttps://www.openstreetmap.org/?mlat=51.5&mlon=-0.25"
    await settled(harness, room, "old", b"picture", b"sticker", place, b"new")
    content = shown(harness, room)[2]
    assert (content["msgtype"], content["body"], content["filename"]) == ("m.image", "look", "p.png")
    assert notifying(harness, room) == (["hello", "just now"] if reserves or mode == "wait" else ["hello"])
    await harness.kill()


async def test_old_files_as_messages_where_that_is_wanted() -> None:
    harness, room = await away(as_notice=False)
    harness.network.say("chat", "friend", "", at=LONG_AGO, media=(harness.network.add_remote_file(b"f", name="f.bin"),))
    await harness.start()
    await settled(harness, room, b"f")
    assert notifying(harness, room) == ["hello", "f.bin"]
    await harness.kill()


@pytest.mark.parametrize(
    ("mode", "point"), [("async", points.MEDIA_SENT), ("async", points.MEDIA_UPLOADED), ("wait", points.MEDIA_SENT)]
)
async def test_an_old_file_after_a_crash(mode: MediaMode, point: str) -> None:
    harness, room = await away(media=MediaRules(mode=mode))
    harness.network.say("chat", "friend", "", at=LONG_AGO, media=(harness.network.add_remote_file(b"f", name="f.bin"),))
    dead = harness.kill_at(point)
    await harness.start()
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await settled(harness, room, b"f")
    assert notifying(harness, room) == ["hello"]
    await harness.kill()
