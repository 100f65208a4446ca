"""Files, and what goes wrong each time, or in the wrong moment: nothing is tried for ever, and nothing comes back."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridgekit.adapter.capabilities import CanDelete
from bridgekit.core.media_contents import NOTE
from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError, Rejected, Transient, Uncertain
from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.media import MediaKind, MediaRef, MediaStream
from bridgekit.model.records import Direction, MediaJobSaved
from bridgekit.model.remote import RemoteDelete, RemoteEdit
from bridgekit.runtime.media_rules import MediaMode, MediaRules
from bridgekit.runtime.media_stream import SourceFailed, Transfers, Watch
from bridgekit.testing.clock import ManualClock
from bridgekit.testing.harness import ALICE
from bridgekit.testing.network import FakeNetwork
from tests.runtime.conftest import Start
from tests.runtime.files import bytes_of, settled, shown, words
from tests.runtime.test_upgrades import replaced

DATA = bytes(range(256)) * 2
DAY_S = 24 * 3600
OFTEN = 10**9


def failed(reason: str) -> str:
    return f"a.bin (512 bytes) could not be transferred: {reason}"


# --- from the network -----------------------------------------------------------------------------------------------
async def test_what_the_homeserver_says_to_have_is_looked_at(start: Start) -> None:
    """Synapse answers 409 also while an earlier upload is being stored, which may come to nothing."""
    harness, room = await start()
    there = MatrixRequestError(409, "M_CANNOT_OVERWRITE_MEDIA", "Media ID cannot be overwritten")
    harness.homeserver.fail("fill_media", there, times=3)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA),))
    await settled(harness, room, DATA)


@pytest.mark.parametrize("mode", ["async", "wait"])
@pytest.mark.parametrize(
    "error", [HomeserverUnreachable("Connection reset by peer"), MatrixRequestError(504, "M_UNKNOWN", "a proxy's page")]
)
async def test_a_homeserver_that_hangs_up_on_one_file_each_time(
    start: Start, error: HomeserverError, mode: MediaMode
) -> None:
    harness, room = await start(media=MediaRules(mode=mode))
    for call in ("fill_media", "upload_media"):
        harness.homeserver.fail(call, error, times=OFTEN)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    await harness.until(lambda: "could not be transferred" in str(words(harness, room)[-1]), within_s=2 * DAY_S)


@pytest.mark.parametrize("call", ["reserve_media", "media_limit"])
@pytest.mark.parametrize(
    "error",
    [HomeserverUnreachable("the answer is not what a homeserver says"), MatrixRequestError(500, "M_UNKNOWN", "")],
)
async def test_a_homeserver_that_answers_everything_else_holds_up_no_text(
    start: Start, error: HomeserverError, call: str
) -> None:
    harness, room = await start()
    harness.homeserver.fail(call, error, times=OFTEN)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room)[-1] == "after", within_s=600)
    harness.homeserver.mend()
    await settled(harness, room, DATA, "after")


async def test_a_homeserver_that_is_away_is_waited_for_in_order(start: Start) -> None:
    harness, room = await start()
    for call in ("fill_media", "reserve_media", "media_limit", "send_event", "capabilities"):
        harness.homeserver.fail(call, HomeserverUnreachable("away"), times=OFTEN)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    harness.network.say("chat", "friend", "after")
    await harness.settle(3600)
    harness.homeserver.mend()
    await settled(harness, room, DATA, "after")
    assert NOTE not in harness.homeserver.rooms[room].timeline[-2]["content"]


async def test_a_homeserver_that_is_away_for_days_is_waited_for(start: Start) -> None:
    harness, room = await start()
    file = harness.network.add_remote_file(DATA, gate=asyncio.Event())
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: words(harness, room) == ["hello", None])
    for call in ("fill_media", "reserve_media", "send_event", "capabilities"):
        harness.homeserver.fail(call, HomeserverUnreachable("away"), times=OFTEN)
    harness.network.remote_files[file.id].gate = None
    await harness.settle(3 * DAY_S)
    harness.homeserver.mend()
    await settled(harness, room, DATA)


@pytest.mark.parametrize("mode", ["async", "wait"])
async def test_a_disk_that_takes_nothing(start: Start, mode: MediaMode, tmp_path: Path) -> None:
    harness, room = await start(media=MediaRules(mode=mode, directory=tmp_path / "not there"))
    file = harness.network.add_remote_file(DATA, name="a.bin", says=None, known=False)
    harness.network.say("chat", "friend", "", media=(file,))
    reason = "a.bin could not be transferred: the bridge could not keep it on its disk"
    await harness.until(lambda: words(harness, room)[-1] == reason, within_s=2 * DAY_S)


async def test_a_disk_that_is_full_for_a_while(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, room = await start()

    def full(**_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bridgekit.runtime.media_stream.tempfile.TemporaryFile", full)
        file = harness.network.add_remote_file(DATA, says=None, known=False)
        harness.network.say("chat", "friend", "", media=(file,))
        await harness.until(lambda: harness.network.remote_files[file.id].opened >= 3)
    await settled(harness, room, DATA)


@pytest.mark.parametrize("mode", ["async", "wait"])
@pytest.mark.parametrize("says", [None, 100])
async def test_a_file_of_unknown_size_that_never_ends(start: Start, mode: MediaMode, says: int | None) -> None:
    """Where the homeserver has no limit, the bridge's disk has one. `says`: the length is a lie."""
    harness, room = await start(media=MediaRules(mode=mode, spool_bytes=500))
    harness.homeserver.media_limit_bytes = None
    file = harness.network.add_remote_file(DATA, name="a.bin", says=says, known=False)
    harness.network.say("chat", "friend", "", media=(file,))
    why = "the network does not say its size, and it is larger than the 500 bytes that this bridge keeps"
    await settled(harness, room, f"a.bin could not be transferred: {why}")
    harness.network.say(
        "chat", "friend", "", media=(harness.network.add_remote_file(DATA[:500], says=None, known=False),)
    )
    await harness.until(lambda: words(harness, room)[-1] == DATA[:500])


