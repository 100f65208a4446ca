"""Pictures of people and chats. Their addresses are whatever somebody typed, and the bridge stands where it may reach
what that person may not."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bridgekit.adapter import MatrixMedia, Rejected
from example_bridge.webchat.client import WebchatClient
from example_bridge.webchat.server.protocol import FILES, MAX_NAME_LENGTH

PIECE = 1 << 16
"""Bytes that are handed out at once, at most."""

PRIVATE = "the picture's address is a private one"


async def give_picture(client: WebchatClient, chat: str, picture: MatrixMedia | None) -> str:
    """Make it the chat's picture: a file of the network's, which all who are in the chat may have. Returns its address.
    A repeat brings it once more, as another file. Raises what the client and the picture do."""
    address = ""
    if picture is not None:
        async with picture.open() as stream:
            file = await client.reserve(
                picture.name[:MAX_NAME_LENGTH], stream.mimetype or picture.mimetype, stream.size
            )
            await client.upload(file, stream.chunks, stream.size)
        address = FILES + file
    await client.change_chat(chat, avatar_url=address)
    return address


async def open_picture(address: str, *, home: str) -> AsyncIterator[bytes]:
    """A picture, piece by piece, from a public server or from the network's own host, whose address is `home`. No
    redirect is followed, and what is no picture is not read: else the answer of something inside could be had by
    calling it one's picture. Raises `Rejected`."""
    try:
        url = URL(address)
        own = URL(home).host
    except ValueError:
        raise Rejected("the picture's address is none") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Rejected("the picture is not on the web")
    if url.host != own and url.host.rstrip(".").rpartition(".")[2].isdigit() and not is_public(url.host):
        raise Rejected(PRIVATE)
    if url.host != own and ":" in url.host and not is_public(url.host):
        raise Rejected(PRIVATE)
    resolver = aiohttp.ThreadedResolver() if url.host == own else _Public()
    # A connection of its own: the picture may be anybody's, who must not be shown our token.
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)) as http,
        http.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise Rejected(f"the picture's server answered {response.status}")
        if not response.content_type.startswith("image/"):
            raise Rejected("the picture is none")
        async for piece in response.content.iter_chunked(PIECE):
            yield piece


def open_own(client: WebchatClient, address: str) -> AsyncIterator[bytes] | None:
    """The same of a file of the network's own, None if the address is of something else. Raises `Rejected` if it is no
    picture, and what the client does."""
    return _open_own(client, address) if address.startswith(FILES) else None


async def _open_own(client: WebchatClient, address: str) -> AsyncIterator[bytes]:
    async with client.open_file(address.removeprefix(FILES), wait_ms=0) as file:
        if not file.mimetype.startswith("image/"):
            raise Rejected("the picture is none")
        async for piece in file.chunks:
            yield piece


def is_public(address: str) -> bool:
    """Whether an IP address could be reached by anybody; False for what is none."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast


class _Public(AbstractResolver):
    """Finds public addresses only; what was found is what is connected to."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if not public:
            raise Rejected(PRIVATE)
        return public

    async def close(self) -> None:
        await self._resolver.close()
