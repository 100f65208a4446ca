"""Files from Matrix: they go ahead, their messages in their places, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from bridgekit.adapter.capabilities import CanDelete, CanUploadMedia
from bridgekit.core.media_from_matrix import ReadFile
from bridgekit.errors import AuthFailed, HomeserverUnreachable, MatrixRequestError, Rejected, Transient
from bridgekit.model.content import Text
from bridgekit.model.ids import ContentURI, EventID, RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.media import Location, MediaKind
from bridgekit.ports import Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.media_open import media_of
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.testing.clock import ManualClock
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.homeserver import FakeHomeserver
from bridgekit.testing.network import FakeNetwork, Outcome, able
from tests.runtime.conftest import Start
from tests.runtime.test_kills import turns

DATA = b"0123456789" * 10


def send(harness: Harness, room: RoomID, name: str = "a.bin", data: bytes | None = DATA, **content: Any) -> ContentURI:
    """Alice sends a file; `data` None: her client uploads it later."""
    uri = harness.homeserver.add_file(data)
    put(harness, room, uri, name, **content)
    return uri


def put(harness: Harness, room: RoomID, uri: str, name: str = "a.bin", **content: Any) -> EventID:
    user = UserID(content.pop("user", ALICE))
    return harness.homeserver.emit(
        room, user, "m.room.message", {"msgtype": "m.file", "body": name, "url": uri, **content}
    )


def took(harness: Harness, chat: str = "chat") -> list[str]:
    """What the network took in a chat: texts, and files as ``name=reference caption``."""
    found = []
    for _, message in harness.network.spoken:
        if message.portal.chat == chat:
            media = message.media
            found.append(f"{media.name}={media.remote} {message.text.body}".strip() if media else message.text.body)
    return found


def given(harness: Harness) -> list[tuple[str, bytes]]:
    return [(each.media.name, each.data) for each in harness.network.given]


def notices(harness: Harness, room: RoomID) -> list[str]:
    return harness.homeserver.bodies(room, notices=True)


async def nothing_is_left(harness: Harness) -> None:
    await harness.settle(60)
    assert await harness.bridge.books.directory.media_jobs() == []
    assert (await harness.bridge._store.stats()).pending_matrix == 0


# --- order ----------------------------------------------------------------------------------------------------------
async def test_a_file_crosses_in_its_place(start: Start) -> None:
    harness, room = await start()
    harness.homeserver.say(room, ALICE, "before")
    send(harness, room, info={"mimetype": "text/plain", "size": 100})
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: len(took(harness)) == 3)
    assert took(harness) == ["before", "a.bin=ref1", "after"]
    assert given(harness) == [("a.bin", DATA)]
    (_, message) = harness.network.spoken[1]
    assert message.media is not None
    assert (message.media.kind, message.media.mimetype, message.media.size) == (MediaKind.FILE, "text/plain", 100)
    await nothing_is_left(harness)


async def test_a_text_waits_for_its_rooms_file_and_other_rooms_wait_for_nothing(start: Start) -> None:
    harness, room = await start()
    other = await harness.portal("other")
    gate = harness.network.gates["slow.bin"] = asyncio.Event()
    send(harness, room, "slow.bin")
    harness.homeserver.say(room, ALICE, "after the file")
    harness.homeserver.say(other, ALICE, "elsewhere")
    send(harness, other, "quick.bin")
    await harness.until(lambda: len(took(harness, "other")) == 2)
    assert took(harness, "other") == ["elsewhere", "quick.bin=ref1"]
    assert took(harness) == []
    gate.set()
    await harness.until(lambda: len(took(harness)) == 2)
    assert took(harness) == ["slow.bin=ref2", "after the file"]


async def test_files_go_ahead_of_what_their_messages_wait_behind(start: Start) -> None:
    harness, room = await start()
    gate = harness.network.gates["first.bin"] = asyncio.Event()
    send(harness, room, "first.bin")
    harness.homeserver.say(room, ALICE, "text")
    send(harness, room, "second.bin")
    send(harness, room, "third.bin")
    await harness.until(lambda: len(given(harness)) == 2)
    assert took(harness) == []
    gate.set()
    await harness.until(lambda: len(took(harness)) == 4)
    assert took(harness) == ["first.bin=ref3", "text", "second.bin=ref1", "third.bin=ref2"]
    assert harness.network.upload_tries == ["first.bin", "second.bin", "third.bin"]


async def test_few_at_a_time_and_fair_between_rooms(start: Start) -> None:
    harness, room = await start(media=MediaRules(per_login=2))
    other = await harness.portal("other")
    gate = asyncio.Event()
    names = [f"{number}.bin" for number in range(6)]
    for name in [*names, "other.bin"]:
        harness.network.gates[name] = gate
    for name in names:
        send(harness, room, name)
    send(harness, other, "other.bin")
    await harness.settle()
    assert harness.network.upload_tries[:2] == ["0.bin", "1.bin"]
    assert harness.network.max_open == 2
    gate.set()
    await harness.until(lambda: len(given(harness)) == 7)
    assert harness.network.upload_tries.index("other.bin") <= 3
    assert harness.network.max_open == 2
    await harness.until(lambda: len(took(harness)) == 6)
    assert [each.partition("=")[0] for each in took(harness)] == names


# --- what it says ---------------------------------------------------------------------------------------------------
async def test_captions_and_answers(start: Start) -> None:
    harness, room = await start()
    harness.homeserver.say(room, ALICE, "which cat?")
    await harness.settle(1)
    first = harness.homeserver.rooms[room].timeline[-1]["event_id"]
    more: Any = {"m.relates_to": {"m.in_reply_to": {"event_id": first}}}
    send(harness, room, "this one", filename="cat.png", msgtype="m.image", **more)
    await harness.until(lambda: len(took(harness)) == 2)
    (_, message) = harness.network.spoken[1]
    assert message.media is not None
    assert (message.text, message.media.name, message.media.kind) == (Text("this one"), "cat.png", MediaKind.IMAGE)
    assert message.reply_to == "s1"


async def test_a_network_without_captions_gets_a_text_behind_the_file(start: Start) -> None:
    harness, room = await start(FakeNetwork(limits=able(captions=False)))
    send(harness, room, "look", filename="cat.png")
    send(harness, room, "dog.png")
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: len(took(harness)) == 4)
    assert took(harness) == ["cat.png=ref1", "look", "dog.png=ref2", "after"]
    nonces = [message.nonce for _, message in harness.network.spoken]
    assert len(set(nonces)) == 4
    await nothing_is_left(harness)


@pytest.mark.parametrize("captions", [True, False])
async def test_an_edited_caption(start: Start, captions: bool) -> None:
    harness, room = await start(FakeNetwork(limits=able(captions=captions)))
    uri = harness.homeserver.add_file(DATA)
    event = put(harness, room, uri, "look", filename="cat.png")
    await harness.settle(1)
    for body in ("look at her", "cat.png"):
        new = {"msgtype": "m.file", "url": uri, "filename": "cat.png", "body": body}
        put(
            harness,
            room,
            uri,
            "* x",
            **{"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": event}},
        )
        await harness.settle(1)
    deeds = [(call.deed, getattr(call.value, "target", None), _body(call.value)) for call in harness.network.done]
    if captions:
        assert deeds == [("edit", "s1", "look at her"), ("edit", "s1", "")]
    else:
        assert deeds == [("edit", "s2", "look at her"), ("delete", "s2", "")]
    assert len(given(harness)) == 1


@pytest.mark.parametrize("captions", [True, False])
@pytest.mark.parametrize(
    "before, after, words",
    [
        ("text", "file", "a text cannot be changed into a file"),
        ("file", "text", "a file cannot be changed into a text"),
        ("file", "other", "only what is said of it can be changed"),
    ],
)
async def test_what_no_edit_can_do_is_said(
    start: Start, before: str, after: str, words: str, *, captions: bool
) -> None:
    """Such an edit emptied the message at the network, or changed nothing there, without a word."""
    harness, room = await start(FakeNetwork(limits=Limits(captions=captions)))
    uris = {"file": harness.homeserver.add_file(DATA), "other": harness.homeserver.add_file(DATA)}
    contents: dict[str, dict[str, Any]] = {"text": {"msgtype": "m.text", "body": "typed"}}
    for name, uri in uris.items():
        contents[name] = {"msgtype": "m.file", "url": uri, "filename": "cat.png", "body": "look"}
    event = harness.homeserver.emit(room, ALICE, "m.room.message", contents[before])
    await harness.settle(1)
    relation = {"m.new_content": contents[after], "m.relates_to": {"rel_type": "m.replace", "event_id": event}}
    harness.homeserver.emit(room, ALICE, "m.room.message", contents[after] | relation)
    await harness.settle(1)
    assert harness.network.edits == []
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert words in notice
    assert len(given(harness)) == (before == "file")


def _body(value: Any) -> str:
    return value.text.body if hasattr(value, "text") else ""


async def test_relayed_files_bear_their_senders_names(start: Start) -> None:
    harness, room = await start()
    bob = UserID("@bob:test")
    harness.homeserver.join_person(room, bob)
    harness.homeserver.names[bob] = "Bob"
    harness.homeserver.say(room, ALICE, "!fake set-relay")
    await harness.settle(5)
    send(harness, room, user=bob)
    send(harness, room, "look", filename="cat.png", user=bob)
    await harness.until(lambda: len(took(harness)) >= 2)
    assert took(harness) == ["a.bin=ref1 Bob:", "cat.png=ref2 Bob: look"]


@pytest.mark.parametrize("locations", [True, False])
async def test_places(start: Start, locations: bool) -> None:
    harness, room = await start(FakeNetwork(limits=able(locations=locations)))
    harness.homeserver.emit(
        room, ALICE, "m.room.message", {"msgtype": "m.location", "body": "the pub", "geo_uri": "geo:51.5,-0.25;u=9"}
    )
    await harness.until(lambda: len(harness.network.spoken) == 1)
    (_, message) = harness.network.spoken[0]
    if locations:
        assert (message.text.body, message.location) == ("the pub", Location(51.5, -0.25, 9.0))
    else:
        assert message.text.body == "the pub\nhttps://www.openstreetmap.org/?mlat=51.5&mlon=-0.25"
        assert message.location is None


# --- what does not fit ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limits", "content", "words"),
    [
        (
            able(max_media_size=50),
            {"info": {"size": 100}},
            "the file has 100 bytes, and this network takes at most 50 bytes",
        ),
        (able(media=frozenset({MediaKind.IMAGE})), {}, "takes no files of this kind"),
        (able(), {"file": {"url": "mxc://a/b"}}, "encrypted"),
        (able(), {"url": "mxc://../admin"}, "does not say where its file is"),
    ],
)
async def test_refused_before_anything_is_read(start: Start, limits: Limits, content: Any, words: str) -> None:
    harness, room = await start(FakeNetwork(limits=limits))
    send(harness, room, **content)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    (notice,) = notices(harness, room)
    assert words in notice
    assert "open_media" not in harness.homeserver.calls
    await nothing_is_left(harness)


@pytest.mark.parametrize("said", [None, 10])
async def test_refused_when_it_turns_out_to_be_larger_than_its_sender_said(start: Start, said: int | None) -> None:
    harness, room = await start(FakeNetwork(limits=able(max_media_size=50)))
    send(harness, room, info={"size": said})
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    assert "the file has 100 bytes" in notices(harness, room)[0]
    assert given(harness) == []
    await nothing_is_left(harness)


async def test_a_network_without_files(start: Start) -> None:
    harness, room = await start(FakeNetwork(lacks={CanUploadMedia}))
    send(harness, room, "look", filename="cat.png")
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    assert "files cannot be sent to this network" in notices(harness, room)[0]


@pytest.mark.parametrize(
    ("kind", "takes", "goes_as"),
    [
        ("m.sticker", {MediaKind.IMAGE}, MediaKind.IMAGE),
        ("m.sticker", {MediaKind.FILE}, MediaKind.FILE),
        ("m.room.message", {MediaKind.FILE}, MediaKind.FILE),
    ],
)
async def test_what_goes_as_a_plainer_kind(start: Start, kind: str, takes: set[MediaKind], goes_as: MediaKind) -> None:
    harness, room = await start(FakeNetwork(limits=able(media=frozenset(takes))))
    uri = harness.homeserver.add_file(DATA)
    content = {"url": uri, "body": "x", "msgtype": "m.image"}
    harness.homeserver.emit(room, ALICE, kind, content)
    await harness.until(lambda: len(took(harness)) == 1)
    (_, message) = harness.network.spoken[0]
    assert message.media is not None
    assert message.media.kind is goes_as


# --- faults ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", [Transient("not now"), ConnectionResetError(), TimeoutError()])
async def test_an_upload_is_tried_again_and_nothing_overtakes_it(start: Start, error: Exception) -> None:
    harness, room = await start()
    harness.network.upload_errors.extend([error] * 3)
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: len(took(harness)) == 2)
    assert took(harness) == ["a.bin=ref1", "after"]
    assert harness.network.upload_tries == ["a.bin"] * 4
    await nothing_is_left(harness)


@pytest.mark.parametrize("error", [Rejected("no pictures on Sundays"), ValueError("a bug")])
async def test_an_upload_that_is_refused_ends_its_message_in_words(start: Start, error: Exception) -> None:
    harness, room = await start()
    harness.network.upload_errors.append(error)
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    words = "no pictures on Sundays" if isinstance(error, Rejected) else "internal error"
    assert words in notices(harness, room)[0]
    await nothing_is_left(harness)


async def test_a_file_that_is_not_there(start: Start) -> None:
    harness, room = await start()
    put(harness, room, "mxc://test/nothing")
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    assert "the file is not on the homeserver any more" in notices(harness, room)[0]
    await nothing_is_left(harness)


@pytest.mark.parametrize("fault", [HomeserverUnreachable("gone"), MatrixRequestError(502, "M_UNKNOWN", "proxy")])
async def test_a_homeserver_that_is_away_is_waited_for(start: Start, fault: Any) -> None:
    harness, room = await start()
    harness.homeserver.fail("open_media", fault, times=5)
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: len(took(harness)) == 2)
    assert took(harness) == ["a.bin=ref1", "after"]


async def test_a_download_that_breaks_off_is_begun_again(start: Start) -> None:
    harness, room = await start()
    harness.homeserver.pieces, harness.homeserver.cut_after = 8, 40
    send(harness, room)
    await harness.until(lambda: len(harness.network.upload_tries) == 2)
    assert given(harness) == []
    harness.homeserver.cut_after = None
    await harness.until(lambda: took(harness) == ["a.bin=ref1"])
    assert given(harness) == [("a.bin", DATA)]


async def test_what_is_not_uploaded_yet_is_waited_for(start: Start) -> None:
    harness, room = await start()
    uri = send(harness, room, data=None)
    harness.homeserver.say(room, ALICE, "after")
    await harness.settle(200)
    assert took(harness) == []
    assert "has not been uploaded to Matrix yet" in notices(harness, room)[0]
    harness.homeserver.fill(uri, DATA)
    await harness.until(lambda: len(took(harness)) == 2)
    assert took(harness) == ["a.bin=ref1", "after"]


async def test_what_is_never_uploaded_is_not_waited_for_for_ever(start: Start) -> None:
    harness, room = await start()
    send(harness, room, data=None)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"], within_s=1800)
    assert "its file was never uploaded to Matrix" in notices(harness, room)[-1]
    await nothing_is_left(harness)


async def test_an_upload_that_stalls_is_begun_again(start: Start) -> None:
    harness, room = await start()
    harness.network.gates["a.bin"] = asyncio.Event()
    send(harness, room)
    await harness.until(lambda: len(harness.network.upload_tries) == 2, within_s=120)
    harness.network.gates.clear()
    await harness.until(lambda: took(harness) == ["a.bin=ref1"])


async def test_a_login_that_is_no_longer_valid_waits_for_its_person(start: Start) -> None:
    harness, room = await start()
    harness.network.upload_errors.append(AuthFailed("who are you?"))
    send(harness, room)
    await harness.settle(120)
    assert took(harness) == []
    assert any("log in again" in words for words in notices(harness, room))


async def test_a_message_deleted_before_its_turn_leaves_nothing(start: Start) -> None:
    harness, room = await start()
    gate = harness.network.gates["slow.bin"] = asyncio.Event()
    send(harness, room, "slow.bin")
    uri = harness.homeserver.add_file(DATA)
    event = put(harness, room, uri, "deleted.bin")
    await harness.until(lambda: given(harness) == [("deleted.bin", DATA)])
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": event}, redacts=event)
    await harness.settle()
    gate.set()
    await harness.until(lambda: took(harness) == ["slow.bin=ref2"])
    await nothing_is_left(harness)


async def test_files_from_the_network_hold_up_none_from_matrix(start: Start) -> None:
    harness, room = await start(media=MediaRules(at_once=3, per_login=2))
    gate = asyncio.Event()
    for _ in range(6):
        harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, gate=gate),))
    await harness.until(lambda: sum(each.open_now for each in harness.network.remote_files.values()) == 2)
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["a.bin=ref1", "after"])
    assert sum(each.open_now for each in harness.network.remote_files.values()) == 2
    gate.set()
    await nothing_is_left(harness)


@pytest.mark.parametrize(("said", "seen"), [("../../etc/passwd", "passwd"), ("a\u202egpj.exe", "a gpj.exe"), ("", "")])
async def test_a_name_of_the_homeservers_is_no_path(said: str, seen: str) -> None:
    homeserver = FakeHomeserver(UserID("@bot:test"), yields=lambda: 0, clock=ManualClock())
    uri = homeserver.add_file(DATA, filename=said)
    file = ReadFile(kind=MediaKind.FILE, uri=uri, name="a.bin")
    async with media_of(file, cast(Homeserver, homeserver), Limits()).open() as stream:
        assert stream.name == seen


# --- networks that take the message first ---------------------------------------------------------------------------
async def test_reserved_the_message_goes_at_once_and_the_file_follows(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True))
    gate = harness.network.gates["a.bin"] = asyncio.Event()
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: len(took(harness)) == 2)
    assert took(harness) == ["a.bin=ref1", "after"]
    assert given(harness) == []
    gate.set()
    await harness.until(lambda: harness.network.file("ref1") == DATA)
    await nothing_is_left(harness)


@pytest.mark.parametrize("can_delete", [True, False])
@pytest.mark.parametrize("limits", [Limits(), Limits(captions=False), Limits(delete_within=timedelta(seconds=-1))])
async def test_reserved_and_never_there_is_said_and_deleted(start: Start, can_delete: bool, limits: Limits) -> None:
    lacks = () if can_delete else (CanDelete,)
    harness, room = await start(FakeNetwork(reserves=True, lacks=lacks, limits=limits))
    harness.network.upload_errors.append(Rejected("too ugly"))
    send(harness, room, body="look", filename="a.bin")
    await harness.until(lambda: bool(notices(harness, room)))
    assert took(harness) == (["a.bin=ref1 look"] if limits.captions else ["a.bin=ref1", "look"])
    assert "its file could not follow: too ugly" in notices(harness, room)[0]
    await harness.settle(60)
    deleted = [call.value.target for call in harness.network.done if call.deed == "delete"]
    assert deleted == (["s1"] if can_delete and limits.delete_within is None else [])
    assert harness.homeserver.redacted == []
    assert len(notices(harness, room)) == 1
    await nothing_is_left(harness)


async def test_what_is_deleted_for_its_file_is_tried_again(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True))
    harness.network.upload_errors.append(Rejected("too ugly"))
    harness.network.next_deeds("delete", Transient("not now"), ConnectionResetError())
    send(harness, room)
    await harness.until(lambda: [call.deed for call in harness.network.done] == ["delete"])
    await harness.settle(60)
    assert len(notices(harness, room)) == 1
    assert harness.network.upload_tries == ["a.bin"]
    await nothing_is_left(harness)


async def test_killed_while_what_has_no_file_is_deleted(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True))
    harness.network.upload_errors.append(Rejected("too ugly"))
    harness.network.next_deeds("delete", Outcome(gate=asyncio.Event()))
    send(harness, room)
    await harness.until(lambda: bool(harness.network.deletes))
    await harness.kill()
    await harness.start()
    await harness.until(lambda: len(harness.network.deletes) == 2)
    await harness.settle(60)
    assert len(notices(harness, room)) == 1
    assert harness.homeserver.redacted == []
    await nothing_is_left(harness)


async def test_where_the_message_may_be_there_its_file_follows(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True, dedupes=False, echo="none"))
    dead = harness.kill_at(points.NETWORK_SENT)
    send(harness, room)
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.until(lambda: harness.network.file("ref1") == DATA)
    assert took(harness) == ["a.bin=ref1"]
    assert "may not have been sent" in notices(harness, room)[0]
    await nothing_is_left(harness)


async def test_a_lost_answer_to_a_reservation_makes_no_message_uncertain(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True, dedupes=False))
    harness.network.reserve_errors.append(ConnectionResetError())
    send(harness, room)
    await harness.until(lambda: harness.network.file("ref1") == DATA)
    assert took(harness) == ["a.bin=ref1"]
    assert notices(harness, room) == []
    await nothing_is_left(harness)


async def test_where_the_rest_of_its_caption_is_refused_the_file_follows(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True, limits=able(max_text_length=10)))
    gate = harness.network.gates["a.bin"] = asyncio.Event()
    harness.network.next_sends(Outcome(), Rejected("too much talk"))
    send(harness, room, body="0123456789 0123456789", filename="a.bin")
    await harness.until(lambda: bool(notices(harness, room)))
    assert took(harness) == ["a.bin=ref1 0123456789"]
    gate.set()
    await harness.until(lambda: harness.network.file("ref1") == DATA)
    await nothing_is_left(harness)


async def test_reserving_fails_as_sending_does(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True))
    harness.network.reserve_errors.extend([Transient("later"), Rejected("never")])
    send(harness, room)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: took(harness) == ["after"])
    assert "never" in notices(harness, room)[0]
    await nothing_is_left(harness)


# --- crashes --------------------------------------------------------------------------------------------------------
KILLS = [points.MEDIA_HALF, points.MEDIA_UPLOADED, points.NETWORK_SENT, points.APPEND_AFTER]


@pytest.mark.parametrize("reserves", [False, True])
@pytest.mark.parametrize("point", [*KILLS, points.MEDIA_SENT])
@pytest.mark.parametrize("after", [0, 1])
async def test_killed_on_the_way(start: Start, point: str, reserves: bool, after: int) -> None:
    if point == points.MEDIA_SENT:
        reserves = True  # nothing is sent before its file elsewhere
    if point == points.APPEND_AFTER:
        after = 0  # all of it comes at once
    harness, room = await start(FakeNetwork(reserves=reserves))
    harness.homeserver.pieces = 8
    dead = harness.kill_at(point, after=after)
    harness.homeserver.say(room, ALICE, "before")
    send(harness, room, "one.bin", b"1" * 100)
    send(harness, room, "two.bin", b"2" * 100)
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.until(lambda: len(took(harness)) >= 4)
    await nothing_is_left(harness)
    names = [each.partition("=")[0] for each in took(harness)]
    assert names == ["before", "one.bin", "two.bin", "after"]
    for (_, message), data in zip(harness.network.spoken[1:3], (b"1" * 100, b"2" * 100), strict=True):
        assert message.media is not None
        assert harness.network.file(message.media.remote) == data
    assert notices(harness, room) == []


async def test_what_was_uploaded_before_a_crash_is_not_uploaded_again(start: Start) -> None:
    harness, room = await start()
    gate = harness.network.gates["first.bin"] = asyncio.Event()
    send(harness, room, "first.bin")
    send(harness, room, "second.bin")
    await harness.until(lambda: given(harness) == [("second.bin", DATA)])
    await harness.settle()
    await harness.kill()
    gate.set()
    await harness.start()
    await harness.until(lambda: len(took(harness)) == 2)
    assert harness.network.upload_tries == ["first.bin", "second.bin", "first.bin"]
    await nothing_is_left(harness)


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_moment(start: Start, seed: int) -> None:
    harness, room = await start(FakeNetwork(reserves=bool(seed % 2)), seed=seed)
    rng = harness.rng
    assert rng is not None
    harness.homeserver.pieces = 8
    expected: list[str] = []
    for _ in range(3):
        for _ in range(rng.randrange(1, 5)):
            number = len(expected)
            if rng.random() < 0.5:
                harness.homeserver.say(room, ALICE, f"text {number}")
                expected.append(f"text {number}")
            else:
                send(harness, room, f"{number}.bin", b"%d" % number * 50)
                expected.append(f"{number}.bin")
        await turns(rng.randrange(300))
        await harness.kill()
        await harness.start()
    await harness.until(lambda: len(took(harness)) >= len(expected))
    await nothing_is_left(harness)
    assert [each.partition("=")[0] for each in took(harness)] == expected
    for _, message in harness.network.spoken:
        if message.media is not None:
            number = message.media.name.partition(".")[0].encode()
            assert harness.network.file(message.media.remote) == number * 50
