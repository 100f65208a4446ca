"""That homeserver and bridge reach each other: the bot's account, the ping, and one event that comes back."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from bridgekit.adapter.base import Network
from bridgekit.core.backoff import Backoff
from bridgekit.core.txnid import encode_fields
from bridgekit.errors import HomeserverError, LeaseLost, MatrixRequestError, PingFailed, StoreUnavailable
from bridgekit.model.ids import EventID, RoomAlias, RoomID, TxnID
from bridgekit.model.records import ValueSaved
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import DEVICE_ID
from bridgekit.runtime.identity import Identity
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

BOT_NAME = "bot_name"
CANARY_ROOM = "canary_room"
CANARY_TYPE = "io.bridgekit.canary"
CANARY_WAIT_S = 60.0
MAX_OWN_EVENTS = 1000


class Reach:
    """`ping` is MSC2659's, and raises `PingFailed`."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        lease: LeaseKeeper,
        clock: Clock,
        identity: Identity,
        *,
        network: Network,
        ping: Callable[[], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._lease = lease
        self._clock = clock
        self._identity = identity
        self._network = network
        self._ping = ping
        self._random = random
        self._canary: EventID | None = None
        self._own_events: set[EventID] = set()
        self._canary_seen = asyncio.Event()

    async def set_up_bot(self) -> None:
        """The bot's account, device and name. Raises `HomeserverError`, `StoreError`."""
        await self._homeserver.register(self._identity.bot_localpart)
        await self._homeserver.ensure_device(self._identity.bot, DEVICE_ID)
        await self._name_bot()

    async def _name_bot(self) -> None:
        """Once: an admin may call it something else."""
        name = f"{self._network.name} bridge bot"
        if await self._books.directory.value(BOT_NAME) != name:
            try:
                await self._homeserver.set_displayname(None, name)
            except MatrixRequestError as error:
                log.info("the bot keeps its name: %s", error)  # a server may forbid it
            else:
                await self._books.save(ValueSaved(BOT_NAME, name))

    async def until(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something at the homeserver, again and again until it is done; `what` is said of each failure, with the
        one thing to do."""
        attempt = 0
        while True:
            try:
                await work()
            except (HomeserverError, StoreUnavailable) as error:
                advice = await self._advice() if isinstance(error, HomeserverError) else ""
                delay = Backoff(max_s=30.0).delay(attempt, self._random())
                attempt += 1
                log.error("%s: %s. %sTrying again in %.0f s.", what, error, advice, delay)
                await self._clock.sleep(delay)
            except LeaseLost:
                self._lease.declare_lost()
                return
            else:
                return

    async def _advice(self) -> str:
        """What the ping says after another request has failed: it knows which side cannot reach which, and the one
        thing to do. Nothing if it succeeds."""
        try:
            await self._ping()
        except PingFailed as failed:
            return f"{failed} "
        return ""

    async def until_pinged(self) -> None:
        """Return once the homeserver has reached the bridge (MSC2659)."""
        attempt = 0
        while True:
            try:
                await self._ping()
            except PingFailed as failed:
                delay = Backoff(max_s=30.0).delay(attempt, self._random())
                attempt += 1
                log.error("%s Trying again in %.0f s.", failed, delay)
                await self._clock.sleep(delay)
            else:
                log.info("the homeserver reaches the bridge")
                return

    # --- the canary -----------------------------------------------------------------------------------------------
    async def wake_homeserver(self) -> None:
        """Cause one event: a homeserver that was restarted while we were away delivers nothing before the next one."""
        stored = await self._books.directory.value(CANARY_ROOM)
        room = RoomID(stored) if stored else await self._canary_room()
        key = TxnID(f"bk_canary_{secrets.token_urlsafe(12)}")
        content = {"at": self._clock.now(), "m.mentions": {}}
        self._canary = await self._homeserver.send_event(
            room, CANARY_TYPE, content, txn_id=key, user=self._identity.bot
        )
        if self._canary in self._own_events:
            self._canary_seen.set()

    async def _canary_room(self) -> RoomID:
        localpart = f"{self._identity.alias_prefix}canary_{encode_fields(self._identity.bot).hex()[-24:]}"
        alias = RoomAlias(f"#{localpart}:{self._identity.server_name}")
        room = await self._homeserver.resolve_alias(alias)
        if room is None:
            room = await self._homeserver.create_room(
                preset="private_chat", room_alias_name=localpart, name=f"{self._network.name} bridge: heartbeat"
            )
        await self._books.save(ValueSaved(CANARY_ROOM, room))
        return room

    def own_event(self, event_id: EventID) -> None:
        """The homeserver has pushed an event that the bot sent."""
        if self._canary_seen.is_set():
            return
        if self._canary is None and len(self._own_events) < MAX_OWN_EVENTS:
            # The push may come before the send's answer says which event is the canary.
            self._own_events.add(event_id)
        if event_id == self._canary:
            self._canary_seen.set()

    async def watch_canary(self) -> None:
        """Say whether the event of `wake_homeserver` came back."""
        try:
            async with asyncio.timeout(CANARY_WAIT_S):
                await self._canary_seen.wait()
        except TimeoutError:
            log.warning(
                "the homeserver answers the ping but has not delivered the bridge's own event within %.0f s. "
                "It may still be backing off; if messages do not arrive either, restart it.",
                CANARY_WAIT_S,
            )
        else:
            log.info("the homeserver delivers events")
        self._own_events.clear()
