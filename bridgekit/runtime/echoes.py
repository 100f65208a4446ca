"""What a person's own session says about the person's messages: only it is told the nonce, so only it knows which of
them we have sent ourselves."""

from __future__ import annotations

import asyncio

from bridgekit.model.ids import PortalKey, RemoteMessageID

REMEMBERED = 5_000


class Echoes:
    """The latest of such messages, and whether we had sent them."""

    def __init__(self) -> None:
        self._ours: dict[tuple[PortalKey, RemoteMessageID], bool] = {}
        self._changed = asyncio.Event()

    def note(self, portal: PortalKey, message: RemoteMessageID, *, ours: bool) -> None:
        """The sender's own session has shown this message."""
        self._ours[portal, message] = ours
        if len(self._ours) > REMEMBERED:
            del self._ours[next(iter(self._ours))]
        self._changed.set()
        self._changed = asyncio.Event()

    async def is_ours(self, portal: PortalKey, message: RemoteMessageID) -> bool:
        """Whether we sent this message; waits until the sender's own session has shown it."""
        while (ours := self._ours.get((portal, message))) is None:
            await self._changed.wait()
        return ours
