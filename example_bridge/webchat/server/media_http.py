"""Files over HTTP: reserved, uploaded, downloaded. A body of any size passes through in small pieces."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from example_bridge.webchat.server import media
from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.checks import check_media, check_mimetype
from example_bridge.webchat.server.faults import Faults, Transfer
from example_bridge.webchat.server.files import PIECE
from example_bridge.webchat.server.http import NETWORK, authenticate, body_of, number, reply, suffer
from example_bridge.webchat.server.network import Network

log = logging.getLogger(__name__)

WAIT_MS = 20_000
"""How long a download waits for bytes that are not there yet, unless it says so."""
MAX_WAIT_MS = 60_000

MEDIA_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Opened by itself it is a page of this origin: it must not be able to do anything.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}

_SHOWN = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"}
    | {"video/mp4", "video/webm", "video/ogg", "video/quicktime"}
    | {"audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/webm", "audio/wav", "audio/x-wav", "audio/flac"}
)
"""What a browser shows and never runs; all else is only saved."""


async def reserve(request: web.Request) -> web.Response:
    me = await authenticate(request)
    network = request.app[NETWORK]
    _refuse(network, me.id, "reserve")
    new = await body_of(request, p.NewMedia)
    check_media(new, network.max_upload_size)
    id = await network.store.write(partial(media.reserve, owner=me.id, new=new, now=network.now()))
    await suffer(request, me.id, "reserve")
    return reply(p.Reserved(id), 201)


async def upload(request: web.Request) -> web.Response:
    me = await authenticate(request)
    network, id = request.app[NETWORK], request.match_info["file"]
    stored = await network.store.read(partial(media.owned, owner=me.id, id=id))
    if stored.state == "there":
        raise p.Refusal("conflict", "this file is here already")
    _refuse(network, me.id, "upload")
    limit = network.max_upload_size
    if request.content_length is not None and request.content_length > limit:
        raise p.Refusal("too_long", f"{request.content_length} bytes, at most {limit}")
    mimetype = "" if request.content_type == "application/octet-stream" else request.content_type
    check_mimetype(mimetype)
    fault = network.faults.transfer(me.id, "upload")
    try:
        async with network.files.receiving(id, _incoming(request, fault, network.faults), limit) as received:
            write = partial(
                media.complete,
                owner=me.id,
                id=id,
                size=received.size,
                sha256=received.sha256,
                mimetype=mimetype,
                keep=partial(network.files.keep, received, id),
                now=network.now(),
            )
            # Shielded: the part must not be removed under a commit that goes on without whoever asked for it.
            done = await _finish(network.store.write(write))
    except (ConnectionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise p.Refusal("bad_request", f"the upload ended before its end: {error}") from None
    network.tell_of(id)
    await suffer(request, me.id, "upload")
    return reply(p.Uploaded(done.id, done.size + fault.lie, done.sha256))


async def _finish(commit: asyncio.Future[p.Uploaded]) -> p.Uploaded:
    try:
        return await asyncio.shield(commit)
    except asyncio.CancelledError:
        await asyncio.wait([commit])
        raise


async def withdraw(request: web.Request) -> web.Response:
    me = await authenticate(request)
    network, id = request.app[NETWORK], request.match_info["file"]
    await network.store.write(partial(media.withdraw, owner=me.id, id=id, now=network.now()))
    network.tell_of(id)
    return reply({})


async def download(request: web.Request) -> web.StreamResponse:
    me = await authenticate(request)
    network, id = request.app[NETWORK], request.match_info["file"]
    _refuse(network, me.id, "download")
    stored = await _there(network, me.id, id, min(number(request, "timeout_ms", WAIT_MS), MAX_WAIT_MS))
    size, digest = stored.size or 0, stored.sha256 or b""
    etag = f'"{digest.hex()}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": _disposition(stored),
        "Content-Type": stored.mimetype,
        "ETag": etag,
        # What all of it hashes to (RFC 9530): whoever gets less than all can know it.
        "Repr-Digest": f"sha-256=:{b64encode(digest).decode()}:",
    }
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    start, end = 0, size
    if request.headers.get("If-Range", etag) == etag:
        start, end = _range(request, size)
    response = web.StreamResponse(status=200 if (start, end) == (0, size) else 206, headers=headers)
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    fault = network.faults.transfer(me.id, "download")
    response.content_length = max(0, end - start + fault.lie)
    await response.prepare(request)
    try:
        async for piece in _suffering(network.files.read(id, start, end), request, fault, network.faults):
            await response.write(piece)
    except ConnectionError as error:  # whoever read it is gone; there is nobody to answer
        log.info("the download of %s ended before its end: %s", id, error)
        return response
    if fault.lie > 0 and request.transport is not None:
        request.transport.close()  # fewer bytes than it said: there is no other way to end
    return response


async def _there(network: Network, account: str, id: str, timeout_ms: int) -> media.Stored:
    """The file, once its bytes are there."""
    find = partial(media.readable, account=account, id=id)
    until = asyncio.get_running_loop().time() + timeout_ms / 1000
    while True:
        news = network.awaited.setdefault(id, asyncio.Event())  # before the look, so that nothing is missed
        stored = await network.store.read(find)
        if stored.state == "there":
            return stored
        try:
            async with asyncio.timeout_at(until):
                await news.wait()
        except TimeoutError:
            raise p.Refusal("not_yet", "this file has not arrived yet") from None


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """From where to before where; one range only, as browsers ask for it."""
    try:
        asked = request.http_range
    except ValueError:  # several, or nonsense: all of it is an answer, too
        return 0, size
    if asked.start is None:
        return 0, size
    start = max(0, size + asked.start) if asked.start < 0 else asked.start
    end = size if asked.stop is None else min(asked.stop, size)
    if start >= end and (start, end) != (0, size):
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _disposition(stored: media.Stored) -> str:
    how = "inline" if stored.mimetype.lower() in _SHOWN else "attachment"
    # Half of a surrogate pair cannot be percent-encoded.
    name = quote(stored.name.encode("utf-8", "replace"), safe="")
    return f"{how}; filename*=UTF-8''{name}" if name else how


def _refuse(network: Network, account: str, act: str) -> None:
    refusal = network.faults.refusal(account, act)
    if refusal is not None:
        raise refusal


def _incoming(request: web.Request, fault: Transfer, faults: Faults) -> AsyncIterator[bytes]:
    return _suffering(request.content.iter_chunked(PIECE), request, fault, faults)


async def _suffering(
    pieces: AsyncIterator[bytes], request: web.Request, fault: Transfer, faults: Faults
) -> AsyncIterator[bytes]:
    """The bytes on their way, as the faults have it."""
    passed, stalled = 0, False
    async for piece in pieces:
        for part in _cut(piece, passed, fault):
            if fault.break_at is not None and passed >= fault.break_at and request.transport is not None:
                request.transport.abort()
                raise ConnectionResetError("broken on demand")
            if fault.stall_at is not None and passed >= fault.stall_at and not stalled:
                stalled = True
                await faults.until_cleared()
            if fault.bytes_per_s is not None:
                await asyncio.sleep(len(part) / fault.bytes_per_s)
            passed += len(part)
            yield part


def _cut(piece: bytes, passed: int, fault: Transfer) -> list[bytes]:
    """Where something is to happen inside of it, it is cut there; slow ones are cut small."""
    size = len(piece)
    cuts = {at - passed for at in (fault.stall_at, fault.break_at) if at is not None and 0 < at - passed < size}
    if fault.bytes_per_s is not None:
        cuts |= set(range(0, size, max(1, fault.bytes_per_s // 10)))
    edges = sorted({0, size} | cuts)
    return [piece[a:b] for a, b in pairwise(edges)]


def add_media_routes(app: web.Application) -> None:
    file = "/api/media/{file:[^/]+}"
    app.router.add_route("POST", "/api/media", reserve)
    app.router.add_route("PUT", file, upload)
    app.router.add_route("DELETE", file, withdraw)
    app.router.add_route("GET", file, download)
