"""Files, and a homeserver that misbehaves: redirects to wherever, stops in the middle, answers before its time."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.model.ids import ContentURI, UserID
from bridgekit.model.media import Upload
from tests.matrix.helpers import Answer, HeldClock, StandIn, answer, hang, reset, stand_in

TOKEN = "as-token-secret"
BOT, GHOST = UserID("@bot:hs.test"), UserID("@g_1:hs.test")
URI = ContentURI("mxc://hs.test/abc")
NEW = "/_matrix/client/v1/media/download/hs.test/abc"
OLD = "/_matrix/media/v3/download/hs.test/abc"
FILE = b"the bytes of a file"


def file(headers: dict[str, str] | None = None) -> Answer:
    return answer(200, raw=FILE, headers={"Content-Type": "image/png", **(headers or {})})


def error(status: int, errcode: str, **more: object) -> Answer:
    return answer(status, {"errcode": errcode, "error": "why", **more})


def redirect(to: str, status: int = 307) -> Answer:
    return answer(status, raw=b"", headers={"Location": to})


class Names(AbstractResolver):
    """Each look-up of a name gives the next of its addresses, and the last one for ever."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        known = self.addresses.get(host)
        if not known:
            raise OSError(f"{host}: no such name")
        address = known.pop(0) if len(known) > 1 else known[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""


class World:
    """A homeserver on 127.0.0.1, another server on the same host, and one "on the internet": all of 127.0.0.2 counts as
    public here, and nothing else does."""

    def __init__(self, home: StandIn, beside: StandIn, away: StandIn) -> None:
        self.home, self.beside, self.away = home, beside, away
        self.names = Names()
        self.clock = HeldClock()
        self.hs = Homeserver(
            url=home.url,
            as_token=TOKEN,
            server_name="hs.test",
            bot=BOT,
            appservice_id="as",
            clock=self.clock,
            random=lambda: 0.0,
            timeout_s=5.0,
            stall_timeout_s=0.3,
            reachable=lambda address: address == "127.0.0.2",
            resolver=lambda: self.names,
        )

    @property
    def port(self) -> str:
        """Of the server on the internet."""
        return self.away.url.rpartition(":")[2]

    def tokens(self, server: StandIn) -> list[bool]:
        return [TOKEN in repr(seen) for seen in server.seen]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with stand_in() as home, stand_in() as beside, stand_in(host="127.0.0.2") as away:
        made = World(home, beside, away)
        yield made
        await made.hs.close()


async def read(world: World, uri: str = URI, timeout_ms: int = 20_000) -> bytes:
    async with world.hs.open_media(uri, timeout_ms=timeout_ms) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


async def refused(world: World, errcode: str) -> MatrixRequestError:
    with pytest.raises(MatrixRequestError) as caught:
        await read(world)
    assert caught.value.errcode == errcode
    return caught.value


# --- reading --------------------------------------------------------------------------------------------------------
async def test_a_file_and_what_is_said_of_it(world: World) -> None:
    world.home.answers.append(file({"Content-Disposition": "inline; filename*=utf-8''%C3%A9.png"}))
    async with world.hs.open_media(URI, timeout_ms=7000) as stream:
        assert (stream.size, stream.mimetype, stream.name) == (len(FILE), "image/png", "é.png")
        assert b"".join([chunk async for chunk in stream.chunks]) == FILE
    (seen,) = world.home.seen
    assert (seen.path, seen.query) == (NEW, {"timeout_ms": "7000"})
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"


async def test_hostile_uris_cause_no_request(world: World) -> None:
    for uri in ("mxc://../admin", "mxc://hs.test/%2e%2e", "mxc://hs.test/a?b", "mxc://hs.test", "x", ""):
        with pytest.raises(MatrixRequestError) as caught:
            await read(world, uri)
        assert (caught.value.status, caught.value.errcode) == (400, "M_INVALID_PARAM")
        with pytest.raises(MatrixRequestError):
            await world.hs.fill_media(ContentURI(uri), pieces(b"x"), Upload(size=1, mimetype=""))
    assert world.home.seen == []


async def test_an_ipv6_server_name_is_one_segment(world: World) -> None:
    world.home.otherwise = file()
    assert await read(world, "mxc://[2001:db8::1]:8448/abc") == FILE
    assert (
        world.home.seen[0].path.rpartition("/")[0]
        == f"{NEW.removesuffix('/hs.test/abc')}/%5B2001%3Adb8%3A%3A1%5D%3A8448"
    )


async def test_the_old_path_is_used_where_there_is_no_new_one_and_for_an_hour(world: World) -> None:
    now = [0.0]
    world.clock.monotonic = lambda: now[0]  # type: ignore[method-assign]
    world.home.answers.extend([error(404, "M_UNRECOGNIZED"), file(), file(), file()])
    assert [await read(world), await read(world)] == [FILE, FILE]
    now[0] += 3601
    await read(world)
    assert [seen.path for seen in world.home.seen] == [NEW, OLD, OLD, NEW]
    assert world.home.seen[1].query == {"timeout_ms": "20000", "allow_redirect": "true"}


async def test_a_file_that_is_not_there_is_not_asked_for_twice(world: World) -> None:
    world.home.otherwise = error(404, "M_NOT_FOUND")
    await refused(world, "M_NOT_FOUND")
    assert len(world.home.seen) == 1


async def test_what_is_not_yet_uploaded_says_nothing_of_the_homeserver(world: World) -> None:
    world.home.otherwise = error(504, "M_NOT_YET_UPLOADED")
    assert (await refused(world, "M_NOT_YET_UPLOADED")).status == 504
    assert world.hs.failures == 0
    world.home.otherwise = error(429, "M_LIMIT_EXCEEDED", retry_after_ms=7_000)
    assert (await refused(world, "M_LIMIT_EXCEEDED")).retry_after_ms == 7_000
    assert world.clock.slept == []


TURNS = 20
"""More turns of the loop than a piece takes from the socket to who reads it; else the pieces are one."""


def in_pieces(status: int, *pieces_: bytes, endless: bool = False) -> Answer:
    """An answer of which each piece comes by itself."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for piece in pieces_:
            await response.write(piece)
            for _ in range(TURNS):
                await asyncio.sleep(0)  # noqa: TID251 - no time: the client, in this loop, reads the piece meanwhile
        while endless:
            await response.write(b"x" * 65536)
        return response

    return handler


async def test_an_error_that_comes_in_pieces(world: World) -> None:
    world.home.answers.append(in_pieces(404, b'{"errcode": "M_UNRECOG', b'NIZED", "error": "x"}'))
    world.home.otherwise = file()
    assert await read(world) == FILE
    assert [seen.path for seen in world.home.seen] == [NEW, OLD]


@pytest.mark.parametrize("status", [200, 404])
async def test_answers_without_an_end(world: World, status: int) -> None:
    world.home.otherwise = in_pieces(status, b'{"errcode": "M_NOT_FOUND"}', endless=True)
    with pytest.raises((HomeserverUnreachable, MatrixRequestError)):
        await world.hs.fill_media(URI, pieces(b"a"), Upload(size=1, mimetype=""))
    if status == 404:
        await refused(world, "M_UNKNOWN")


@pytest.mark.parametrize("behaviour", [reset, answer(204, raw=b""), answer(202)])
async def test_answers_that_are_no_file(world: World, behaviour: Answer) -> None:
    world.home.otherwise = behaviour
    with pytest.raises(HomeserverUnreachable):
        await read(world)


async def test_a_homeserver_that_says_nothing(world: World) -> None:
    world.home.otherwise = hang
    world.hs._http.timeout_s = 0.2
    with pytest.raises(HomeserverUnreachable) as caught:
        await read(world, timeout_ms=1)
    assert caught.value.timed_out


def cut(*, announced: int | None, then: Callable[[web.Request], object]) -> Answer:
    """Half of the file, and then something else."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={} if announced is None else {"Content-Length": str(announced)})
        await response.prepare(request)
        await response.write(FILE[:5])
        result = then(request)
        if asyncio.iscoroutine(result):
            await result
        return response

    return handler


def hang_up(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.close()


@pytest.mark.parametrize("announced", [len(FILE), None])
@pytest.mark.parametrize("then", [hang_up, hang])
async def test_a_stream_that_ends_early_or_stalls(
    world: World, announced: int | None, then: Callable[[web.Request], object]
) -> None:
    world.home.otherwise = cut(announced=announced, then=then)
    async with world.hs.open_media(URI) as stream:
        assert await anext(stream.chunks) == FILE[:5]
        with pytest.raises(HomeserverUnreachable) as caught:
            await anext(stream.chunks)
    assert caught.value.timed_out is (then is hang)


async def test_what_is_read_is_not_kept_in_memory(world: World) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(64 << 20)})
        await response.prepare(request)
        for _ in range(64):
            await response.write(bytes(1 << 20))
        return response

    world.home.otherwise = large
    digest, got = hashlib.sha256(), 0
    tracemalloc.start()
    try:
        async with world.hs.open_media(URI) as stream:
            async for chunk in stream.chunks:
                assert len(chunk) <= 64 * 1024
                digest.update(chunk)
                got += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == 64 << 20
    assert digest.digest() == hashlib.sha256(bytes(64 << 20)).digest()
    assert peak < 16 << 20  # the stand-in's own buffers are in it


