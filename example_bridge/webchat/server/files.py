"""The bytes of files, in a folder beside the database. Each is there whole, under its id, or not at all."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from example_bridge.webchat.server.protocol import Refusal

PIECE = 1 << 18
"""Bytes that are in memory of one transfer, about."""
_PART = ".part"


@dataclass(frozen=True, slots=True)
class Received:
    """An upload that is on disk, under a name of its own still."""

    path: Path
    size: int
    sha256: bytes


class Files:
    """Ids are the network's own, and safe as names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder; what a crash left half done goes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{_PART}"):
            path.unlink()

    @asynccontextmanager
    async def receiving(self, id: str, pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[Received]:
        """Write what comes; in the context it is on disk, and `keep` may put it in its place. Else nothing stays of it.

        Raises `Refusal` (``too_long``) beyond `limit` bytes, ``unavailable`` if the disk fails.
        """
        path = self._folder / f"{id}.{secrets.token_hex(4)}{_PART}"
        try:
            try:
                file = path.open("xb", buffering=0)
                with file:
                    size, digest = 0, sha256()
                    async for piece in pieces:
                        size += len(piece)
                        if size > limit:
                            raise Refusal("too_long", f"more than {limit} bytes")
                        await asyncio.to_thread(_write, file, piece)
                        digest.update(piece)
                    await asyncio.to_thread(os.fsync, file.fileno())
            except OSError as error:
                if isinstance(error, ConnectionError | TimeoutError):  # of the sender, not of the disk
                    raise
                raise Refusal("unavailable", f"the disk failed: {error.strerror}") from error
            yield Received(path, size, digest.digest())
        finally:
            path.unlink(missing_ok=True)

    def keep(self, received: Received, id: str) -> None:
        """From now on this is the file."""
        received.path.replace(self._folder / id)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def read(self, id: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end`, in pieces. Raises `Refusal` if they are not to be had."""
        try:
            file = (self._folder / id).open("rb", buffering=0)
        except OSError as error:
            raise Refusal("unavailable", f"the disk failed: {error.strerror}") from error
        with file:
            file.seek(start)
            while start < end and (piece := await asyncio.to_thread(file.read, min(PIECE, end - start))):
                start += len(piece)
                yield piece

    def remove(self, ids: Iterable[str]) -> None:
        for id in ids:
            (self._folder / id).unlink(missing_ok=True)


def _write(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:  # unbuffered: it may take less than it is given
        view = view[file.write(view) :]
