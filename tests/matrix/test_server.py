"""The application service API over real sockets: who may speak, what is answered when, and what never leaves."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.matrix.server import AppserviceServer
from tests.matrix.helpers import FakeBridge, assert_never_logged

TOKEN = "hs-token-ü"
SECRET = "a-secret-message-text"
EVENT = {
    "event_id": "$1",
    "room_id": "!r",
    "sender": "@a:hs.test",
    "type": "m.room.message",
    "content": {"body": SECRET},
}
BODY = json.dumps({"events": [EVENT]}).encode()
AUTH = {"Authorization": "Bearer good"}


class Setup:
    def __init__(self, bridge: FakeBridge, server: AppserviceServer, http: aiohttp.ClientSession) -> None:
        self.bridge, self.server, self.http = bridge, server, http
        self.writers: list[asyncio.StreamWriter] = []

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        options.setdefault("headers", AUTH)
        async with self.http.request(method, f"http://127.0.0.1:{self.server.port}{path}", **options) as response:
            assert response.content_type == "application/json"
            return response.status, json.loads(await response.read())

    async def push(self, txn_id: str = "1", body: Any = BODY, **options: Any) -> tuple[int, Any]:
        return await self.ask("PUT", f"/_matrix/app/v1/transactions/{txn_id}", data=body, **options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass
        await self.server.stop()


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    bridge = FakeBridge()
    server = AppserviceServer(hs_token="good", handler=bridge, max_body_bytes=1_000_000, stop_timeout_s=5)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        made = Setup(bridge, server, http)
        yield made
        await made.close()


def request(body: bytes, *headers: str, path: str = "/_matrix/app/v1/transactions/1", method: str = "PUT") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Authorization: Bearer good", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/_matrix/app/v1/transactions/t%2F1", "/transactions/t%2F1"])
async def test_a_transaction_reaches_the_handler(setup: Setup, path: str) -> None:
    assert await setup.ask("PUT", path, data=BODY) == (200, {})
    ((txn_id, transaction),) = setup.bridge.transactions
    assert txn_id == "t/1"
    assert [msgspec.json.decode(event) for event in transaction.events] == [EVENT]


async def test_the_same_transaction_again_is_the_handlers_business(setup: Setup) -> None:
    assert [await setup.push("7"), await setup.push("7")] == [(200, {}), (200, {})]
    assert len(setup.bridge.transactions) == 2


async def test_one_malformed_event_is_no_reason_to_refuse(setup: Setup) -> None:
    assert await setup.push(body=b'{"events": [5, ' + json.dumps(EVENT).encode() + b"]}") == (200, {})
    transaction = setup.bridge.transactions[0][1]
    assert [msgspec.json.decode(event) for event in transaction.events] == [5, EVENT]


async def test_no_byte_leaves_before_the_handler_returns_and_then_it_leaves_at_once(setup: Setup) -> None:
    entered, commit = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await commit.wait()

    setup.bridge.work = work
    reader, writer = await setup.connect()
    writer.write(request(BODY, f"Content-Length: {len(BODY)}"))
    await entered.wait()
    first = asyncio.ensure_future(reader.read(1))
    # Another request goes all the way while this one waits, so the server had every chance to write.
    assert (await setup.ask("POST", "/_matrix/app/v1/ping"))[0] == 200
    assert not first.done()
    commit.set()
    async with asyncio.timeout(5):
        assert await first == b"H"
        assert (await reader.readuntil(b"\r\n")).startswith(b"TTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreUnavailable("disk full"), 503), (LeaseLost("taken"), 503), (RuntimeError("bug"), 500), (KeyError("x"), 500)],
)
async def test_a_handler_that_fails_is_never_a_200(
    setup: Setup, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        raise error

    setup.bridge.work = work
    got, body = await setup.push()
    assert (got, body["errcode"]) == (status, "M_UNKNOWN")
    (record,) = [r for r in caplog.records if r.name == "bridgekit.matrix.server"]
    assert (record.exc_info is not None) == (status == 500)


async def test_a_handler_that_is_cancelled_is_never_a_200(setup: Setup) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    setup.bridge.work = work
    got, body = await setup.push()
    assert (got, body["errcode"]) == (503, "M_UNKNOWN")


async def test_the_handler_finishes_though_the_homeserver_hangs_up(setup: Setup) -> None:
    entered, commit, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await commit.wait()
        finished.set()

    setup.bridge.work = work
    _, writer = await setup.connect()
    writer.write(request(BODY, f"Content-Length: {len(BODY)}"))
    await entered.wait()
    writer.transport.abort()
    assert (await setup.ask("POST", "/_matrix/app/v1/ping"))[0] == 200  # the loop has seen the end of the connection
    commit.set()
    async with asyncio.timeout(5):
        await finished.wait()
    assert setup.bridge.done == ["1"]


async def test_stop_waits_for_what_is_being_worked_on_and_takes_nothing_new(setup: Setup) -> None:
    entered, commit = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await commit.wait()

    setup.bridge.work = work
    pushing = asyncio.ensure_future(setup.push())
    await entered.wait()
    stopping = asyncio.ensure_future(setup.server.stop())
    async with asyncio.timeout(5):
        while await accepts(setup.server.port):
            pass
    assert not stopping.done()
    commit.set()
    assert await pushing == (200, {})
    await stopping
    await setup.server.stop()


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_stop_gives_up_on_a_handler_that_never_ends() -> None:
    bridge, entered = FakeBridge(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    bridge.work = work
    server = AppserviceServer(hs_token="good", handler=bridge, stop_timeout_s=0.05)
    await server.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(BODY, f"Content-Length: {len(BODY)}"))
    await entered.wait()
    async with asyncio.timeout(5):
        await server.stop()
    assert bridge.done == []
    writer.close()
    await writer.wait_closed()


async def test_many_at_once(setup: Setup) -> None:
    answers = await asyncio.gather(*(setup.push(str(n)) for n in range(100)))
    assert answers == [(200, {})] * 100
    assert {txn_id for txn_id, _ in setup.bridge.transactions} == {str(n) for n in range(100)}


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b"", "M_NOT_JSON"),
        (b"{", "M_NOT_JSON"),
        (b'{"events": ["\xff"]}', "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"{}", "M_BAD_JSON"),
        (b'{"events": 5}', "M_BAD_JSON"),
    ],
)
async def test_a_body_that_is_no_transaction(setup: Setup, body: bytes, errcode: str) -> None:
    status, answer = await setup.push(body=body)
    assert (status, answer["errcode"]) == (400, errcode)
    assert answer["error"]
    assert setup.bridge.transactions == []


def padded(size: int) -> bytes:
    return b'{"events": []' + b" " * (size - 14) + b"}"


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 60_000):
        yield data[start : start + 60_000]


@pytest.mark.parametrize("how", ["whole", "chunked", "gzip", "deflate"])
async def test_the_limit_is_on_the_body_itself(setup: Setup, how: str) -> None:
    async def push(size: int) -> tuple[int, Any]:
        data = padded(size)
        match how:
            case "chunked":
                return await setup.push(body=chunks(data))
            case "whole":
                return await setup.push(body=data)
            case _:
                packed = gzip.compress(data) if how == "gzip" else zlib.compress(data)
                return await setup.push(body=packed, headers={**AUTH, "Content-Encoding": how})

    assert await push(1_000_000) == (200, {})
    status, body = await push(1_000_001)
    assert (status, body["errcode"]) == (413, "M_TOO_LARGE")
    assert len(setup.bridge.transactions) == 1


async def test_a_body_that_says_it_is_too_large_is_not_read(setup: Setup) -> None:
    reader, writer = await setup.connect()
    writer.write(request(b"", "Content-Length: 1000001"))
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readuntil(b"\r\n")
        assert b"M_TOO_LARGE" in await reader.readuntil(b"}")
    writer.close()


async def test_the_default_limit_takes_a_body_of_more_than_a_mebibyte() -> None:
    bridge = FakeBridge()
    server = AppserviceServer(hs_token="good", handler=bridge)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        setup = Setup(bridge, server, http)
        assert await setup.push(body=io.BytesIO(padded(64 * 1024 * 1024))) == (200, {})
    await server.stop()


async def test_a_body_that_comes_byte_by_byte(setup: Setup) -> None:
    reader, writer = await setup.connect()
    for byte in request(BODY, f"Content-Length: {len(BODY)}", "Connection: close"):
        writer.write(bytes([byte]))
        await writer.drain()
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


async def test_a_connection_that_ends_inside_the_body_is_no_transaction(setup: Setup) -> None:
    _, writer = await setup.connect()
    writer.write(request(BODY[:-5], f"Content-Length: {len(BODY)}"))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await setup.ask("POST", "/_matrix/app/v1/ping"))[0] == 200
    assert setup.bridge.transactions == []


async def test_broken_gzip_is_refused(setup: Setup) -> None:
    reader, writer = await setup.connect()
    writer.write(request(b"no gzip at all", "Content-Length: 14", "Content-Encoding: gzip", "Connection: close"))
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert setup.bridge.transactions == []


# --- tokens -----------------------------------------------------------------------------------------------------------

ROUTES = [
    ("PUT", "/_matrix/app/v1/transactions/1"),
    ("PUT", "/transactions/1"),
    ("POST", "/_matrix/app/v1/ping"),
    ("POST", "/_matrix/app/unstable/fi.mau.msc2659/ping"),
    ("GET", "/_matrix/app/v1/users/@a:hs.test"),
    ("GET", "/users/@a:hs.test"),
    ("GET", "/_matrix/app/v1/rooms/%23a:hs.test"),
    ("GET", "/rooms/%23a:hs.test"),
    ("GET", "/_matrix/app/v1/thirdparty/protocol/irc"),
    ("GET", "/_matrix/app/v1/thirdparty/user"),
    ("GET", "/_matrix/app/unstable/thirdparty/location/irc"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_wants_the_token(setup: Setup, method: str, path: str) -> None:
    status, body = await setup.ask(method, path, headers={}, data=BODY if method == "PUT" else None)
    assert (status, body["errcode"]) == (401, "M_MISSING_TOKEN")
    status, body = await setup.ask(method, path, headers={"Authorization": "Bearer bad"})
    assert (status, body["errcode"]) == (403, "M_FORBIDDEN")
    assert (setup.bridge.transactions, setup.bridge.asked, setup.bridge.pings) == ([], [], [])


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        ("Bearer good", "", 200),
        ("bearer good", "", 200),
        ("Bearer  good ", "", 200),
        (None, "?access_token=good", 200),
        ("Bearer good", "?access_token=good", 200),
        ("Basic Zm9v", "?access_token=good", 200),
        ("Bearer good", "?access_token=bad", 403),
        ("Bearer bad", "?access_token=good", 403),
        (None, "?access_token=good&access_token=bad", 403),
        (None, "?access_token=", 403),
        ("Bearer ", "", 403),
        ("Bearer goo", "", 403),
        ("Bearer good1", "", 403),
        ("Bearer GOOD", "", 403),
        ("Bearer \u00fc", "", 403),
        ("Basic good", "", 401),
        ("good", "", 401),
        ("Bearer", "", 403),
        (None, "", 401),
        (None, "?access_toke=good", 401),
    ],
)
async def test_header_and_query(setup: Setup, header: str | None, query: str, status: int) -> None:
    headers = {} if header is None else {"Authorization": header}
    got, _ = await setup.ask("PUT", f"/_matrix/app/v1/transactions/1{query}", headers=headers, data=BODY)
    assert got == status
    assert len(setup.bridge.transactions) == (1 if status == 200 else 0)


async def test_two_authorization_headers_must_both_be_right(setup: Setup) -> None:
    reader, writer = await setup.connect()
    writer.write(request(BODY, "Authorization: Bearer bad", f"Content-Length: {len(BODY)}", "Connection: close"))
    async with asyncio.timeout(5):
        assert b" 403 " in await reader.readuntil(b"\r\n")
    writer.close()


async def test_a_token_beyond_ascii() -> None:
    server = AppserviceServer(hs_token=TOKEN, handler=FakeBridge())
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{server.port}/_matrix/app/v1/ping"
        async with http.post(url, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200
        async with http.post(url, params={"access_token": TOKEN}) as response:
            assert response.status == 200
    await server.stop()


def test_an_empty_token_is_no_token() -> None:
    with pytest.raises(ValueError):
        AppserviceServer(hs_token="", handler=FakeBridge())


@pytest.mark.parametrize("token", ["", "Authorization: Bearer bad"])
async def test_a_stranger_is_refused_before_the_body_is_read(setup: Setup, token: str) -> None:
    reader, writer = await setup.connect()
    headers = [line for line in ("Host: x", token, "Content-Length: 900000") if line]
    writer.write("\r\n".join(["PUT /_matrix/app/v1/transactions/1 HTTP/1.1", *headers, "", ""]).encode())
    async with asyncio.timeout(5):  # not a byte of the body was sent
        assert (await reader.readuntil(b"\r\n")).split()[1] == (b"403" if token else b"401")
    writer.close()


async def test_expect_continue_is_answered_by_who_may_send(setup: Setup) -> None:
    reader, writer = await setup.connect()
    writer.write(request(b"", f"Content-Length: {len(BODY)}", "Expect: 100-continue", "Connection: close"))
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    reader, writer = await setup.connect()
    writer.write(
        b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
    writer.close()


# --- the other routes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/_matrix/app/v1/ping", "/_matrix/app/unstable/fi.mau.msc2659/ping"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"transaction_id": "meow"}', "meow"),
        (b'{"transaction_id": null}', None),
        (b'{"transaction_id": 5}', None),
        (b'{"transaction_id": {}}', None),
        (b"{}", None),
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b"not JSON", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
async def test_ping(setup: Setup, path: str, body: bytes, expected: str | None) -> None:
    assert await setup.ask("POST", path, data=body) == (200, {})
    assert setup.bridge.pings == [expected]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/_matrix/app/v1/users/%40a%2Fb%3Ahs.test", "@a/b:hs.test"),
        ("/users/@a:hs.test", "@a:hs.test"),
        ("/_matrix/app/v1/rooms/%23a%2Fb%3Ahs.test", "#a/b:hs.test"),
        ("/rooms/%23a:hs.test", "#a:hs.test"),
    ],
)
async def test_queries(setup: Setup, path: str, asked: str) -> None:
    status, body = await setup.ask("GET", path)
    assert (status, body["errcode"]) == (404, "M_NOT_FOUND")
    setup.bridge.exists = True
    assert await setup.ask("GET", path) == (200, {})
    setup.bridge.exists = StoreUnavailable("busy")
    assert (await setup.ask("GET", path))[0] == 503
    setup.bridge.exists = RuntimeError("bug")
    assert (await setup.ask("GET", path))[0] == 500
    assert setup.bridge.asked == [asked] * 4


@pytest.mark.parametrize("prefix", ["/_matrix/app/v1", "/_matrix/app/unstable"])
async def test_thirdparty_is_empty(setup: Setup, prefix: str) -> None:
    status, body = await setup.ask("GET", f"{prefix}/thirdparty/protocol/irc")
    assert (status, body["errcode"]) == (404, "M_NOT_FOUND")
    for path in ("user", "location", "user/irc?nick=a", "location/irc", "location?alias=%23a%3Ahs"):
        assert await setup.ask("GET", f"{prefix}/thirdparty/{path}") == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/_matrix/app/v1/nothing", 404),
        ("PUT", "/_matrix/app/v1/transactions/", 404),
        ("GET", "/_matrix/app/v1/transactions/1", 405),
        ("POST", "/_matrix/app/v1/transactions/1", 405),
        ("GET", "/_matrix/app/v1/ping", 405),
        ("DELETE", "/_matrix/app/v1/users/@a:hs", 405),
    ],
)
async def test_what_is_not_there_says_so_in_matrix_json(setup: Setup, method: str, path: str, status: int) -> None:
    got, body = await setup.ask(method, path)
    assert (got, body["errcode"]) == (status, "M_UNRECOGNIZED")


async def test_more_routes_can_be_mounted() -> None:
    server = AppserviceServer(hs_token="good", handler=FakeBridge())

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("/health")

    server.app.router.add_get("/health", health)
    server.app.router.add_get("/broken", broken)
    server.app.router.add_get("/away", away)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        setup = Setup(FakeBridge(), server, http)
        assert await setup.ask("GET", "/health", headers={}) == (200, {"ok": True})
        assert await setup.ask("GET", "/away", headers={}) == (200, {"ok": True})
        assert (await setup.ask("GET", "/broken", headers={}))[1]["errcode"] == "M_UNKNOWN"
    await server.stop()


async def test_an_address_that_is_taken_is_an_oserror(setup: Setup) -> None:
    other = AppserviceServer(hs_token="good", handler=FakeBridge())
    with pytest.raises(OSError):
        await other.start("127.0.0.1", setup.server.port)
    await other.stop()


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_neither_token_nor_body_is_ever_logged(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = "wrong-secret-token"

    async def fail() -> None:
        raise RuntimeError("bug")

    await setup.push(headers={"Authorization": "Bearer good"})
    await setup.ask("PUT", f"/_matrix/app/v1/transactions/1?access_token={token}", data=BODY)
    await setup.ask("PUT", "/_matrix/app/v1/transactions/1", headers={"Authorization": f"Bearer {token}"}, data=BODY)
    await setup.push(body=BODY[:-1])
    await setup.push(body=b'{"events": [{"body": "' + SECRET.encode() + b'"}]}')
    setup.bridge.work = fail
    await setup.push()
    for raw in (
        f"PUT /_matrix/app/v1/transactions/1?access_token={token} JUNK\r\n\r\n",
        f"PUT /x HTTP/1.1\r\nAuthorization: Bearer {token}\r\nbad header {token}\r\n\r\n",
        f"{token}\r\n\r\n",
        f"PUT /x?access_token={token} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
        f"PUT /x HTTP/1.1\r\nContent-Length: {token}\r\n\r\n",
    ):
        reader, writer = await setup.connect()
        writer.write(raw.encode())
        writer.write_eof()
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
    assert_never_logged(caplog, token, SECRET)