async def test_what_the_reader_raises_comes_out_and_the_connection_is_let_go(world: World) -> None:
    world.home.answers.append(cut(announced=len(FILE), then=hang))
    with pytest.raises(RuntimeError, match="enough"):
        async with world.hs.open_media(URI):
            raise RuntimeError("enough")
    world.home.otherwise = file()
    assert await read(world) == FILE


# --- redirects ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_to_another_host_without_the_token(world: World, status: int) -> None:
    world.home.otherwise = redirect(f"{world.away.url}/f%2Fa?sig=%2B", status)
    world.away.otherwise = file()
    assert await read(world) == FILE
    (seen,) = world.away.seen
    assert (seen.path, seen.query_string) == ("/f%2Fa", "sig=%2B")
    assert world.tokens(world.away) == [False]
    assert "Authorization" not in seen.headers


async def test_to_another_host_by_name(world: World) -> None:
    world.names.addresses["cdn.test"] = ["127.0.0.2"]
    world.home.otherwise = redirect(f"http://cdn.test:{world.port}/f")
    world.away.otherwise = file()
    assert await read(world) == FILE
    assert world.away.seen[0].headers["Host"] == f"cdn.test:{world.port}"


async def test_on_the_homeserver_itself(world: World) -> None:
    world.home.answers.extend([redirect("/elsewhere"), file()])
    assert await read(world) == FILE
    assert world.tokens(world.home) == [True, True]


