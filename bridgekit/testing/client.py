"""A small Matrix client for tests and the demo: what a person's client does, waiting included."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import aiohttp

from bridgekit.testing.api import (
    ClientEvent,
    Ephemeral,
    Json,
    MatrixApi,
    MatrixClientError,
    Profile,
    raise_for_error,
    to_event,
)

__all__ = ["ClientEvent", "Ephemeral", "MatrixApi", "MatrixClient", "MatrixClientError", "Profile", "raise_for_error"]

T = TypeVar("T")

_LONG_POLL_MS: Final = 30_000


class MatrixClient(MatrixApi):
    """A `MatrixApi` that can wait, driven by long-polling `/sync`.

    Everything seen that way stays in `events`, so that nothing is missed between two waits.
    """

    def __init__(self, url: str, user_id: str, access_token: str, *, appservice: bool = False) -> None:
        super().__init__(url, user_id, access_token, appservice=appservice)
        self.events: Final[list[ClientEvent]] = []
        """Every timeline event that a sync has brought so far, in the order it came."""
        self.ephemeral: Final[list[Ephemeral]] = []
        """Typing and receipts, likewise."""
        self.invites: Final[dict[str, list[Json]]] = {}
        """Room id -> stripped state, of invitations that are open."""
        self._since: str | None = None
        self._syncs = 0
        self._syncing: Final = asyncio.Lock()

    async def wait_for(
        self, predicate: Callable[[ClientEvent], bool], timeout_s: float = 20.0, *, room_id: str | None = None
    ) -> ClientEvent:
        """The first timeline event that fits, of those seen already or of those still to come."""
        return (await self.wait_for_count(predicate, 1, timeout_s, room_id=room_id))[0]

    async def wait_for_count(
        self,
        predicate: Callable[[ClientEvent], bool],
        count: int,
        timeout_s: float = 20.0,
        *,
        room_id: str | None = None,
    ) -> list[ClientEvent]:
        """All events that fit, once there are at least `count`, in the order they came."""

        def check() -> list[ClientEvent] | None:
            found = [event for event in self.events if room_id in (None, event.room_id) and predicate(event)]
            return found if len(found) >= count else None

        return await self.wait_until(check, timeout_s)

    async def wait_for_text(self, room_id: str, text: str, timeout_s: float = 20.0) -> ClientEvent:
        """The first message of the room with exactly this body."""
        return await self.wait_for(
            lambda event: event.type == "m.room.message" and event.body == text, timeout_s, room_id=room_id
        )

    async def wait_for_invite(
        self, predicate: Callable[[str, list[Json]], bool] | None = None, timeout_s: float = 20.0
    ) -> str:
        """The room id of an open invitation; `predicate` gets the room id and the stripped state."""

        def check() -> str | None:
            fitting = (room for room, state in self.invites.items() if predicate is None or predicate(room, state))
            return next(fitting, None)

        return await self.wait_until(check, timeout_s)

    async def wait_until(self, check: Callable[[], T | None], timeout_s: float = 20.0) -> T:
        """Sync until `check`, asked at once and after every sync, returns something; TimeoutError after `timeout_s`.

        A homeserver that is down meanwhile (tests restart it) is asked again until then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        scope = asyncio.timeout_at(deadline)
        try:
            async with scope:
                while True:
                    found = check()
                    if found is not None:
                        return found
                    left_ms = int((deadline - loop.time()) * 1000)
                    await self._advance(self._syncs, max(0, min(_LONG_POLL_MS, left_ms)))
        except TimeoutError:
            if not scope.expired():
                raise
            raise TimeoutError(self._what_was_seen(timeout_s)) from None

    async def _advance(self, seen_syncs: int, timeout_ms: int) -> None:
        """One sync from this client's position, unless another task has just made one."""
        async with self._syncing:
            if self._syncs != seen_syncs:
                return
            since = self._since
            try:
                answer = await self.sync(since, timeout_ms)
                gaps = {
                    room: list(reversed(await self.history(room, joined["timeline"]["prev_batch"], since)))
                    for room, joined in answer.get("rooms", {}).get("join", {}).items()
                    if since is not None and joined["timeline"].get("limited")
                }
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)  # it is down or restarting, and cannot tell us when it is back
                return
            except MatrixClientError as error:
                if error.status not in (502, 503):  # so does one that is just shutting down answer
                    raise
                await asyncio.sleep(0.1)
                return
            self._take(answer, gaps)

    def _take(self, answer: Json, gaps: Mapping[str, list[ClientEvent]]) -> None:
        rooms = answer.get("rooms", {})
        for room_id, joined in rooms.get("join", {}).items():
            self.invites.pop(room_id, None)
            self.events.extend(gaps.get(room_id, []))
            self.events.extend(to_event(event, room_id) for event in joined["timeline"]["events"])
            for edu in joined.get("ephemeral", {}).get("events", []):
                self.ephemeral.append(Ephemeral(room_id, edu["type"], edu["content"]))
        for room_id, left in rooms.get("leave", {}).items():
            self.invites.pop(room_id, None)
            self.events.extend(to_event(event, room_id) for event in left["timeline"]["events"])
        for room_id, invited in rooms.get("invite", {}).items():
            self.invites[room_id] = invited["invite_state"]["events"]
        self._since = answer["next_batch"]
        self._syncs += 1

    def _what_was_seen(self, timeout_s: float) -> str:
        recent = "\n".join(
            f"  {event.room_id} {event.sender} {event.type} {str(event.content)[:120]}"
            for event in deque(self.events, maxlen=10)
        )
        return f"{self.user_id} waited {timeout_s:g} s in vain. The last of {len(self.events)} events seen:\n{recent}"
