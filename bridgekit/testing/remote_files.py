"""The files of a `bridgekit.testing.network.FakeNetwork`, which come as slowly and as badly as a test wants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bridgekit.errors import Rejected
from bridgekit.model.media import MediaRef, MediaStream
from bridgekit.model.remote import Avatar, RemoteMessage


@dataclass
class RemoteFile:
    """A file there. `size`: what the stream says of its length (None: nothing), true or not; `mimetype` and `name` what
    else it says. `pieces`: bytes that come at once. `gate`: nothing comes before it is set; `stall_after`, `cut_after`:
    after so many bytes nothing comes any more, or the connection breaks, the first `times` times. `errors` are raised
    by the next openings, one each. `opened`: how often it was.
    """

    data: bytes
    size: int | None = None
    mimetype: str = ""
    name: str = ""
    pieces: int = 16
    gate: asyncio.Event | None = None
    stall_after: int | None = None
    cut_after: int | None = None
    times: int = 1
    errors: deque[BaseException] = field(default_factory=deque)
    opened: int = 0
    open_now: int = 0


class RemoteFiles:
    """The half of the network that has files."""

    def __init__(self) -> None:
        self.remote_files: dict[str, RemoteFile] = {}
        self.pictures: dict[str, bytes] = {}  # avatars by their ids
        self.pictures_opened: list[str] = []

    async def open_picture(self, avatar: Avatar) -> AsyncIterator[bytes]:
        """A session opens an avatar."""
        if avatar.id not in self.pictures:
            raise Rejected("there is no such picture")
        self.pictures_opened.append(avatar.id)
        yield self.pictures[avatar.id]

    def add_remote_file(
        self, data: bytes, *, id: str | None = None, says: int | None = -1, known: bool = True, **more: Any
    ) -> MediaRef:
        """A file that messages can have; how messages name it. `says`: the length that its stream says, -1: the true
        one. `known`: whether messages say its size, too. `more`: of `RemoteFile`, else of the `MediaRef`."""
        id = id or f"f{len(self.remote_files) + 1}"
        own = {name: more.pop(name) for name in list(more) if name in RemoteFile.__dataclass_fields__ and name in _OWN}
        self.remote_files[id] = RemoteFile(data, size=len(data) if says == -1 else says, **own)
        return MediaRef(id, size=len(data) if known else None, **more)

    @asynccontextmanager
    async def open_remote_file(self, message: RemoteMessage, ref: MediaRef) -> AsyncIterator[MediaStream]:
        """A session opens one."""
        file = self.remote_files.get(ref.id)
        if file is None:
            raise Rejected("the file is not there any more")
        file.opened += 1
        if file.errors:
            raise file.errors.popleft()
        file.open_now += 1
        try:
            yield MediaStream(self._pieces(file), size=file.size, mimetype=file.mimetype, name=file.name)
        finally:
            file.open_now -= 1

    async def _pieces(self, file: RemoteFile) -> AsyncIterator[bytes]:
        bad = file.opened <= file.times
        if file.gate is not None:
            await file.gate.wait()
        for start in range(0, len(file.data), file.pieces):
            await asyncio.sleep(0)
            if bad and file.stall_after is not None and start >= file.stall_after:
                await asyncio.Event().wait()
            if bad and file.cut_after is not None and start >= file.cut_after:
                raise ConnectionResetError("the network hung up")
            yield file.data[start : start + file.pieces]


_OWN = frozenset({"pieces", "gate", "stall_after", "cut_after", "times", "errors"})
