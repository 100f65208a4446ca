"""Pictures are at addresses that anybody may have typed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bridgekit.errors import Rejected
from bridgekit.testing.process import free_ports
from example_bridge.webchat.pictures import is_public, open_picture

PICTURE = b"\x89PNG\r\n\x1a\n"


class Server:
    """Answers at 127.0.0.1 and 127.0.0.2; `asked` is what was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == "/away":
            raise web.HTTPFound("/1.png")
        if request.path == "/gone":
            raise web.HTTPNotFound
        kind = "image/png" if request.path == "/1.png" else "text/html"
        return web.Response(body=PICTURE, content_type=kind)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    (port,) = free_ports(1)
    server = Server(port)
    app = web.Application()
    app.router.add_get("/{name}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        for host in ("127.0.0.1", "127.0.0.2"):
            await web.TCPSite(runner, host, port).start()
        yield server
    finally:
        await runner.cleanup()


async def read(address: str) -> bytes:
    return b"".join([piece async for piece in open_picture(address, home="http://127.0.0.1:1")])


async def test_a_picture_at_the_networks_own_host(server: Server) -> None:
    assert await read(f"http://127.0.0.1:{server.port}/1.png") == PICTURE


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "localhost", "2130706433", "127.2", "127.0.0.2.", "[::ffff:127.0.0.2]", "[::1]"]
)
async def test_a_private_address_is_not_even_asked(server: Server, host: str) -> None:
    with pytest.raises(Rejected, match="private"):
        await read(f"http://{host}:{server.port}/1.png")
    assert server.asked == []


@pytest.mark.parametrize("name", ["away", "gone", "page"])
async def test_what_is_no_picture_is_not_read(server: Server, name: str) -> None:
    with pytest.raises(Rejected):
        await read(f"http://127.0.0.1:{server.port}/{name}")
    assert server.asked == [f"/{name}"]


@pytest.mark.parametrize("address", ["", "1.png", "file:///etc/passwd", "ftp://127.0.0.1/1.png", "http://[", "http://"])
async def test_what_is_not_on_the_web(address: str) -> None:
    with pytest.raises(Rejected):
        await read(address)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("2002:a00:1::", False),
        ("127.1", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public
