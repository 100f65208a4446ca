"""Files that are still to be carried, and pictures that are there already."""

from __future__ import annotations

import msgspec

from bridgekit.model.entry import Retention
from bridgekit.model.ids import ChatID, ContentURI, LoginID, PortalKey
from bridgekit.model.records import (
    Direction,
    LoginRemoved,
    MediaJob,
    MediaJobEnded,
    MediaJobSaved,
    Picture,
    PictureSaved,
    PictureUsed,
)
from bridgekit.ports import Store
from tests.contract.values import NOW, WEIRD, Opened

KEY = PortalKey(ChatID("chat"), LoginID("login"))


def job(id: str, *, at: int = NOW, direction: Direction = Direction.REMOTE, message: str = "m1") -> MediaJob:
    return MediaJob(
        id=id,
        direction=direction,
        portal=KEY,
        message=message,
        login=LoginID("login"),
        payload=b"\x00\xff",
        created_at=at,
    )


class MediaContract:
    async def test_jobs_are_kept_in_their_order(self, held: Opened) -> None:
        await held.know(MediaJobSaved(job("b")), MediaJobSaved(job("a", direction=Direction.MATRIX)))
        await held.know(MediaJobSaved(job("c")))
        first, second, third = await held.store.media_jobs()
        assert [each.id for each in (first, second, third)] == ["b", "a", "c"]
        assert first.number < second.number < third.number
        assert msgspec.structs.replace(second, number=0) == job("a", direction=Direction.MATRIX)
        assert await held.store.media_jobs(after=first.number, limit=1) == [second]
        assert await held.store.media_jobs(after=third.number) == []

    async def test_a_job_keeps_its_place(self, held: Opened) -> None:
        await held.know(MediaJobSaved(job("a")), MediaJobSaved(job("b")))
        again = msgspec.structs.replace(
            job("a", at=NOW + 5), payload=b"more", attempts=3, failed_since=NOW, not_before=NOW + 9, login=LoginID("l2")
        )
        await held.know(MediaJobSaved(again))
        found = await held.store.media_job("a")
        assert found is not None
        (first, _) = await held.store.media_jobs()
        assert found == first == msgspec.structs.replace(again, number=first.number, created_at=NOW)

    async def test_a_job_ends_once(self, held: Opened) -> None:
        await held.know(MediaJobSaved(job("a")), MediaJobSaved(job("b")))
        await held.know(MediaJobEnded("a"), MediaJobEnded("never"))
        await held.know(MediaJobEnded("a"))
        assert await held.store.media_job("a") is None
        assert [each.id for each in await held.store.media_jobs()] == ["b"]

    async def test_a_job_survives_its_login(self, held: Opened) -> None:
        """The file will not come, and that must still be said."""
        await held.know(MediaJobSaved(job("a")), LoginRemoved(LoginID("login")))
        assert await held.store.media_job("a") is not None

    async def test_ids_are_told_apart(self, held: Opened) -> None:
        await held.know(*(MediaJobSaved(job(id, message=id)) for id in WEIRD))
        assert [(each.id, each.message) for each in await held.store.media_jobs()] == [(id, id) for id in WEIRD]
        assert [each and each.id for each in [await held.store.media_job(id) for id in WEIRD]] == WEIRD

    async def test_stats_count_the_jobs(self, held: Opened) -> None:
        await held.know(MediaJobSaved(job("a", at=NOW + 5)), MediaJobSaved(job("b", at=NOW + 3)))
        stats = await held.store.stats()
        assert (stats.media, stats.oldest_media_ms) == (2, NOW + 3)
        await held.know(MediaJobEnded("b"))
        stats = await held.store.stats()
        assert (stats.media, stats.oldest_media_ms) == (1, NOW + 5)

    async def test_pictures(self, held: Opened) -> None:
        await held.know(*(PictureSaved(key, ContentURI(f"mxc://example.org/{n}"), NOW) for n, key in enumerate(WEIRD)))
        await held.know(PictureSaved(WEIRD[0], ContentURI("mxc://example.org/new"), NOW + 1))
        pictures = [await held.store.picture(key) for key in WEIRD]
        assert pictures == [
            Picture(ContentURI("mxc://example.org/new"), NOW + 1),
            *(Picture(ContentURI(f"mxc://example.org/{n}"), NOW) for n in range(1, len(WEIRD))),
        ]
        assert await held.store.picture("none") is None

    async def test_pictures_that_are_not_used_are_forgotten(self, held: Opened) -> None:
        """By whichever of its keys one is used: it is found by all of them."""
        used, unused = ContentURI("mxc://example.org/used"), ContentURI("mxc://example.org/unused")
        await held.know(PictureSaved("id", used, NOW), PictureSaved("bytes", used, NOW), PictureSaved("b", unused, NOW))
        await held.know(PictureUsed(used, NOW + 1000), PictureUsed(ContentURI("mxc://example.org/none"), NOW + 1000))
        keep = Retention(seen_ms=10**9, dead_ms=10**9, pictures_ms=500)
        assert await held.store.clean(keep, now=NOW + 500, epoch=held.epoch) == 0
        assert await held.store.clean(keep, now=NOW + 501, epoch=held.epoch) == 1
        assert [await held.store.picture(key) for key in ("id", "bytes", "b")] == [Picture(used, NOW + 1000)] * 2 + [
            None
        ]
        assert await held.store.clean(keep, now=NOW + 1501, epoch=held.epoch) == 2
        assert await held.store.picture("id") is None

    async def test_another_process_finds_them(self, held: Opened, second: Store) -> None:
        await held.know(MediaJobSaved(job("a")), PictureSaved("k", ContentURI("mxc://example.org/a"), NOW))
        assert [each.id for each in await second.media_jobs()] == ["a"]
        assert await second.picture("k") == Picture(ContentURI("mxc://example.org/a"), NOW)