async def test_to_another_port_of_the_homeserver_without_the_token(world: World) -> None:
    world.home.otherwise = redirect(f"{world.beside.url}/f")
    world.beside.otherwise = file()
    assert await read(world) == FILE
    assert world.tokens(world.beside) == [False]


async def test_back_home_from_elsewhere_is_not_home(world: World) -> None:
    world.home.answers.append(redirect(f"{world.beside.url}/f"))
    world.beside.otherwise = redirect(f"{world.home.url}/_synapse/admin/v1/users")
    world.home.otherwise = file()
    assert await read(world) == FILE
    assert world.tokens(world.home) == [True, False]
    world.home.answers.append(redirect(f"{world.away.url}/f"))
    world.away.otherwise = redirect(f"{world.home.url}/_synapse/metrics")
    await refused(world, "BAD_REDIRECT")
    assert len(world.home.seen) == 3


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1.nip.test/x",
        "http://127.0.0.3/x",
        "http://[::1]/x",
        "ftp://cdn.test/x",
        "http://a:b@cdn.test/x",
        "http://[",
        # Not names, and no IP addresses as anybody writes them; the operating system takes them for 127.0.0.1.
        "http://2130706433/x",
        "http://127.1/x",
        "http://0x7f.0x1/x",
        "http://0177.0.0.01/x",
        "http://127.0.0.3./x",
    ],
)
async def test_to_where_nobody_should_go(world: World, to: str) -> None:
    world.names.addresses["127.0.0.1.nip.test"] = ["127.0.0.1"]
    world.home.otherwise = redirect(to)
    await refused(world, "BAD_REDIRECT")
    assert not any(server.seen for server in (world.beside, world.away))


