"""Files, to the network and from it: streams, never more of them in memory than a piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar
from urllib.parse import quote, unquote

import aiohttp
import msgspec
from yarl import URL

from example_bridge.webchat.errors import Disconnected, Unavailable, error_of_body
from example_bridge.webchat.server.protocol import NewMedia, Reserved, Uploaded

T = TypeVar("T")
PIECE = 1 << 16
"""Bytes of a download that are handed out at once, at most."""


@dataclass(frozen=True, slots=True)
class Download:
    """An open file: its bytes, once, and what the network says of them (``""``: nothing)."""

    chunks: AsyncIterator[bytes]
    size: int | None
    mimetype: str
    name: str


class Filing(ABC):
    """The calls, as a part of `WebchatClient`."""

    url: str
    _timeout: float

    @abstractmethod
    def _http(self) -> aiohttp.ClientSession: ...

    @abstractmethod
    def _headers(self) -> dict[str, str]: ...

    @abstractmethod
    async def _request(self, method: str, path: str, type: type[T], body: object = None) -> T: ...

    async def reserve(self, name: str = "", mimetype: str = "", size: int | None = None) -> str:
        """A place for a file: the id by which messages name it from now on, and `upload` brings its bytes.

        `Refused("too_long")` if `size` is more than `Info.max_upload_size`.
        """
        return (await self._request("POST", "/api/media", Reserved, NewMedia(name, mimetype, size))).id

    async def upload(self, file: str, chunks: AsyncIterator[bytes], size: int | None = None) -> Uploaded:
        """Bring the bytes of a file that this account has reserved; no time limit but for the answer.

        `size`: how many they are, if that is known; `Disconnected` if it is not true. What `chunks` raises comes out as
        it is. `Refused`: ``conflict`` if the file is there already, ``too_long``, ``not_found`` if it was given up or
        its message is deleted.
        """
        source = _Source(chunks, size)
        headers = self._headers() | {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        what = f"PUT {self._address(file)}"
        try:
            async with self._http().put(
                self._address(file), data=source.pieces(), headers=headers, timeout=self._patience()
            ) as response:
                answer = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"the network cannot be reached: {error}") from error
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            # aiohttp makes an error of its own of one in the source.
            if source.failure is not None:
                raise source.failure from None
            raise Disconnected(f"{what}: no answer: {error!r}") from error
        if response.status >= 400:
            raise error_of_body(response.status, answer)
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            done = msgspec.json.decode(answer, type=Uploaded)
            if done.size == source.passed:
                return done
        raise Disconnected(f"{what}: {source.passed} bytes were sent, and the answer does not say so")

    async def withdraw(self, file: str) -> None:
        """A file that was reserved will not come; whoever sees it is told. `Refused("conflict")` if it is there."""
        await self._request("DELETE", f"/api/media/{quote(file, safe='')}", object)

    @asynccontextmanager
    async def open_file(self, file: str, *, wait_ms: int | None = None) -> AsyncIterator[Download]:
        """A file of a message that this account may see. `NotYet` if its bytes do not come within `wait_ms` (None:
        what the network finds right). `chunks` raises `Disconnected` where it is not whole, or not what was stored."""
        query = {} if wait_ms is None else {"timeout_ms": str(wait_ms)}
        url = self._address(file).with_query(query)
        try:
            response = await self._http().get(url, headers=self._headers(), timeout=self._patience(wait_ms))
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"the network cannot be reached: {error}") from error
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise Disconnected(f"GET {url}: no answer: {error!r}") from error
        async with response:
            if response.status != 200:
                try:
                    answer = await response.read()
                except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                    raise Disconnected(f"GET {url}: half an answer: {error!r}") from error
                raise error_of_body(response.status, answer)
            yield Download(
                _whole(response),
                response.content_length,
                response.content_type if "Content-Type" in response.headers else "",
                _name(response.headers.get("Content-Disposition", "")),
            )

    def _address(self, file: str) -> URL:
        return URL(f"{self.url}/api/media/{quote(file, safe='')}", encoded=True)

    def _patience(self, wait_ms: int | None = None) -> aiohttp.ClientTimeout:
        """A file may take as long as it takes; silence may not, though more than elsewhere: what the machine has taken
        of an upload is on its way for a while, and a download may wait for its file."""
        silence = 2 * self._timeout + (wait_ms or 0) / 1000
        return aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence)


class _Source:
    """The pieces of an upload, counted; `failure` is what they raised."""

    def __init__(self, chunks: AsyncIterator[bytes], size: int | None) -> None:
        self.passed = 0
        self.failure: Exception | None = None
        self._chunks = chunks
        self._size = size

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._chunks:
                self.passed += len(piece)
                if self._size is not None and self.passed > self._size:
                    raise Disconnected(f"the file has more than the {self._size} bytes that were announced")
                yield piece
            if self._size is not None and self.passed < self._size:
                raise Disconnected(f"the file ended after {self.passed} of {self._size} bytes")
        except Exception as error:
            self.failure = error
            raise


async def _whole(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    digest, passed = sha256(), 0
    try:
        async for piece in response.content.iter_chunked(PIECE):
            digest.update(piece)
            passed += len(piece)
            yield piece
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        raise Disconnected(f"the file broke off after {passed} bytes: {error!r}") from error
    said = response.headers.get("Repr-Digest", "")
    if said.startswith("sha-256=:") and said[9:].partition(":")[0] != b64encode(digest.digest()).decode():
        raise Disconnected(f"the file's {passed} bytes are not those that were stored")


def _name(disposition: str) -> str:
    """As our network writes it: RFC 5987, nothing else."""
    return unquote(disposition.partition("filename*=UTF-8''")[2].partition(";")[0])
