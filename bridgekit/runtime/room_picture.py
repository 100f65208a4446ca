"""The picture that somebody on Matrix gives a chat, as the adapter opens it: checked, whatever its event says of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bridgekit.core.media_from_matrix import BadFile, ReadFile, read_file
from bridgekit.errors import Rejected
from bridgekit.model.limits import Limits
from bridgekit.model.media import MatrixMedia, MediaKind, MediaStream
from bridgekit.runtime.ghosts import MAX_AVATAR_BYTES, picture_type
from bridgekit.runtime.media_open import HomeserverSays, media_of, too_large
from bridgekit.runtime.sending import Attempt

NO_ADDRESS = "the picture is no file on Matrix: its address has to begin with mxc://"
NO_PICTURE = "the file is no PNG, JPEG, GIF or WebP picture"

TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a picture may be. No SVG: it is a document, which can do more than be seen."""

HEAD = 16
"""So many bytes say what a file is."""

WAIT_MS = 10 * 60 * 1000
"""How long a picture that cannot be read is waited for: the room's messages wait behind it."""


def read_picture(content: dict[str, Any]) -> ReadFile | BadFile:
    """What an ``m.room.avatar`` event says of its picture. Never raises."""
    return read_file(MediaKind.IMAGE, content)


def refusal(file: ReadFile, limits: Limits) -> tuple[str, str] | None:
    """Why it is not told, as far as is known before anything was read: (code, reason)."""
    if file.mimetype and file.mimetype not in TYPES:
        return "not_supported", NO_PICTURE
    why = too_large(file.size, _limits(limits))
    return None if why is None else ("too_large", why)


class Picture:
    """One picture, for one call."""

    def __init__(self, a: Attempt, file: ReadFile, limits: Limits) -> None:
        self._a = a
        self._file = file
        self._limits = _limits(limits)

    def media(self) -> MatrixMedia:
        """The picture as the adapter gets it."""
        media = media_of(self._file, self._a.o.homeserver, self._limits)
        return msgspec.structs.replace(media, opener=lambda: self._open(media))

    @asynccontextmanager
    async def _open(self, media: MatrixMedia) -> AsyncIterator[MediaStream]:
        a = self._a
        try:
            async with media.open() as stream:
                chunks = aiter(stream.chunks)
                head = b""
                while len(head) < HEAD and (chunk := await anext(chunks, None)) is not None:
                    head += chunk
                if (type := picture_type(head)) not in TYPES:
                    raise Rejected(NO_PICTURE)
                yield dataclasses.replace(stream, chunks=self._read(head, chunks), mimetype=type)
        except HomeserverSays as error:
            # A client may announce a file and never bring it, or name one of a server that does not answer.
            if a.o.retrying.clock.now() - a.o.retrying.waits_since(a.entry) >= WAIT_MS:
                raise Rejected(f"the picture could not be read for {WAIT_MS // 60_000} minutes") from error
            raise

    async def _read(self, head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        digest = hashlib.sha256(head)
        yield head
        async for chunk in rest:
            digest.update(chunk)
            yield chunk
        # Before the network shows it to us: the picture is then found by its bytes, and not uploaded a second time.
        await self._a.o.ghosts.has_picture(digest.hexdigest(), self._file.uri)


def _limits(limits: Limits) -> Limits:
    """Whatever kinds of files its messages may have; and no more than what is taken from the network."""
    most = min(limits.max_media_size or MAX_AVATAR_BYTES, MAX_AVATAR_BYTES)
    return msgspec.structs.replace(limits, media=None, max_media_size=most)