async def test_to_a_private_address_by_name(world: World) -> None:
    beside = world.beside.url.rpartition(":")[2]
    world.names.addresses["innocent.test"] = ["127.0.0.1"]
    world.home.otherwise = redirect(f"http://innocent.test:{beside}/x")
    await refused(world, "BAD_REDIRECT")
    assert world.beside.seen == []
    # The homeserver's own host has a name too, but it was not asked for by that name.
    world.names.addresses["localhost"] = ["127.0.0.1"]
    world.home.otherwise = redirect(f"http://localhost:{beside}/x")
    await refused(world, "BAD_REDIRECT")
    assert world.beside.seen == []


async def test_to_private_addresses_that_the_admin_trusts(world: World) -> None:
    world.hs.downloads._private_hosts = frozenset({"store.internal"})
    beside = world.beside.url.rpartition(":")[2]
    world.names.addresses["store.internal"] = ["127.0.0.1"]
    world.home.otherwise = redirect(f"http://store.internal:{beside}/x")
    world.beside.otherwise = file()
    assert await read(world) == FILE
    assert world.tokens(world.beside) == [False]
    world.beside.otherwise = redirect(f"http://cdn.test:{world.port}/x")
    world.names.addresses["cdn.test"] = ["127.0.0.2"]
    world.away.otherwise = redirect(f"http://store.internal:{beside}/y")
    await refused(world, "BAD_REDIRECT")
    assert len(world.beside.seen) == 2


async def test_a_name_that_changes_its_mind(world: World) -> None:
    """DNS rebinding: public when it is judged, private when it is used."""
    world.names.addresses["rebinding.test"] = ["127.0.0.2", "127.0.0.1"]
    world.home.otherwise = redirect(f"http://rebinding.test:{world.port}/f")
    world.away.otherwise = file()
    assert await read(world) == FILE
    assert world.names.asked == ["rebinding.test"]
    assert len(world.away.seen) == 1
    await refused(world, "BAD_REDIRECT")
    assert len(world.away.seen) == 1


async def test_a_name_that_is_not_known_may_be_known_later(world: World) -> None:
    world.home.otherwise = redirect("http://nowhere.test/f")
    with pytest.raises(HomeserverUnreachable):
        await read(world)
    assert world.hs.failures == 0


async def test_in_a_loop(world: World) -> None:
    world.home.otherwise = redirect(NEW)
    assert "more than 5 times" in str(await refused(world, "BAD_REDIRECT"))
    assert len(world.home.seen) == 6
    world.home.otherwise = redirect(f"{world.away.url}/f")
    world.away.otherwise = redirect(f"{world.away.url}/f")
    await refused(world, "BAD_REDIRECT")
    assert len(world.away.seen) == 5


async def test_five_steps_are_enough(world: World) -> None:
    world.home.answers.extend([redirect("/a")] * 5)
    world.home.otherwise = file()
    assert await read(world) == FILE


async def test_a_redirect_that_says_not_where(world: World) -> None:
    world.home.otherwise = answer(307, raw=b"")
    assert (await refused(world, "M_UNKNOWN")).status == 307


@pytest.mark.parametrize("status", [404, 410])
async def test_gone_where_it_leads_to(world: World, status: int) -> None:
    world.home.otherwise = redirect(f"{world.away.url}/f")
    world.away.otherwise = answer(status)
    assert (await refused(world, "M_NOT_FOUND")).status == 404


@pytest.mark.parametrize("behaviour", [answer(403), answer(500), answer(204, raw=b""), reset])
async def test_trouble_where_it_leads_to_is_not_the_homeservers(world: World, behaviour: Answer) -> None:
    world.home.otherwise = redirect(f"{world.away.url}/f")
    world.away.otherwise = behaviour
    with pytest.raises(HomeserverUnreachable):
        await read(world)
    assert world.hs.failures == 0


