"""Files, and a process that dies, a store that fails, a start anew: each file is there once, whole, in its place."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.media import MediaKind
from bridgekit.model.remote import RemoteDelete
from bridgekit.runtime import points
from bridgekit.runtime.media_rules import MediaMode, MediaRules
from bridgekit.testing.harness import Harness
from tests.runtime.files import settled, shown, words
from tests.runtime.test_kills import turns

POINTS = [points.MEDIA_RESERVED, points.MEDIA_SENT, points.MATRIX_SENT, points.MEDIA_HALF, points.MEDIA_UPLOADED]


def filled(harness: Harness) -> int:
    """How many files the homeserver has."""
    return sum(file.data is not None for file in harness.homeserver.files.values())


@pytest.mark.parametrize("says", [-1, None])
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point(point: str, after: int, says: int | None) -> None:
    harness = Harness(seed=after)
    await harness.start()
    room = await harness.portal()
    dead = harness.kill_at(point, after=after)
    files = [b"file number %d, which is longer than one piece" % number for number in range(3)]
    for number, data in enumerate(files):
        ref = harness.network.add_remote_file(data, says=says, name=f"{number}.bin", known=says is not None)
        harness.network.say("chat", "friend", f"caption {number}", media=(ref,))
        harness.network.say("chat", "friend", f"text {number}")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    expected: list[str | bytes] = []
    for number, data in enumerate(files):
        expected += [data, f"text {number}"]
    await settled(harness, room, *expected)
    await harness.settle(3600)
    assert words(harness, room) == ["hello", *expected]
    assert [each["body"] for each in shown(harness, room)[1::2]] == [f"caption {number}" for number in range(3)]
    assert filled(harness) == 3
    await harness.kill()


@pytest.mark.parametrize("mode", ["async", "wait"])
async def test_killed_at_any_moment(mode: MediaMode) -> None:
    for seed in range(200, 208):
        harness = Harness(seed=seed, media=MediaRules(mode=mode))
        rng = random.Random(seed)
        await harness.start()
        room = await harness.portal()
        expected: list[str | bytes] = []
        for round in range(4):
            for number in range(3):
                data = b"%d %d " % (round, number) * 20
                says = rng.choice([-1, None, 5])
                ref = harness.network.add_remote_file(data, says=says, cut_after=rng.choice([None, 32]))
                harness.network.say("chat", "friend", "", media=(ref,))
                harness.network.say("chat", "friend", f"text {round} {number}")
                expected += [data, f"text {round} {number}"]
            await turns(rng.randrange(400))
            await harness.kill()
            await harness.start()
        try:
            await settled(harness, room, *expected)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {words(harness, room)}") from error
        finally:
            await harness.kill()


@pytest.mark.parametrize("kind", [None, MediaKind.STICKER])
@pytest.mark.parametrize("after", range(6))
async def test_killed_while_a_reservation_is_renewed(after: int, kind: MediaKind | None) -> None:
    """The steps of a renewal: reserve, write down, edit (or replace), write down."""
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    harness.homeserver.reservation_ms = 3_600_000
    gate = asyncio.Event()
    ref = harness.network.add_remote_file(b"data", gate=gate, kind=kind)
    harness.network.say("chat", "friend", "", media=(ref,))
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: words(harness, room) == ["hello", None, "after"])
    left = after
    original = harness.door.leave

    async def leave(call: str, failing: bool) -> None:
        nonlocal left
        if call in ("reserve_media", "record", "send_event", "redact"):
            left -= 1
            if left < 0:
                harness.door.dead = True
        await original(call, failing)

    harness.door.leave = leave  # type: ignore[method-assign]
    await harness.settle(3000)
    await harness.kill()
    await harness.start()
    gate.set()
    ref_shown = ["hello", b"data", "after"] if kind is None else ["hello", "after", b"data"]
    await harness.until(lambda: words(harness, room) in (ref_shown, ["hello", b"data", "after"]))
    await harness.settle(7200)
    assert len([each for each in words(harness, room) if each == b"data"]) == 1
    await harness.kill()


async def test_a_restart_goes_on_where_it_was() -> None:
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    gate = asyncio.Event()
    for number in range(10):
        ref = harness.network.add_remote_file(b"%d" % number, gate=gate)
        harness.network.say("chat", "friend", "", media=(ref,))
    await harness.until(lambda: words(harness, room) == ["hello", *[None] * 10])
    await harness.stop()
    gate.set()
    await harness.start()
    await settled(harness, room, *(b"%d" % number for number in range(10)))
    await harness.kill()


@pytest.mark.parametrize("seed", range(6))
async def test_a_store_that_fails(seed: int) -> None:
    harness = Harness(seed=seed)
    await harness.start()
    room = await harness.portal()
    harness.door.store_faults = 0.3
    expected: list[str | bytes] = []
    for number in range(6):
        data = b"file %d" % number * 10
        ref = harness.network.add_remote_file(data, says=None if number % 2 else -1)
        harness.network.say("chat", "friend", "", media=(ref,))
        harness.network.say("chat", "friend", f"text {number}")
        expected += [data, f"text {number}"]
    await settled(harness, room, *expected)
    await harness.kill()


async def test_a_deletion_survives_a_crash() -> None:
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    ref = harness.network.add_remote_file(b"data", gate=asyncio.Event())
    harness.network.say("chat", "friend", "", id="f", media=(ref,))
    await harness.until(lambda: harness.network.remote_files[ref.id].open_now == 1)
    dead = harness.kill_at(points.MATRIX_SENT)
    harness.network.emit(
        RemoteDelete(
            portal=PortalKey(ChatID("chat")),
            target=RemoteMessageID("f"),
            sender=RemoteUserID("friend"),
            timestamp=1_700_000_000_500,
        )
    )
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await settled(harness, room)
    await harness.settle(3600)
    assert filled(harness) == 0
    await harness.kill()
