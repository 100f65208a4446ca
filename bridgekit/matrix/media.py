"""The calls that move files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from mautrix.api import Method

from bridgekit.core.mxc import MXC, parse_mxc
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.client import Client
from bridgekit.matrix.http import Repeat
from bridgekit.matrix.upload import T, send_file
from bridgekit.matrix.wire import JSON, path
from bridgekit.model.ids import ContentURI, UserID
from bridgekit.model.media import MediaStream, Reservation, Upload

CONFIG_FOR_S = 3600.0
"""How long it is believed what the homeserver said of itself."""

MEDIA = "_matrix/media"

UNSAID = frozenset({400, 403, 404, 405, 410, 501})


class _Created(msgspec.Struct):
    content_uri: ContentURI
    unused_expires_at: int | None = None


class _Uploaded(msgspec.Struct):
    content_uri: ContentURI


class MediaCalls(Client):
    """The part of `Homeserver` about files."""

    _limit: int | None = None
    _limit_until: float | None = None
    _old_until: float = float("-inf")

    async def media_limit(self) -> int | None:
        """``m.upload.size`` in bytes, None if the homeserver does not say; asked once an hour."""
        now = self._clock.monotonic()
        if self._limit_until is None or now >= self._limit_until:
            limit = (await self._config()).get("m.upload.size")
            self._limit = limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None
            self._limit_until = now + CONFIG_FOR_S
        return self._limit

    async def _config(self) -> JSON:
        for where in (path("v1", "media", "config"), path("v3", "config", api=MEDIA)):
            try:
                return await self._call(Method.GET, where, JSON)
            except MatrixRequestError as error:
                # Whatever keeps it from saying so (it knows none, or a proxy forbids the path): that is no limit.
                if error.status not in UNSAID:
                    raise
        return {}

    async def reserve_media(self, *, user: UserID | None = None) -> Reservation:
        """A place for a file that comes later. 429: too many that are not filled; it may be to wait for a day."""
        created = await self._call(
            Method.POST, path("v1", "create", api=MEDIA), _Created, user=user, repeat=Repeat.NEVER
        )
        if parse_mxc(created.content_uri) is None:
            raise HomeserverUnreachable(f"{created.content_uri!r} is no mxc:// URI", endpoint="POST create")
        return Reservation(created.content_uri, created.unused_expires_at)

    async def fill_media(self, uri: ContentURI, chunks: AsyncIterator[bytes], upload: Upload) -> None:
        """Stream a file into its place (MSC2246). Errors as the port's, `bridgekit.ports.Homeserver.fill_media`."""
        mxc = _parsed(uri)
        where = path("v3", "upload", mxc.server_name, mxc.media_id, api=MEDIA)
        await self._upload(Method.PUT, where, JSON, chunks, upload)

    async def upload_media(self, chunks: AsyncIterator[bytes], upload: Upload) -> ContentURI:
        """Stream a file to wherever the homeserver wants it. Errors as those of `fill_media`."""
        where = path("v3", "upload", api=MEDIA)
        return (await self._upload(Method.POST, where, _Uploaded, chunks, upload)).content_uri

    async def _upload(
        self, method: Method, where: str, answer: type[T], chunks: AsyncIterator[bytes], upload: Upload
    ) -> T:
        query = {"filename": upload.filename.encode(errors="replace").decode()} if upload.filename else {}
        if upload.user is not None and upload.user != self.bot:
            query["user_id"] = upload.user
        return await send_file(
            self._http,
            method,
            where,
            answer,
            chunks=chunks,
            size=upload.size,
            mimetype=upload.mimetype,
            query=query,
            stall_s=self._stall_s,
        )

    @asynccontextmanager
    async def open_media(self, uri: str, *, timeout_ms: int = 20_000) -> AsyncIterator[MediaStream]:
        """A file as a stream. 400 M_INVALID_PARAM: `uri` is none of a file; 404: there is none; 504 M_NOT_YET_UPLOADED
        after `timeout_ms`; BAD_REDIRECT: the homeserver leads to where nobody should go."""
        mxc = _parsed(uri)
        async with AsyncExitStack() as stack:
            yield await self._open(stack, mxc, timeout_ms)

    async def _open(self, stack: AsyncExitStack, mxc: MXC, timeout_ms: int) -> MediaStream:
        async def at(where: str, **query: str) -> MediaStream:
            asked: Mapping[str, Any] = {"timeout_ms": str(timeout_ms), **query}
            within_s = timeout_ms / 1000 + self._http.timeout_s
            return await stack.enter_async_context(self.downloads.open(where, asked, within_s=within_s))

        if self._clock.monotonic() >= self._old_until:
            try:
                return await at(path("v1", "media", "download", mxc.server_name, mxc.media_id))
            except MatrixRequestError as error:
                # MSC3916: a server without authenticated media.
                if error.errcode != "M_UNRECOGNIZED":
                    raise
                self._old_until = self._clock.monotonic() + CONFIG_FOR_S
        # MSC3860: "an optional query parameter allow_redirect"
        return await at(path("v3", "download", mxc.server_name, mxc.media_id, api=MEDIA), allow_redirect="true")


def _parsed(uri: str) -> MXC:
    mxc = parse_mxc(uri)
    if mxc is None:
        raise MatrixRequestError(400, "M_INVALID_PARAM", "it is no mxc:// URI")
    return mxc