async def test_files_of_unknown_size_share_the_disk(start: Start) -> None:
    harness, room = await start(media=MediaRules(spool_bytes=600))
    files = [harness.network.add_remote_file(DATA, says=None, known=False) for _ in range(6)]
    harness.network.say("chat", "friend", "", media=tuple(files))
    await settled(harness, room, *[DATA] * 6)
    assert any(harness.network.remote_files[file.id].opened > 1 for file in files)


async def test_a_bug_of_ours_does_not_try_for_ever(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, room = await start()

    async def buggy(*_: Any, **__: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(harness.homeserver, "fill_media", buggy)
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(DATA, name="a.bin"),))
    await harness.until(lambda: words(harness, room)[-1] == failed(INTERNAL_ERROR), within_s=2 * DAY_S)


@pytest.mark.parametrize("mode", ["async", "wait"])
async def test_a_thumbnail_that_is_never_ready_costs_only_itself(start: Start, mode: MediaMode) -> None:
    harness, room = await start(media=MediaRules(mode=mode))
    errors = deque(Transient("still being made") for _ in range(1000))
    small = harness.network.add_remote_file(b"small", mimetype="image/png", errors=errors)
    big = harness.network.add_remote_file(DATA, mimetype="image/png", thumbnail=small)
    harness.network.say("chat", "friend", "", media=(big,))
    await settled(harness, room, DATA)
    assert "thumbnail_url" not in shown(harness, room)[1]["info"]


@pytest.mark.parametrize("says", [-512, None])
async def test_a_negative_size_is_none(start: Start, says: int | None) -> None:
    harness, room = await start()
    file = harness.network.add_remote_file(DATA, says=says)
    harness.network.say("chat", "friend", "", media=(msgspec.structs.replace(file, size=-(2**63)),))
    await settled(harness, room, DATA)
    assert shown(harness, room)[1]["info"]["size"] == 512
    assert harness.network.remote_files[file.id].opened == 1


async def test_a_clock_that_is_set_back_does_not_put_a_file_off(start: Start) -> None:
    harness, room = await start()
    file = harness.network.add_remote_file(DATA, errors=deque([Transient("busy", retry_after=60)]))
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].opened == 1)
    harness.clock._start -= 365 * DAY_S * 1000
    await settled(harness, room, DATA)


async def test_a_file_that_came_at_the_last_moment_is_not_called_lost(start: Start) -> None:
    harness, room = await start()
    errors = deque(Transient("busy", retry_after=1800) for _ in range(48))
    file = harness.network.add_remote_file(DATA, says=None, known=False, errors=errors)
    harness.network.say("chat", "friend", "", media=(file,))
    await harness.until(lambda: not errors, within_s=2 * DAY_S)
    stumbles = MatrixRequestError(500, "M_UNKNOWN", "Internal server error")
    harness.homeserver.fail("send_event", stumbles, times=5)
    await settled(harness, room, DATA)


