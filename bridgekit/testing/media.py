"""The files of `bridgekit.testing.homeserver.FakeHomeserver`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bridgekit.core.media_bytes import OCTETS, exactly
from bridgekit.core.media_bytes import mimetype as checked_type
from bridgekit.core.mxc import parse_mxc
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI, UserID
from bridgekit.model.media import MediaStream, Reservation, Upload
from bridgekit.ports import Clock
from bridgekit.testing.faults import Faulty

_DAY_MS = 24 * 3600 * 1000


@dataclass
class FakeFile:
    """A file, or the place of one that is not there yet (`data` is None). `expires_at` is in ms, None once filled."""

    owner: UserID
    expires_at: int | None = None
    data: bytes | None = None
    mimetype: str = ""
    filename: str = ""
    filled: asyncio.Event = field(default_factory=asyncio.Event)


class FakeMedia(Faulty):
    """Files as Synapse keeps them.

    `media_limit_bytes`: larger uploads are hung up on; None: it does not say, and takes all. `max_pending`: how many
    places one user may have unfilled. `reservation_ms`: how long a place waits. `async_uploads` False: a server without
    MSC2246. `pieces`: the size of what `open_media` yields; `cut_after`: it breaks the connection after so many bytes.
    """

    bot: UserID

    def __init__(self, server_name: str, yields: Callable[[], int], clock: Clock) -> None:
        super().__init__(yields)
        self.server_name = server_name
        self.clock = clock
        self.files: dict[ContentURI, FakeFile] = {}
        self.media_limit_bytes: int | None = 50 * 1024 * 1024
        self.max_pending: int | None = None
        self.reservation_ms = _DAY_MS
        self.async_uploads = True
        self.pieces = 64 * 1024
        self.cut_after: int | None = None

    def add_file(
        self, data: bytes | None, *, owner: UserID | None = None, mimetype: str = "", filename: str = ""
    ) -> ContentURI:
        """A person's file; `data` None: their client has not uploaded it yet, see `fill`."""
        uri = self._new_uri()
        expires_at = self.clock.now() + self.reservation_ms if data is None else None
        self.files[uri] = FakeFile(owner or UserID(f"@somebody:{self.server_name}"), expires_at)
        if data is not None:
            self.fill(uri, data, mimetype=mimetype, filename=filename)
        return uri

    def fill(self, uri: ContentURI, data: bytes, *, mimetype: str = "", filename: str = "") -> None:
        """The bytes of a place are there."""
        file = self.files[uri]
        file.data, file.mimetype, file.filename, file.expires_at = data, mimetype, filename, None
        file.filled.set()

    # --- the port ---------------------------------------------------------------------------------------------------
    async def media_limit(self) -> int | None:
        return await self._do("media_limit", lambda: self.media_limit_bytes)

    async def reserve_media(self, *, user: UserID | None = None) -> Reservation:
        owner = user or self.bot

        def effect() -> Reservation:
            if not self.async_uploads:
                raise MatrixRequestError(404, "M_UNRECOGNIZED", "Unrecognized request")
            pending = [file.expires_at for file in self.files.values() if file.owner == owner and self._waits(file)]
            if self.max_pending is not None and len(pending) >= self.max_pending:
                wait = min(each or 0 for each in pending) - self.clock.now()
                raise MatrixRequestError(429, "M_LIMIT_EXCEEDED", "Too Many Requests", retry_after_ms=wait)
            uri, expires_at = self._new_uri(), self.clock.now() + self.reservation_ms
            self.files[uri] = FakeFile(owner, expires_at)
            return Reservation(uri, expires_at)

        return await self._do("reserve_media", effect, user=owner)

    async def fill_media(self, uri: ContentURI, chunks: AsyncIterator[bytes], upload: Upload) -> None:
        owner = upload.user or self.bot
        data = await self._taken(chunks, upload.size)

        def effect() -> None:
            file = self.files.get(uri)
            if file is None or (file.data is None and not self._waits(file)):
                raise MatrixRequestError(404, "M_NOT_FOUND", "Unknown media ID")
            if file.owner != owner:
                raise MatrixRequestError(403, "M_FORBIDDEN", "Only the creator of the media ID can upload to it")
            if file.data is not None:
                raise MatrixRequestError(409, "M_CANNOT_OVERWRITE_MEDIA", "Media ID already has content")
            self.fill(uri, data, mimetype=checked_type(upload.mimetype) or OCTETS, filename=upload.filename)

        await self._do("fill_media", effect, uri=uri, user=owner, size=upload.size)

    async def upload_media(self, chunks: AsyncIterator[bytes], upload: Upload) -> ContentURI:
        data = await self._taken(chunks, upload.size)
        named = {"mimetype": checked_type(upload.mimetype) or OCTETS, "filename": upload.filename}
        return await self._do(
            "upload_media",
            lambda: self.add_file(data, owner=upload.user or self.bot, **named),
            user=upload.user,
            size=upload.size,
        )

    async def upload(self, data: bytes, *, mimetype: str, filename: str | None = None) -> ContentURI:
        return await self._do(
            "upload", lambda: self.add_file(data, owner=self.bot, mimetype=mimetype, filename=filename or ""), data=data
        )

    @asynccontextmanager
    async def open_media(self, uri: str, *, timeout_ms: int = 20_000) -> AsyncIterator[MediaStream]:
        if parse_mxc(uri) is None:
            raise MatrixRequestError(400, "M_INVALID_PARAM", "it is no mxc:// URI")
        file = self.files.get(ContentURI(uri))
        if file is not None and self._waits(file):
            await self._until_filled(file, timeout_ms / 1000)

        def effect() -> bytes:
            if file is None or (file.data is None and not self._waits(file)):
                raise MatrixRequestError(404, "M_NOT_FOUND", "Not found")
            if file.data is None:
                raise MatrixRequestError(504, "M_NOT_YET_UPLOADED", "Media has not been uploaded yet")
            return file.data

        data = await self._do("open_media", effect, uri=uri)
        assert file is not None
        yield MediaStream(self._read(data), len(data), file.mimetype, file.filename)

    # --- inside -----------------------------------------------------------------------------------------------------
    def _new_uri(self) -> ContentURI:
        return ContentURI(f"mxc://{self.server_name}/file{len(self.files) + 1}")

    def _waits(self, file: FakeFile) -> bool:
        return file.data is None and file.expires_at is not None and self.clock.now() < file.expires_at

    async def _until_filled(self, file: FakeFile, seconds: float) -> None:
        filled = asyncio.ensure_future(file.filled.wait())
        late = asyncio.ensure_future(self.clock.sleep(seconds))
        try:
            await asyncio.wait([filled, late], return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
            late.cancel()

    async def _taken(self, chunks: AsyncIterator[bytes], size: int) -> bytes:
        if self.media_limit_bytes is not None and size > self.media_limit_bytes:
            raise HomeserverUnreachable("Connection reset by peer")  # that is what Synapse does
        return b"".join([chunk async for chunk in exactly(chunks, size)])

    async def _read(self, data: bytes) -> AsyncIterator[bytes]:
        end = len(data) if self.cut_after is None else min(len(data), self.cut_after)
        for start in range(0, end, self.pieces):
            await self._do("read_media", lambda: None)
            yield data[start : min(end, start + self.pieces)]
        if end < len(data):
            raise HomeserverUnreachable("the connection was broken")
