"""Files: the fake homeserver does what Synapse does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from uuid import uuid4

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, WrongSize
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.model.ids import ContentURI, UserID
from bridgekit.model.media import Upload
from bridgekit.ports import Homeserver as Port
from bridgekit.testing.homeserver import FakeHomeserver
from tests.matrix.helpers import HeldClock
from tests.matrix.test_homeserver import connect
from tests.support.homeserver import AppserviceSlot
from tests.support.homeserver import Homeserver as Shared

PLACE_MS = 4000
"""How long the places of `Limited` wait."""


class Setup:
    """A homeserver and two ghosts."""

    def __init__(self, homeserver: Port, prefix: str) -> None:
        self.hs = homeserver
        self._prefix = prefix

    async def make(self) -> None:
        self.one, self.other = [await self.hs.register(f"{self._prefix}{uuid4().hex}") for _ in range(2)]


async def pieces(*data: bytes | Exception) -> AsyncIterator[bytes]:
    for each in data:
        if isinstance(each, Exception):
            raise each
        yield each


async def refused(call: Awaitable[object], status: int, errcode: str) -> MatrixRequestError:
    with pytest.raises(MatrixRequestError) as caught:
        await call
    assert (caught.value.status, caught.value.errcode) == (status, errcode)
    return caught.value


async def opened(hs: Port, uri: str) -> tuple[bytes, int | None, str, str]:
    async with hs.open_media(uri, timeout_ms=200) as stream:
        data = b"".join([chunk async for chunk in stream.chunks])
        return data, stream.size, stream.mimetype, stream.name


async def read(hs: Port, uri: str) -> bytes:
    return (await opened(hs, uri))[0]


async def fill(
    hs: Port, uri: ContentURI, *data: bytes | Exception, user: UserID | None, size: int | None = None
) -> None:
    said = sum(len(each) for each in data if isinstance(each, bytes)) if size is None else size
    await hs.fill_media(uri, pieces(*data), Upload(size=said, mimetype="text/plain", filename="a.txt", user=user))


class Contract:
    async def test_a_place_and_its_file(self, setup: Setup) -> None:
        hs, one = setup.hs, setup.one
        made = await hs.reserve_media(user=one)
        assert made.expires_at is not None
        await refused(opened(hs, made.uri), 504, "M_NOT_YET_UPLOADED")
        await refused(fill(hs, made.uri, b"x", user=setup.other), 403, "M_FORBIDDEN")
        await fill(hs, made.uri, b"a file", b"", b", really", user=one)
        assert await opened(hs, made.uri) == (b"a file, really", 14, "text/plain", "a.txt")
        await refused(fill(hs, made.uri, b"another", user=one), 409, "M_CANNOT_OVERWRITE_MEDIA")
        assert await read(hs, made.uri) == b"a file, really"
        assert (await hs.reserve_media(user=one)).uri != made.uri
        await fill(hs, (await hs.reserve_media()).uri, b"the bot's", user=None)

    async def test_what_is_not_there(self, setup: Setup) -> None:
        hs, one = setup.hs, setup.one
        server = one.partition(":")[2]
        nowhere = ContentURI(f"mxc://{server}/nothing")
        await refused(opened(hs, nowhere), 404, "M_NOT_FOUND")
        await refused(fill(hs, nowhere, b"x", user=one), 404, "M_NOT_FOUND")
        for uri in ("mxc://../admin", "mxc://a/%2e%2e", "mxc://a/b?c", "https://a/b", ""):
            await refused(opened(hs, uri), 400, "M_INVALID_PARAM")

    async def test_an_empty_file_uses_the_place_up(self, setup: Setup) -> None:
        made = await setup.hs.reserve_media(user=setup.one)
        await fill(setup.hs, made.uri, user=setup.one)
        assert (await opened(setup.hs, made.uri))[:2] == (b"", 0)
        await refused(fill(setup.hs, made.uri, b"x", user=setup.one), 409, "M_CANNOT_OVERWRITE_MEDIA")

    @pytest.mark.parametrize(
        ("data", "size", "expected"),
        [
            ((b"short",), 6, WrongSize),
            ((b"x" * 200_000, b"y"), 200_000, WrongSize),
            ((b"x" * 200_000,), 100_000, WrongSize),
            ((), 5, WrongSize),
            ((b"x" * 200_000, RuntimeError("the source broke")), 200_001, RuntimeError),
            ((b"x" * 200_000, RuntimeError("the source broke at its end")), 200_000, RuntimeError),
            ((RuntimeError("at once"),), 5, RuntimeError),
        ],
    )
    async def test_a_source_that_fails_leaves_the_place_free(
        self, setup: Setup, data: tuple[bytes | Exception, ...], size: int, expected: type[Exception]
    ) -> None:
        hs, one = setup.hs, setup.one
        made = await hs.reserve_media(user=one)
        with pytest.raises(expected):
            await fill(hs, made.uri, *data, user=one, size=size)
        await refused(opened(hs, made.uri), 504, "M_NOT_YET_UPLOADED")
        await fill(hs, made.uri, b"whole", user=one)
        assert await read(hs, made.uri) == b"whole"
        with pytest.raises(expected):
            await hs.upload_media(pieces(*data), Upload(size=size, mimetype="text/plain", user=one))

    async def test_large_files_arrive_as_they_are(self, setup: Setup) -> None:
        hs, one = setup.hs, setup.one
        blocks = [bytes([number]) * 300_000 for number in range(40)]
        wanted = hashlib.sha256(b"".join(blocks)).hexdigest()
        made = await hs.reserve_media(user=one)
        await fill(hs, made.uri, *blocks, user=one)
        old = await hs.upload_media(
            pieces(*blocks), Upload(size=12_000_000, mimetype="application/x-made-up", user=one)
        )
        for uri in (made.uri, old):
            assert hashlib.sha256(await read(hs, uri)).hexdigest() == wanted

    async def test_uploads_the_old_way(self, setup: Setup) -> None:
        hs = setup.hs
        uri = await hs.upload_media(
            pieces(b"a", b"b"), Upload(size=2, mimetype="image/png\r\nX-Evil: 1", filename="é/..\ud800.png")
        )
        data, size, mimetype, name = await opened(hs, uri)
        assert (data, size, mimetype) == (b"ab", 2, "application/octet-stream")
        assert name.startswith("é")
        assert await read(hs, await hs.upload(b"avatar", mimetype="image/png")) == b"avatar"

    async def test_too_large(self, setup: Setup) -> None:
        hs, one = setup.hs, setup.one
        limit = await hs.media_limit()
        assert limit == 50 * 1024 * 1024
        made = await hs.reserve_media(user=one)
        upload = Upload(size=51 * 1024 * 1024, mimetype="text/plain", user=one)
        with pytest.raises((MatrixRequestError, HomeserverUnreachable)):
            await hs.fill_media(made.uri, pieces(*[b"x" * 1024 * 1024] * 51), upload)
        await refused(opened(hs, made.uri), 504, "M_NOT_YET_UPLOADED")


class Limited:
    """The same with a homeserver that wants its places filled soon, and two of one user at most."""

    async def let_expire(self, setup: Setup) -> None:
        raise NotImplementedError

    async def test_pending_places(self, setup: Setup) -> None:
        hs, one = setup.hs, setup.one
        first, second = [await hs.reserve_media(user=one) for _ in range(2)]
        error = await refused(hs.reserve_media(user=one), 429, "M_LIMIT_EXCEEDED")
        assert error.retry_after_ms is not None
        assert 0 < error.retry_after_ms <= PLACE_MS + 1000  # a header counts in whole seconds
        await hs.reserve_media(user=setup.other)
        await fill(hs, first.uri, b"x", user=one)
        third = await hs.reserve_media(user=one)
        await self.let_expire(setup)
        await refused(fill(hs, second.uri, b"x", user=one), 404, "M_NOT_FOUND")
        await refused(opened(hs, third.uri), 404, "M_NOT_FOUND")
        assert await read(hs, first.uri) == b"x"
        await hs.reserve_media(user=one)


class PassingClock(HeldClock):
    """Sleeps pass at once, and take their time."""

    def now(self) -> int:
        return super().now() + int(sum(self.slept) * 1000)


def fake() -> FakeHomeserver:
    return FakeHomeserver(UserID("@bot:test"), clock=PassingClock())


async def made(homeserver: Port, prefix: str) -> Setup:
    setup = Setup(homeserver, prefix)
    await setup.make()
    return setup


class TestFake(Contract):
    @pytest.fixture
    async def setup(self) -> Setup:
        return await made(fake(), "g_")

    async def test_without_async_uploads(self, setup: Setup) -> None:
        assert isinstance(setup.hs, FakeHomeserver)
        setup.hs.async_uploads = False
        await refused(setup.hs.reserve_media(), 404, "M_UNRECOGNIZED")

    async def test_a_file_that_breaks_off(self, setup: Setup) -> None:
        assert isinstance(setup.hs, FakeHomeserver)
        uri = setup.hs.add_file(b"0123456789", mimetype="text/plain", filename="n")
        setup.hs.pieces, setup.hs.cut_after = 4, 6
        async with setup.hs.open_media(uri) as stream:
            assert await anext(stream.chunks) == b"0123"
            assert await anext(stream.chunks) == b"45"
            with pytest.raises(HomeserverUnreachable):
                await anext(stream.chunks)


class TestFakeLimited(Limited):
    @pytest.fixture
    async def setup(self) -> Setup:
        homeserver = fake()
        homeserver.max_pending, homeserver.reservation_ms = 2, PLACE_MS
        return await made(homeserver, "g_")

    async def let_expire(self, setup: Setup) -> None:
        assert isinstance(setup.hs, FakeHomeserver)
        await setup.hs.clock.sleep(PLACE_MS / 1000)


@pytest.fixture(scope="module")
async def slot(homeserver: Shared) -> AppserviceSlot:
    return homeserver.take_slot()


@pytest.fixture(scope="module")
async def hs(slot: AppserviceSlot) -> AsyncIterator[Homeserver]:
    made = connect(slot)
    yield made
    await made.close()


class TestReal(Contract):
    @pytest.fixture
    async def setup(self, hs: Homeserver, slot: AppserviceSlot) -> Setup:
        return await made(hs, slot.prefix)


class TestRealLimited(Limited):
    @pytest.fixture
    async def setup(self, tmp_path: Path) -> AsyncIterator[Setup]:
        own = Shared(
            tmp_path / "synapse", slots=1, config={"unused_expiration_time": PLACE_MS, "max_pending_media_uploads": 2}
        )
        slot = own.slots[0]
        # One that is not limited has no limit of places either.
        own.synapse.registrations = [{**slot.registration, "rate_limited": True}]
        async with own.synapse:
            homeserver = connect(slot)
            yield await made(homeserver, slot.prefix)
            await homeserver.close()

    async def let_expire(self, setup: Setup) -> None:
        """Its own clock decides: the place is gone when it says so."""
        place = await setup.hs.reserve_media(user=setup.other)
        async with asyncio.timeout(30):
            while True:
                with pytest.raises(MatrixRequestError) as caught:
                    await opened(setup.hs, place.uri)
                if caught.value.status == 404:
                    return
