"""Files from the network: in order, whole, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from typing import Any

import msgspec
import pytest

from bridgekit.adapter.capabilities import CanFetchMedia
from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import AuthFailed, HomeserverUnreachable, MatrixRequestError, Rejected, Transient
from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.media import Location, MediaKind, MediaRef
from bridgekit.model.records import Direction, LoginRecord, LoginState
from bridgekit.model.remote import Login, RemoteDelete, RemoteEdit
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.testing.harness import MINE, Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.files import bytes_of, settled, shown, words

DATA = bytes(range(256)) * 2
CHAT = PortalKey(ChatID("chat"))
FRIEND = RemoteUserID("friend")


def edit(id: str, text: str, revision: str = "1") -> RemoteEdit:
    return RemoteEdit(
        portal=CHAT,
        target=RemoteMessageID(id),
        revision=revision,
        sender=FRIEND,
        timestamp=1_700_000_000_500,
        text=Text(text),
    )


def delete(id: str) -> RemoteDelete:
    return RemoteDelete(portal=CHAT, target=RemoteMessageID(id), sender=FRIEND, timestamp=1_700_000_000_500)


def says(harness: Harness, room: RoomID, body: str) -> bool:
    return bool(shown(harness, room)[1]["body"] == body)


async def started(**options: Any) -> Harness:
    harness = Harness(**options)
    await harness.start()
    return harness


# --- the usual way ------------------------------------------------------------------------------------------------
async def test_a_text_does_not_wait_for_the_file_before_it(harness: Harness) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, name="a.bin", gate=gate)
    harness.network.say("chat", "friend", "look", media=(file,))
    harness.network.say("chat", "friend", "and then")
    await harness.until(lambda: "and then" in words(harness, room))
    assert words(harness, room) == ["hello", None, "and then"]
    content = shown(harness, room)[1]
    assert (content["filename"], content["body"], content["info"]["size"]) == ("a.bin", "look", len(DATA))
    ghost = harness.homeserver.rooms[room].timeline[-1]["sender"]
    assert harness.homeserver.files[content["url"]].owner == ghost  # nobody else may fill it

    async def read() -> bytes:
        async with harness.homeserver.open_media(content["url"]) as stream:
            return b"".join([chunk async for chunk in stream.chunks])

    reader = asyncio.ensure_future(read())
    gate.set()
    await settled(harness, room, DATA, "and then")
    assert await reader == DATA
    assert len([e for e in harness.homeserver.rooms[room].timeline if "m.new_content" in e["content"]]) == 0


async def test_several_files_a_thumbnail_and_a_place(harness: Harness) -> None:
    room = await harness.portal()
    add = harness.network.add_remote_file
    small = add(b"small", name="s.png", mimetype="image/png")
    big = add(DATA, name="b.jpg", mimetype="image/jpeg", thumbnail=small)
    harness.network.say("chat", "friend", "both", media=(big, add(b"second")), location=Location(1, 2))
    await settled(harness, room, DATA, b"second", "Location: 1, 2")
    first = shown(harness, room)[1]
    assert first["body"] == "both"
    assert bytes_of(harness, {"url": first["info"]["thumbnail_url"]}) == b"small"


async def test_a_place_alone(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "", location=Location(1.5, 2))
    await settled(harness, room, "Location: 1.5, 2")
    assert shown(harness, room)[1]["geo_uri"] == "geo:1.5,2"


async def test_a_network_whose_files_cannot_be_fetched() -> None:
    harness = await started(network=FakeNetwork(lacks=[CanFetchMedia]))
    room = await harness.portal()
    harness.network.say("chat", "friend", "look", media=(MediaRef("1", name="a.bin"),))
    await settled(harness, room, "look\n[file not bridged: a.bin]")
    await harness.kill()


async def test_what_is_learnt_comes_by_an_edit(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, known=False, says=None, mimetype="image/png")
    remote = harness.network.remote_files[file.id]
    remote.mimetype, remote.name = "image/gif", "found.png"
    harness.network.say("chat", "friend", "look", media=(file,))
    await settled(harness, room, DATA)
    content = shown(harness, room)[1]
    assert content["info"] == {"size": len(DATA), "mimetype": "image/png"}
    assert (content["filename"], content["body"]) == ("found.png", "look")


# --- bad sources --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("says", [None, 0, 1, len(DATA) - 1, len(DATA), len(DATA) + 1, 10_000])
async def test_a_length_is_never_believed(harness: Harness, says: int | None, known: bool) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, says=says, known=known),))
    harness.network.say("chat", "friend", "after")
    await settled(harness, room, DATA, "after")


@pytest.mark.parametrize("size", [0, 1, 16, 17])
async def test_small_files(harness: Harness, size: int) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA[:size]),))
    await settled(harness, room, DATA[:size])


@pytest.mark.parametrize("says", [-1, None])
@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 0},
        {"cut_after": 64, "times": 3},
        {"stall_after": 0},
        {"stall_after": 64, "times": 2},
        {"errors": [Transient("busy"), ConnectionResetError()]},
    ],
)
async def test_a_broken_transfer_begins_anew(harness: Harness, fault: dict[str, Any], says: int | None) -> None:
    room = await harness.portal()
    more = {**fault, "errors": deque(fault.get("errors", ()))}
    file = harness.network.add_remote_file(DATA, says=says, **more)
    harness.network.say("chat", "friend", "", media=(file,))
    harness.network.say("chat", "friend", "after")
    await settled(harness, room, DATA, "after")
    assert harness.network.remote_files[file.id].open_now == 0


@pytest.mark.parametrize("error", [Rejected("it was deleted"), KeyError("a bug")])
async def test_a_file_that_never_comes(harness: Harness, error: Exception) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, name="a.bin")
    harness.network.remote_files[file.id].errors.append(error)
    harness.network.say("chat", "friend", "look", media=(file,))
    reason = "it was deleted" if isinstance(error, Rejected) else INTERNAL_ERROR
    await settled(harness, room, f"look\na.bin (512 bytes) could not be transferred: {reason}")
    assert shown(harness, room)[1]["msgtype"] == "m.notice"


async def test_a_network_that_stays_away_is_given_up(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, name="a.bin", cut_after=3, times=10**9)
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: "m.notice" in [c.get("msgtype") for c in shown(harness, room)], within_s=200_000)
    await settled(
        harness,
        room,
        "a.bin (512 bytes) could not be transferred: no answer from the network (ConnectionResetError)",
    )
    assert harness.clock.now() - 1_700_000_000_000 >= 24 * 3_600_000


async def test_a_login_that_is_refused_is_waited_for(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA)
    harness.network.remote_files[file.id].errors.append(AuthFailed("expired"))
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: harness.bridge.sessions.session(harness.bridge.books.logins()[0].login.id) is None)
    await harness.settle(30 * 3600)
    assert words(harness, room) == ["hello", None]
    (record,) = harness.bridge.books.logins()
    await harness.bridge.logins.add(msgspec.structs.replace(record, state=LoginState.ACTIVE))
    await settled(harness, room, DATA)


async def test_a_login_that_is_gone(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, name="a.bin", gate=asyncio.Event())
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    (record,) = harness.bridge.books.logins()
    await harness.bridge.logins.remove(record.login.id)
    await settled(
        harness, room, "a.bin (512 bytes) could not be transferred: the account that received it has logged out"
    )


async def test_another_login_fetches_what_one_that_is_gone_has_received(harness: Harness) -> None:
    room = await harness.portal()
    other = LoginRecord(login=Login(id=LoginID("other"), user=RemoteUserID("other")), user_id=UserID("@bob:test"))
    await harness.bridge.logins.add(other)
    await harness.settle(1)
    files = [harness.network.add_remote_file(bytes([n]) * 40, stall_after=16) for n in range(9)]
    for file in files:
        harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: sum(each.open_now for each in harness.network.remote_files.values()) == 4)
    await harness.bridge.logins.remove(LoginID(MINE))
    await settled(harness, room, *(bytes([n]) * 40 for n in range(9)))
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA),))
    await settled(harness, room, *(bytes([n]) * 40 for n in range(9)), DATA)


async def test_one_that_has_to_log_in_again_is_the_last_to_fetch_it(harness: Harness) -> None:
    room = await harness.portal()
    for name in ("bad", "good"):
        login = Login(id=LoginID(name), user=RemoteUserID(name))
        await harness.bridge.logins.add(LoginRecord(login=login, user_id=UserID(f"@{name}:test")))
    harness.network.say("chat", "friend", "all see it")
    await harness.settle(1)
    bad = harness.bridge.books.login(LoginID("bad"))
    assert bad is not None
    await harness.bridge.sessions.refused(bad.login.id, harness.bridge.sessions.session(bad.login.id), "expired")
    file = harness.network.add_remote_file(DATA, stall_after=16)
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.settle(1)
    # Nobody is connected when it is tried again.
    harness.network.connect_errors.extend(ConnectionResetError() for _ in range(12))
    harness.network.drop_connections()
    await harness.bridge.logins.remove(LoginID(MINE))
    await harness.until(lambda: words(harness, room)[-1] is None and not harness.network.connect_errors)
    await settled(harness, room, "all see it", DATA)


# --- the homeserver's limits --------------------------------------------------------------------------------------
async def test_a_file_that_is_too_large_is_not_even_opened(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.media_limit_bytes = 500
    file = harness.network.add_remote_file(DATA, name="a.bin")
    harness.network.say("chat", "friend", "look", media=(file,))
    limit = "it is larger than this homeserver's limit of 500 bytes"
    await settled(harness, room, f"look\na.bin (512 bytes) could not be transferred: {limit}")
    assert harness.network.remote_files[file.id].opened == 0


@pytest.mark.parametrize("says", [None, 10])
async def test_a_file_that_turns_out_to_be_too_large(harness: Harness, says: int | None) -> None:
    room = await harness.portal()
    harness.homeserver.media_limit_bytes = 500
    file = harness.network.add_remote_file(DATA, name="a.bin", says=says, known=False)
    harness.network.say("chat", "friend", "", media=(file,))
    limit = "it is larger than this homeserver's limit of 500 bytes"
    await settled(harness, room, f"a.bin could not be transferred: {limit}")


async def test_a_homeserver_without_reservations() -> None:
    harness = await started()
    room = await harness.portal()
    harness.homeserver.async_uploads = False
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, name="a.png", mimetype="image/png", gate=gate)
    harness.network.say("chat", "friend", "look", media=(file,))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room) == ["hello", "look\na.png (512 bytes) is on its way", "after"])
    gate.set()
    await settled(harness, room, DATA, "after")
    content = shown(harness, room)[1]
    assert (content["msgtype"], content["body"], content["filename"]) == ("m.image", "look", "a.png")
    harness.network.emit(edit("m2", "look here"))
    await harness.until(lambda: shown(harness, room)[1]["body"] == "look here")
    assert bytes_of(harness, shown(harness, room)[1]) == DATA
    await harness.kill()


@pytest.mark.parametrize("pending", [1, 3])
async def test_too_many_reservations_are_queued_in_order(harness: Harness, pending: int) -> None:
    room = await harness.portal()
    other = await harness.portal("other")
    harness.homeserver.max_pending = pending
    gate = asyncio.Event()
    files = [b"file %d" % number for number in range(8)]
    for data in files:
        harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(data, gate=gate),))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room) == ["hello", *[None] * pending])
    harness.network.say("other", "friend", "meanwhile")
    await harness.until(lambda: words(harness, other) == ["hello", "meanwhile"])
    gate.set()
    await settled(harness, room, *files, "after")


async def test_nobody_waits_for_ever_to_reserve(harness: Harness) -> None:
    """Reservations that a crash has lost stand in the way for a day."""
    room = await harness.portal()
    harness.homeserver.max_pending = 1
    harness.homeserver.add_file(None, owner=harness.homeserver.rooms[room].timeline[-2]["sender"])
    ghost = next(e["sender"] for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "hello")
    harness.homeserver.add_file(None, owner=ghost)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA),))
    await settled(harness, room, DATA)
    assert harness.clock.now() - 1_700_000_000_000 < 600_000


async def test_an_album_larger_than_the_quota(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.max_pending = 2
    files = [b"file %d" % number for number in range(6)]
    harness.network.say("chat", "friend", "", media=tuple(map(harness.network.add_remote_file, files)))
    await settled(harness, room, *files)


async def test_a_reservation_is_renewed_before_it_expires(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.reservation_ms = 3_600_000
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "look", media=(harness.network.add_remote_file(DATA, gate=gate),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    first = shown(harness, room)[1]["url"]
    for _ in range(30):
        await harness.settle(600)
        uri = shown(harness, room)[1]["url"]
        expires_at = harness.homeserver.files[uri].expires_at
        assert expires_at is not None and expires_at > harness.clock.now()
    assert shown(harness, room)[1]["url"] != first
    gate.set()
    await settled(harness, room, DATA)
    assert shown(harness, room)[1]["body"] == "look"


async def test_a_reservation_is_renewed_while_nobody_is_connected(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.reservation_ms = 3_600_000
    file = harness.network.add_remote_file(DATA, gate=asyncio.Event())
    harness.network.say("chat", "friend", "look", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    harness.network.connect_errors.extend(ConnectionError() for _ in range(1000))
    harness.network.drop_connections()
    for _ in range(10):
        await harness.settle(600)
        expires_at = harness.homeserver.files[shown(harness, room)[1]["url"]].expires_at
        assert expires_at is not None and expires_at > harness.clock.now()
    harness.network.connect_errors.clear()
    harness.network.remote_files[file.id].gate = None
    await settled(harness, room, DATA)


async def test_a_reservation_that_is_lost(harness: Harness) -> None:
    room = await harness.portal()
    gone = MatrixRequestError(404, "M_NOT_FOUND", "unknown media id")
    harness.homeserver.fail("fill_media", gone, times=2)
    harness.network.say("chat", "friend", "look", media=(harness.network.add_remote_file(DATA),))
    await settled(harness, room, DATA)
    assert shown(harness, room)[1]["body"] == "look"


async def test_a_homeserver_that_loses_every_reservation(harness: Harness) -> None:
    room = await harness.portal()
    gone = MatrixRequestError(404, "M_NOT_FOUND", "unknown media id")
    harness.homeserver.fail("fill_media", gone, times=1000)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    await harness.until(lambda: "could not be transferred" in str(words(harness, room)[-1]))
    assert harness.homeserver.calls.count("fill_media") < 10


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("call", ["fill_media", "reserve_media", "send_event", "media_limit"])
async def test_a_homeserver_that_stumbles(harness: Harness, call: str, lost: bool) -> None:
    room = await harness.portal()
    harness.homeserver.fail(call, HomeserverUnreachable("away"), times=3, lost=lost)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA),))
    harness.network.say("chat", "friend", "after")
    await settled(harness, room, DATA, "after")


async def test_a_homeserver_that_refuses_a_file(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.fail("fill_media", MatrixRequestError(413, "M_TOO_LARGE", "no"))
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    limit = "it is larger than this homeserver's limit"
    await settled(harness, room, f"a.bin (512 bytes) could not be transferred: {limit}")


# --- edits and deletions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("during", [True, False])
async def test_an_edit_changes_the_caption_and_keeps_the_file(harness: Harness, during: bool) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, gate=gate, name="a.bin", known=False, says=None)
    harness.network.say("chat", "friend", "look", id="f", media=(file, harness.network.add_remote_file(b"b")))
    await harness.until(lambda: words(harness, room)[:2] == ["hello", None])
    if not during:
        gate.set()
        await settled(harness, room, DATA, b"b")
    for number, text in enumerate(("look here", "", "again")):
        harness.network.emit(edit("f", text, str(number)))
        await harness.until(functools.partial(says, harness, room, text or "a.bin"))
    gate.set()
    await settled(harness, room, DATA, b"b")
    content = shown(harness, room)[1]
    assert (content["body"], content["filename"], content["info"]["size"]) == ("again", "a.bin", len(DATA))


async def test_a_caption_that_becomes_too_long_stands_behind(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "look", id="f", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    await settled(harness, room, DATA)
    harness.network.emit(edit("f", "x" * 20_000, "1"))
    await settled(harness, room, DATA, "x" * 20_000)
    assert shown(harness, room)[1]["body"] == "a.bin"
    harness.network.emit(edit("f", "short", "2"))
    await settled(harness, room, DATA, "short")


async def test_the_caption_of_a_file_that_failed(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, name="a.bin")
    harness.network.remote_files[file.id].errors.append(Rejected("gone"))
    harness.network.say("chat", "friend", "look", id="f", media=(file,))
    note = "a.bin (512 bytes) could not be transferred: gone"
    await settled(harness, room, f"look\n{note}")
    harness.network.emit(edit("f", "look here"))
    await settled(harness, room, f"look here\n{note}")


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_deleted_message_is_carried_no_further(harness: Harness, waiting: bool) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, gate=gate)
    harness.network.say("chat", "friend", "", id="f", media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 1)
    if waiting:
        harness.network.remote_files[file.id].errors.append(Transient("busy", retry_after=3600))
        await harness.until(lambda: harness.network.remote_files[file.id].opened == 2)
    harness.network.emit(delete("f"))
    await settled(harness, room)
    assert harness.network.remote_files[file.id].open_now == 0
    gate.set()
    await harness.settle(3600)
    assert words(harness, room) == ["hello"]
    assert all(each.data is None for each in harness.homeserver.files.values())


# --- stickers -----------------------------------------------------------------------------------------------------
async def test_a_sticker(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, kind=MediaKind.STICKER, mimetype="image/webp")
    harness.network.say("chat", "friend", "", media=(file,))
    await settled(harness, room, DATA)
    assert harness.homeserver.rooms[room].timeline[-1]["type"] == "m.sticker"


async def test_a_sticker_that_never_comes_is_replaced_by_words(harness: Harness) -> None:
    room = await harness.portal()
    file = harness.network.add_remote_file(DATA, kind=MediaKind.STICKER, name="s.webp")
    harness.network.remote_files[file.id].errors.append(Rejected("gone"))
    harness.network.say("chat", "friend", "", id="f", media=(file,))
    await settled(harness, room, "s.webp (512 bytes) could not be transferred: gone")
    harness.network.emit(delete("f"))  # of the words: they are the message now
    await settled(harness, room)


async def test_a_sticker_whose_reservation_is_lost(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.fail("fill_media", MatrixRequestError(404, "M_NOT_FOUND", "gone"))
    file = harness.network.add_remote_file(DATA, kind=MediaKind.STICKER)
    harness.network.say("chat", "friend", "", media=(file,))
    await settled(harness, room, DATA)


# --- waiting in place ---------------------------------------------------------------------------------------------
async def test_the_event_may_wait_for_its_file() -> None:
    harness = await started(media=MediaRules(mode="wait"))
    room, other = await harness.portal(), await harness.portal("other")
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, gate=gate, says=None, known=False, cut_after=100)
    harness.network.say("chat", "friend", "look", media=(file,))
    harness.network.say("chat", "friend", "after")
    harness.network.say("other", "friend", "meanwhile")
    await harness.until(lambda: words(harness, other) == ["hello", "meanwhile"])
    assert words(harness, room) == ["hello"]
    gate.set()
    await settled(harness, room, DATA, "after")
    assert shown(harness, room)[1]["info"]["size"] == len(DATA)
    assert len(harness.homeserver.files) == 1
    file = harness.network.add_remote_file(DATA, name="a.bin")
    harness.network.remote_files[file.id].errors.append(Rejected("gone"))
    harness.network.say("chat", "friend", "", media=(file,))
    await settled(harness, room, DATA, "after", "a.bin (512 bytes) could not be transferred: gone")
    await harness.kill()


# --- many ---------------------------------------------------------------------------------------------------------
async def test_a_thousand_files_in_one_room() -> None:
    harness = await started(media=MediaRules(at_once=8, per_login=8))
    room = await harness.portal()
    files = [b"%d" % number for number in range(1000)]
    for data in files:
        harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(data),))
    await settled(harness, room, *files)
    assert harness.bridge.counters.media_bytes[Direction.REMOTE] == sum(map(len, files))
    await harness.kill()


async def test_a_file_in_each_of_a_thousand_rooms() -> None:
    harness = await started(media=MediaRules(at_once=8, per_login=8))
    for number in range(1000):
        harness.network.say(f"chat{number}", "friend", "", media=(harness.network.add_remote_file(b"%d" % number),))
    rooms = harness.homeserver.rooms

    def all_there() -> bool:
        files = harness.homeserver.files
        return len(files) == 1000 and all(file.data is not None for file in files.values())

    await harness.until(all_there)
    told = [bytes_of(harness, each) for room in rooms for each in shown(harness, room) if "url" in each]
    assert sorted(each or b"" for each in told) == sorted(b"%d" % number for number in range(1000))
    await harness.kill()


async def test_portals_take_turns_and_no_more_than_so_many_at_once() -> None:
    harness = await started(media=MediaRules(at_once=2, per_login=2))
    await harness.portal("full")
    room = await harness.portal("small")
    gate = asyncio.Event()
    many = [harness.network.add_remote_file(b"x", gate=gate) for _ in range(50)]
    for file in many:
        harness.network.say("full", "friend", "", media=(file,))
    await harness.until(lambda: sum(f.open_now for f in harness.network.remote_files.values()) == 2)
    harness.network.say("small", "friend", "", media=(harness.network.add_remote_file(b"small"),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    assert sum(file.open_now for file in harness.network.remote_files.values()) == 2
    order: list[str] = []
    original = harness.homeserver.fill

    def fill(uri: Any, data: bytes, **more: Any) -> None:
        order.append(data.decode())
        original(uri, data, **more)

    harness.homeserver.fill = fill  # type: ignore[method-assign]
    gate.set()
    await harness.until(lambda: len(order) == 51)
    assert order.index("small") < 6
    await harness.kill()