# --- writing --------------------------------------------------------------------------------------------------------
async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def test_what_is_sent(world: World) -> None:
    world.home.answers.extend([answer(200, {"content_uri": URI}), answer(), answer(200, {"content_uri": URI})])
    assert (await world.hs.reserve_media(user=GHOST)).uri == URI
    upload = Upload(size=2, mimetype="image/png", filename="ä/\ud800?&", user=GHOST)
    await world.hs.fill_media(URI, pieces(b"a", b"b"), upload)
    assert await world.hs.upload_media(pieces(b"c"), Upload(size=1, mimetype="no type")) == URI
    create, put, post = world.home.seen
    assert (create.method, create.path, create.query) == ("POST", "/_matrix/media/v1/create", {"user_id": GHOST})
    assert (put.method, put.path) == ("PUT", "/_matrix/media/v3/upload/hs.test/abc")
    assert (put.query, put.body) == ({"filename": "ä/??&", "user_id": GHOST}, b"ab")
    assert (put.headers["Content-Length"], put.headers["Content-Type"]) == ("2", "image/png")
    assert (post.method, post.path, post.query) == ("POST", "/_matrix/media/v3/upload", {})
    assert (post.body, post.headers["Content-Type"]) == (b"c", "application/octet-stream")
    assert all(seen.headers["Authorization"] == f"Bearer {TOKEN}" for seen in world.home.seen)


async def test_a_reservation_is_asked_for_once(world: World) -> None:
    for behaviour, expected in (
        (error(429, "M_LIMIT_EXCEEDED", retry_after_ms=86_400_000), MatrixRequestError),
        (error(404, "M_UNRECOGNIZED"), MatrixRequestError),
        (error(503, "M_UNKNOWN"), MatrixRequestError),
        (answer(200, {"content_uri": "mxc://../admin"}), HomeserverUnreachable),
        (answer(200, {}), HomeserverUnreachable),
        (reset, HomeserverUnreachable),
    ):
        world.home.seen.clear()
        world.home.otherwise = behaviour
        with pytest.raises(expected):
            await world.hs.reserve_media()
        assert len(world.home.seen) == 1
    assert world.clock.slept == []