# --- deletions ------------------------------------------------------------------------------------------------------
async def test_a_deletion_that_stumbles_leaves_no_job(start: Start) -> None:
    harness, room = await start()
    file = harness.network.add_remote_file(DATA, gate=asyncio.Event())
    harness.network.say("chat", "friend", "", id="f", media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 1)
    harness.homeserver.fail("redact", HomeserverUnreachable("away"), times=2)
    harness.network.emit(
        RemoteDelete(
            portal=PortalKey(ChatID("chat")),
            target=RemoteMessageID("f"),
            sender=RemoteUserID("friend"),
            timestamp=1_700_000_000_500,
        )
    )
    await settled(harness, room)


@pytest.mark.parametrize("kind", [MediaKind.FILE, MediaKind.STICKER])
@pytest.mark.parametrize("lacks", [(), (CanDelete,)])
async def test_what_is_redacted_on_matrix_does_not_come_back(
    start: Start, lacks: tuple[type[CanDelete], ...], kind: MediaKind
) -> None:
    harness, room = await start(FakeNetwork(lacks=lacks))
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, gate=gate, kind=kind)
    other = harness.network.add_remote_file(b"other", gate=gate)
    harness.network.say("chat", "friend", "", id="f", media=(file, other))
    await harness.until(lambda: words(harness, room) == ["hello", None, None])
    event = harness.homeserver.rooms[room].timeline[-2]["event_id"]
    harness.homeserver.redacted.append(event)
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": event}, redacts=event)
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 0)
    harness.network.remote_files[file.id].errors.append(Rejected("deleted"))
    gate.set()
    said = "Your deletion was not carried out: this network cannot delete what was sent."
    await settled(harness, room, *((b"other", said) if lacks else ()))
    assert harness.network.remote_files[file.id].opened == 1


# --- from Matrix ----------------------------------------------------------------------------------------------------
async def test_a_file_whose_server_is_gone_holds_its_room_up_for_a_day_at_most(start: Start) -> None:
    harness, room = await start()
    gone = MatrixRequestError(502, "M_UNKNOWN", "Failed to fetch remote media")
    harness.homeserver.fail("open_media", gone, times=OFTEN)
    uri = harness.homeserver.add_file(DATA)
    harness.homeserver.emit(room, ALICE, "m.room.message", {"msgtype": "m.file", "body": "a.bin", "url": uri})
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: [text for _, text in harness.network.accepted] == ["after"], within_s=2 * DAY_S)


async def test_a_file_follows_a_message_that_may_be_there(start: Start) -> None:
    harness, room = await start(FakeNetwork(reserves=True, dedupes=False, echo="none"))
    harness.network.next_sends(Uncertain("no receipt"))
    uri = harness.homeserver.add_file(DATA)
    harness.homeserver.emit(room, ALICE, "m.room.message", {"msgtype": "m.file", "body": "a.bin", "url": uri})
    await harness.until(lambda: harness.network.file("ref1") == DATA)
    await harness.settle(60)
    assert await harness.store.media_jobs() == []


