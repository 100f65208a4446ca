"""A picture whose bytes take longer than clients wait becomes words, and then the picture."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.core.media_late import AFTER_MS
from bridgekit.core.versions import KEY
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError, Rejected
from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID, RoomID
from bridgekit.model.media import MediaKind, MediaRef
from bridgekit.model.remote import RemoteDelete, RemoteEdit
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.testing.harness import Harness
from tests.runtime.files import settled, shown, words

DATA = b"\x89PNG" * 100
WORDS = "p.png (400 bytes) is on its way"
CHAT = PortalKey(ChatID("chat"))
FRIEND = RemoteUserID("friend")
LATE_S = AFTER_MS / 1000


def picture(harness: Harness, gate: asyncio.Event | None = None, **more: Any) -> MediaRef:
    return harness.network.add_remote_file(DATA, name="p.png", mimetype="image/png", gate=gate, **more)


def edits(harness: Harness, room: RoomID) -> int:
    return len([e for e in harness.homeserver.rooms[room].timeline if "m.new_content" in e["content"]])


@pytest.mark.parametrize("kind", [None, MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.VOICE])
async def test_words_when_it_is_late_and_then_the_picture(harness: Harness, kind: MediaKind | None) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate, kind=kind),))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room) == ["hello", None, "after"])
    placeholder = shown(harness, room)[1]
    await harness.settle(LATE_S - 1)
    assert shown(harness, room)[1] == placeholder
    await harness.settle(2)
    assert words(harness, room) == ["hello", WORDS, "after"]
    assert shown(harness, room)[1]["msgtype"] == "m.notice"
    await harness.settle(4000)
    assert edits(harness, room) == 1
    gate.set()
    await settled(harness, room, DATA, "after")
    assert shown(harness, room)[1] == {name: placeholder[name] for name in placeholder if name != KEY}
    assert edits(harness, room) == 2


async def test_nothing_is_edited_when_it_comes_in_time(harness: Harness) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    await harness.settle(LATE_S - 1)
    gate.set()
    await settled(harness, room, DATA)
    await harness.settle(3600)
    assert edits(harness, room) == 0


@pytest.mark.parametrize("kind", [MediaKind.FILE, MediaKind.STICKER])
async def test_what_cannot_or_need_not_become_words(harness: Harness, kind: MediaKind) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate, kind=kind),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    await harness.settle(4000)
    assert words(harness, room) == ["hello", None]
    gate.set()
    await settled(harness, room, DATA)
    assert edits(harness, room) == 0


async def test_words_also_while_the_network_is_away(harness: Harness) -> None:
    room = await harness.portal()
    file = picture(harness, asyncio.Event())
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    harness.network.connect_errors.extend(ConnectionError() for _ in range(1000))
    harness.network.drop_connections()
    await harness.settle(LATE_S + 5)
    assert words(harness, room) == ["hello", WORDS]
    harness.network.connect_errors.clear()
    harness.network.remote_files[file.id].gate = None
    await settled(harness, room, DATA)
    assert edits(harness, room) == 2


async def test_one_that_waited_for_its_turn_too_long_becomes_words_first() -> None:
    harness = Harness(media=MediaRules(per_login=1))
    await harness.start()
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(b"big", gate=gate),))
    harness.network.say("chat", "friend", "", media=(picture(harness),))
    await harness.until(lambda: words(harness, room) == ["hello", None, None])
    await harness.settle(LATE_S + 5)
    gate.set()
    await settled(harness, room, b"big", DATA)
    assert edits(harness, room) == 2
    await harness.kill()


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize(
    "error",
    [
        HomeserverUnreachable("away"),
        MatrixRequestError(500, "M_UNKNOWN", "no"),
        MatrixRequestError(403, "M_FORBIDDEN", "no"),
    ],
)
async def test_words_that_cannot_be_said_hold_up_no_picture(
    harness: Harness, error: HomeserverError, times: int, lost: bool
) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    harness.homeserver.fail("send_event", error, times=times, lost=lost)
    await harness.settle(LATE_S + 1)
    gate.set()
    await settled(harness, room, DATA)


@pytest.mark.parametrize("after", range(4))
async def test_killed_while_words_are_said(after: int) -> None:
    """The steps: write down, edit, write down; of the words and of the picture."""
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate),))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room) == ["hello", None, "after"])
    left = after
    original = harness.door.leave

    async def leave(call: str, failing: bool) -> None:
        nonlocal left
        if call in ("record", "send_event"):
            left -= 1
            if left < 0:
                harness.door.dead = True
        await original(call, failing)

    harness.door.leave = leave  # type: ignore[method-assign]
    await harness.settle(LATE_S + 1)
    gate.set()
    await harness.settle(1)
    await harness.kill()
    await harness.start()
    await settled(harness, room, DATA, "after")
    assert edits(harness, room) == 2


async def test_a_late_picture_that_never_comes(harness: Harness) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    file = picture(harness, gate)
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    await harness.until(lambda: words(harness, room) == ["hello", WORDS])
    harness.network.remote_files[file.id].errors.append(Rejected("gone"))
    await settled(harness, room, "p.png (400 bytes) could not be transferred: gone")


async def test_the_caption_of_words_is_edited_and_deleted_words_stay_away(harness: Harness) -> None:
    room = await harness.portal()
    file = picture(harness, asyncio.Event())
    harness.network.say("chat", "friend", "look", id="f", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", f"look\n{WORDS}"])
    target = RemoteMessageID("f")
    common: dict[str, Any] = {"portal": CHAT, "sender": FRIEND, "timestamp": 1_700_000_000_500}
    harness.network.emit(RemoteEdit(target=target, revision="1", text=Text("look here"), **common))
    await harness.until(lambda: words(harness, room) == ["hello", f"look here\n{WORDS}"])
    harness.network.emit(RemoteDelete(target=target, **common))
    await settled(harness, room)
    await harness.settle(3600)
    assert words(harness, room) == ["hello"]


async def test_deleted_just_before_it_would_be_late(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "", id="f", media=(picture(harness, asyncio.Event()),))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    await harness.settle(LATE_S - 1)
    harness.network.emit(
        RemoteDelete(portal=CHAT, target=RemoteMessageID("f"), sender=FRIEND, timestamp=1_700_000_000_500)
    )
    await settled(harness, room)
    await harness.settle(3600)
    assert (words(harness, room), edits(harness, room)) == (["hello"], 0)


async def test_a_reservation_that_is_renewed_behind_words_says_nothing_new(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.reservation_ms = 3_600_000
    gate = asyncio.Event()
    harness.network.say("chat", "friend", "", media=(picture(harness, gate),))
    await harness.until(lambda: words(harness, room) == ["hello", WORDS])
    for _ in range(20):
        await harness.settle(600)
    assert edits(harness, room) == 1
    gate.set()
    await settled(harness, room, DATA)
    assert edits(harness, room) == 2