class Receiver:
    """A server that reads `after` bytes, says something, and hangs up, or does nothing more."""

    def __init__(self, says: bytes = b"", *, after: int = 1, closes: bool = True) -> None:
        self._says, self._after, self._closes = says, after, closes
        self.got = 0
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            while self.got < self._after and (data := await reader.read(64 * 1024)):
                self.got += len(data)
            writer.write(self._says)
            await writer.drain()
            if not self._closes:
                await self.over.wait()
        except OSError:
            pass
        finally:
            self.over.set()
            writer.close()


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Homeserver]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(receiver, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        hs = Homeserver(
            url=f"http://127.0.0.1:{port}",
            as_token=TOKEN,
            server_name="hs.test",
            bot=BOT,
            appservice_id="as",
            clock=HeldClock(),
            random=lambda: 0.0,
            timeout_s=5.0,
            stall_timeout_s=0.3,
        )
        stack.push_async_callback(hs.close)
        yield hs
        receiver.over.set()


LARGE = 64 << 20


class Source:
    """A large file that counts what was taken of it."""

    def __init__(self) -> None:
        self.given = 0
        self.ended = False

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            while self.given < LARGE:
                self.given += 1 << 20
                yield bytes(1 << 20)
        finally:
            self.ended = True


def said(status: str, body: bytes, *more: bytes) -> bytes:
    head = [f"HTTP/1.1 {status}".encode(), b"Content-Type: application/json", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join([*head, b"", body])


async def test_a_server_that_refuses_in_the_middle(world: World) -> None:
    body = b'{"errcode": "M_TOO_LARGE", "error": "no"}'
    receiver, source = Receiver(said("413 Too Large", body), closes=False), Source()
    async with receiving(receiver) as hs:
        with pytest.raises(MatrixRequestError) as caught:
            await hs.fill_media(URI, source(), Upload(size=LARGE, mimetype="image/png"))
        assert (caught.value.status, caught.value.errcode) == (413, "M_TOO_LARGE")
    assert source.given < LARGE


async def test_a_server_that_says_it_has_it_before_it_can(world: World) -> None:
    receiver, source = Receiver(said("200 OK", b"{}"), closes=False), Source()
    async with receiving(receiver) as hs:
        with pytest.raises(HomeserverUnreachable, match="before it had the whole file"):
            await hs.fill_media(URI, source(), Upload(size=LARGE, mimetype="image/png"))
    assert source.given < LARGE


async def test_a_server_that_hangs_up(world: World) -> None:
    receiver, source = Receiver(after=200_000), Source()
    async with receiving(receiver) as hs:
        with pytest.raises(HomeserverUnreachable) as caught:
            await hs.fill_media(URI, source(), Upload(size=LARGE, mimetype="image/png"))
        assert not caught.value.timed_out
        assert hs.failures == 1
    assert source.given < LARGE


async def test_a_server_that_takes_no_more(world: World) -> None:
    receiver, source = Receiver(after=200_000, closes=False), Source()
    async with receiving(receiver) as hs:
        with pytest.raises(HomeserverUnreachable) as caught:
            await hs.fill_media(URI, source(), Upload(size=LARGE, mimetype="image/png"))
        assert caught.value.timed_out
    assert source.given < LARGE  # no more was taken than fits into the buffers on the way


async def loop_time(seconds: float) -> None:
    """Let as much of the event loop's time pass."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


async def test_a_source_may_take_its_time(world: World) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        async with asyncio.timeout(5):
            await loop_time(0.6)
        yield b"b"

    await world.hs.fill_media(URI, slow(), Upload(size=2, mimetype="image/png"))
    assert world.home.seen[0].body == b"ab"


async def test_cancelled_in_the_middle_the_server_does_not_take_it_for_whole(world: World) -> None:
    receiver = Receiver(says=b"", after=LARGE + 1)
    begun = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        yield bytes(100_000)
        begun.set()
        await asyncio.Event().wait()

    async with receiving(receiver) as hs:
        task = asyncio.create_task(hs.fill_media(URI, source(), Upload(size=300_000, mimetype="image/png")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await receiver.over.wait()  # the connection has ended
    assert receiver.got < 300_000


async def test_what_is_sent_is_not_kept_in_memory(world: World) -> None:
    receiver, source = Receiver(said("200 OK", b"{}"), after=LARGE, closes=False), Source()
    async with receiving(receiver) as hs:
        tracemalloc.start()
        try:
            await hs.fill_media(URI, source(), Upload(size=LARGE, mimetype="image/png"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (receiver.got, source.ended) == (LARGE, True)
    assert peak < 8 << 20


# --- the limit ------------------------------------------------------------------------------------------------------
async def test_the_limit_is_asked_for_once_an_hour(world: World) -> None:
    now = [0.0]
    world.clock.monotonic = lambda: now[0]  # type: ignore[method-assign]
    world.home.answers.extend([answer(200, {"m.upload.size": 7}), answer(200, {"m.upload.size": 8})])
    assert [await world.hs.media_limit(), await world.hs.media_limit()] == [7, 7]
    now[0] += 3601
    assert await world.hs.media_limit() == 8
    assert [seen.path for seen in world.home.seen] == ["/_matrix/client/v1/media/config"] * 2


@pytest.mark.parametrize("limit", [None, -1, 0, "50M", True, 1.5, {}])
async def test_limits_that_are_none(world: World, limit: object) -> None:
    world.home.otherwise = answer(200, {"m.upload.size": limit})
    assert await world.hs.media_limit() is None


async def test_the_limit_of_an_older_homeserver(world: World) -> None:
    world.home.answers.extend([error(404, "M_UNRECOGNIZED"), answer(200, {"m.upload.size": 9})])
    assert await world.hs.media_limit() == 9
    assert world.home.seen[1].path == "/_matrix/media/v3/config"


@pytest.mark.parametrize(
    "said", [error(403, "M_FORBIDDEN"), answer(404, raw=b"<html>nginx</html>"), answer(405, raw=b"")]
)
async def test_a_limit_that_is_not_said_is_none(world: World, said: Answer) -> None:
    """No message fails because the homeserver, or a proxy before it, does not say how large files may be."""
    world.home.otherwise = said
    assert await world.hs.media_limit() is None
    assert len(world.home.seen) == 2
    assert await world.hs.media_limit() is None
    assert len(world.home.seen) == 2
    world.hs._limit_until = None
    world.home.otherwise = error(401, "M_UNKNOWN_TOKEN")
    with pytest.raises(MatrixRequestError):
        await world.hs.media_limit()