async def test_a_message_that_fails_otherwise_leaves_no_job(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, room = await start()
    gate = harness.network.gates["slow.bin"] = asyncio.Event()
    for name in ("slow.bin", "a.bin"):
        uri = harness.homeserver.add_file(DATA)
        harness.homeserver.emit(room, ALICE, "m.room.message", {"msgtype": "m.file", "body": name, "url": uri})
    await harness.until(lambda: [each.media.name for each in harness.network.given] == ["a.bin"])

    def buggy(*_: Any, **__: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr("bridgekit.runtime.message.outgoing_nonce", buggy)
    gate.set()
    await harness.settle(60)
    assert len(await harness.store.dead_letters()) == 2
    assert await harness.store.media_jobs() == []


# --- one transfer ---------------------------------------------------------------------------------------------------
def opener(*lengths: int) -> Callable[[], Any]:
    left = deque(lengths)

    @asynccontextmanager
    async def open() -> AsyncIterator[MediaStream]:
        async def chunks(length: int) -> AsyncIterator[bytes]:
            yield DATA[:length]

        yield MediaStream(chunks(left.popleft()))

    return open


async def taken(chunks: AsyncIterator[bytes], size: int, ref: MediaRef) -> bytes:
    data = b"".join([chunk async for chunk in chunks])
    assert len(data) == size
    return data


def transfers(clock: ManualClock) -> Transfers:
    return Transfers(clock, MediaRules(offload=False), moved=lambda size: None)


async def test_what_breaks_off_somewhere_else_each_time_is_not_whole() -> None:
    carried = transfers(ManualClock()).carry(MediaRef("f", size=512), opener(100, 200), taken, limit=None)
    with pytest.raises(SourceFailed, match="it had 100 bytes, then 200"):
        await carried
    data, ref = await transfers(ManualClock()).carry(MediaRef("f", size=512), opener(100, 100), taken, limit=None)
    assert (data, ref.size) == (DATA[:100], 100)


@pytest.mark.parametrize("size", [512, None])
async def test_a_homeserver_may_take_its_time_to_store_a_file(size: int | None) -> None:
    clock = ManualClock()

    async def slowly(chunks: AsyncIterator[bytes], size: int, ref: MediaRef) -> bytes:
        data = await taken(chunks, size, ref)
        await clock.sleep(250)
        return data

    carrying = asyncio.ensure_future(transfers(clock).carry(MediaRef("f", size=size), opener(512), slowly, limit=None))
    await clock.advance(250)
    assert (await carrying)[0] == DATA


# --- what is on disk ------------------------------------------------------------------------------------------------
async def test_a_job_that_cannot_be_read_does_not_keep_the_bridge_from_starting(start: Start) -> None:
    harness, room = await start()
    gate = asyncio.Event()
    first = harness.network.add_remote_file(DATA, gate=gate)
    harness.network.say("chat", "friend", "", media=(first,))
    harness.network.gates["a.bin"] = gate
    uri = harness.homeserver.add_file(DATA)
    harness.homeserver.emit(room, ALICE, "m.room.message", {"msgtype": "m.file", "body": "a.bin", "url": uri})
    await harness.until(lambda: harness.network.upload_tries == ["a.bin"])
    await harness.until(lambda: harness.network.remote_files[first.id].open_now == 1)
    jobs = await harness.store.media_jobs()
    assert len(jobs) == 2
    broken = [MediaJobSaved(msgspec.structs.replace(job, payload=b"\xc1" + job.payload)) for job in jobs]
    await harness.bridge.books.save(*broken)
    await harness.kill()
    gate.set()
    harness.network.say("chat", "friend", "", media=(harness.network.add_remote_file(b"more"),))
    await harness.start()
    await harness.until(lambda: words(harness, room) == ["hello", None, b"more"])
    await harness.until(
        lambda: [each.data for each in harness.network.given] == [DATA]
    )  # its message still waited, and begins anew
    letters = await harness.store.dead_letters()
    assert [(each.code, each.kind, each.payload[:1]) for each in letters] == [("unreadable", "file", b"\xc1")] * 2
    assert {each.direction for each in letters} == set(Direction)
    assert "cannot be read" in letters[0].reason
    assert await harness.store.media_jobs() == []


# --- what happens meanwhile -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [MediaKind.IMAGE, MediaKind.FILE, MediaKind.STICKER])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_room_that_is_replaced_while_a_file_comes(start: Start, kind: MediaKind, fails: bool) -> None:
    harness, old = await start()
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, name="a.bin", says=None, known=False, gate=gate, kind=kind)
    harness.network.say("chat", "friend", "", id="f", media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 1)
    new = replaced(harness, old)
    forbidden = MatrixRequestError(403, "M_FORBIDDEN", "You don't have permission to post that to the room")
    for call in ("send_event", "redact", "join", "invite"):
        harness.homeserver.fail(call, forbidden, times=OFTEN, when=lambda arguments: arguments.get("room") == old)
    await harness.settle(60)
    assert (portal := await harness.store.portal(PortalKey(ChatID("chat")))) is not None
    assert portal.room == new
    if fails:
        harness.network.remote_files[file.id].cut_after = 0
        harness.network.remote_files[file.id].errors.append(Rejected("deleted there"))
    gate.set()
    await harness.settle(60)
    assert await harness.store.media_jobs() == []
    if kind is MediaKind.STICKER and not fails:
        assert (bytes_of(harness, shown(harness, old)[1]), shown(harness, new)) == (
            DATA,
            [],
        )  # nothing was to be edited
        return
    assert words(harness, new) == ["a.bin could not be transferred: deleted there" if fails else DATA]
    (record,) = await harness.store.message_by_remote(PortalKey(ChatID("chat")), RemoteMessageID("f"))
    assert record.room == new


@pytest.mark.parametrize("seed", [1, 5, 8])
async def test_a_caption_that_is_edited_while_its_file_arrives(start: Start, seed: int) -> None:
    harness, room = await start(seed=seed)
    gate = asyncio.Event()
    file = harness.network.add_remote_file(DATA, known=False, gate=gate)
    harness.network.say("chat", "friend", "before", id="f", media=(file,))
    await harness.until(lambda: harness.network.remote_files[file.id].open_now == 1)
    edits = harness.homeserver.gate("send_event")
    gate.set()
    await harness.until(lambda: harness.homeserver.calls.count("send_event") == 4)  # what is known of it now
    harness.network.emit(
        RemoteEdit(
            portal=PortalKey(ChatID("chat")),
            target=RemoteMessageID("f"),
            sender=RemoteUserID("friend"),
            timestamp=1_700_000_000_500,
            revision="2",
            text=Text("behind"),
        )
    )
    await harness.settle(1)
    edits.set()
    await harness.until(lambda: shown(harness, room)[-1]["body"] == "behind")
    await settled(harness, room, DATA)


def trickling(clock: ManualClock, size: int, *, every_s: float, total: int) -> Callable[[], Any]:
    """A file that comes so many bytes at a time."""

    @asynccontextmanager
    async def open() -> AsyncIterator[MediaStream]:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(0, total, size):
                await clock.sleep(every_s)
                yield b"x" * size

        yield MediaStream(chunks())

    return open


@pytest.mark.parametrize("known", [True, False])
async def test_a_source_that_trickles_does_not_hold_its_place_for_ever(known: bool) -> None:
    clock, total = ManualClock(), 100_000
    ref = MediaRef("f", size=total if known else None)
    slow = transfers(clock).carry(ref, trickling(clock, 1, every_s=59, total=total), taken, limit=None)
    carrying = asyncio.ensure_future(slow)
    await clock.advance(300)
    with pytest.raises(SourceFailed, match="bytes have moved in"):
        await carrying
    enough = transfers(clock).carry(ref, trickling(clock, 1000, every_s=0.9, total=total), taken, limit=None)
    carrying = asyncio.ensure_future(enough)
    await clock.advance(300)
    assert len((await carrying)[0]) == total


async def test_a_homeserver_that_takes_a_large_piece_slowly_has_not_stalled() -> None:
    """An adapter may give a whole file at once; that it moves is seen in smaller pieces."""
    clock, total = ManualClock(), 2 * 1024 * 1024

    async def slowly(chunks: AsyncIterator[bytes], size: int, ref: MediaRef) -> int:
        got = 0
        async for chunk in chunks:
            await clock.sleep(len(chunk) / 4096)
            got += len(chunk)
        return got

    carried = transfers(clock).carry(
        MediaRef("f", size=total), trickling(clock, total // 2, every_s=0, total=total), slowly, limit=None
    )
    carrying = asyncio.ensure_future(carried)
    await clock.advance(800)
    assert (await carrying)[0] == total


async def test_a_connection_that_cannot_be_closed_does_not_hold_its_place(caplog: pytest.LogCaptureFixture) -> None:
    clock, told = ManualClock(), 0
    forever = asyncio.Event()

    @asynccontextmanager
    async def open() -> AsyncIterator[MediaStream]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await forever.wait()

        try:
            yield MediaStream(chunks(), size=2)
        finally:
            while not forever.is_set():
                try:
                    await forever.wait()
                except asyncio.CancelledError:
                    nonlocal told
                    told += 1

    carrying = asyncio.ensure_future(transfers(clock).carry(MediaRef("f", size=2), open, taken, limit=None))
    await clock.advance(100)
    with pytest.raises(SourceFailed, match="nothing has moved"):
        await carrying
    assert told == 1
    assert "the adapter holds on to it" in caplog.text
    forever.set()


async def test_a_reader_that_trickles_does_not_hold_its_place_for_ever() -> None:
    """The same from Matrix: what the network takes."""
    clock = ManualClock()
    watch = Watch(clock, 60)

    async def reading() -> None:
        while True:
            await clock.sleep(59)
            watch.seen(1)

    watching = asyncio.ensure_future(watch.over(reading()))
    await clock.advance(300)
    with pytest.raises(SourceFailed, match="bytes have moved in"):
        await watching
