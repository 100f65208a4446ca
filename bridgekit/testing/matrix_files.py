"""What a `bridgekit.testing.network.FakeNetwork` was given in files."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from bridgekit.model.ids import LoginID, PortalKey
from bridgekit.model.media import MatrixMedia


@dataclass(frozen=True)
class Given:
    """A file that was uploaded, whole. `remote`: what the network calls it."""

    login: LoginID
    portal: PortalKey
    media: MatrixMedia
    data: bytes
    remote: str


class MatrixFiles:
    """The half of the network that takes files.

    `given`: what it has got, in the order in which it was complete; `upload_tries`: the names of those that were begun,
    repeats included. `upload_errors` are raised by the next uploads, after the first piece was read. `gates`: by name,
    an upload waits there when it has read everything. `max_open`: how many were under way at once, at most.
    """

    def __init__(self) -> None:
        self.given: list[Given] = []
        self.upload_tries: list[str] = []
        self.upload_errors: deque[BaseException] = deque()
        self.reserve_errors: deque[BaseException] = deque()
        self.gates: dict[str, asyncio.Event] = {}
        self.max_open = 0
        self.references = 0
        self._open = 0

    def new_reference(self) -> str:
        """A session reserves a place."""
        if self.reserve_errors:
            raise self.reserve_errors.popleft()
        self.references += 1
        return f"ref{self.references}"

    async def take_file(self, login: LoginID, portal: PortalKey, media: MatrixMedia) -> str:
        """A session uploads."""
        self.upload_tries.append(media.name)
        self._open += 1
        self.max_open = max(self.max_open, self._open)
        try:
            data = b""
            async with media.open() as stream:
                async for chunk in stream.chunks:
                    data += chunk
                    if self.upload_errors:
                        raise self.upload_errors.popleft()
            if media.name in self.gates:
                await self.gates[media.name].wait()
        finally:
            self._open -= 1
        remote = media.remote or self.new_reference()
        self.given.append(Given(login, portal, media, data, remote))
        return remote

    def file(self, remote: str) -> bytes | None:
        """What it has got under this reference; None: nothing yet."""
        return next((each.data for each in self.given if each.remote == remote), None)
