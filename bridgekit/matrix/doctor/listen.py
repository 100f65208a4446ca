"""Receives a ping in the bridge's place before it runs, so that both directions are proved before the first start."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from typing import Literal

import aiohttp
from yarl import URL

from bridgekit.errors import PingFailed, StoreUnavailable
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.ping import CanPing, Pinger
from bridgekit.matrix.server import AppserviceServer
from bridgekit.model.raw import Transaction
from bridgekit.ports import Clock


class Listener:
    """Who answers at `address`: the running bridge, or, after `start`, we ourselves.

    `description` is for people. `mine`: a ping must arrive here, or another program has answered it.
    """

    def __init__(self, address: str, description: str) -> None:
        self.address = address
        self.description = description
        self.mine = False
        self.on_ping: Callable[[str | None], None] = lambda _: None
        self._server: AppserviceServer | None = None

    async def start(self, hs_token: str, host: str, port: int) -> None:
        """Listen. Raises `OSError` as `AppserviceServer.start` does."""
        server = AppserviceServer(hs_token=hs_token, handler=self, stop_timeout_s=1.0)
        await server.start(host, port)
        self._server = server
        self.mine = True

    async def stop(self) -> None:
        """Harmless twice, and where nothing was started."""
        if self._server is not None:
            await self._server.stop()

    # --- the application service API's handler: nothing is taken that only the bridge may take --------------------
    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        """Refused (503): the homeserver keeps it, and sends it again once the bridge runs."""
        raise StoreUnavailable("only a check is running, which keeps nothing")

    async def user_exists(self, user_id: str) -> bool:
        return False

    async def alias_exists(self, alias: str) -> bool:
        return False

    def ping_received(self, transaction_id: str | None) -> None:
        self.on_ping(transaction_id)


async def ping(
    homeserver: Homeserver, listener: Listener, *, registration_url: str | None, clock: Clock
) -> int | PingFailed:
    """Have the homeserver ping the listener: the round trip in ms, or why not."""
    pinger = Pinger(
        homeserver if listener.mine else _Trusting(homeserver, lambda id: pinger.received(id)),
        registration_url=registration_url,
        bridge_listen=listener.address,
        clock=clock,
        new_id=lambda: secrets.token_urlsafe(16),
        random=random.random,
    )
    listener.on_ping = pinger.received
    try:
        return await pinger.ping()
    except PingFailed as failed:
        return failed


class _Trusting:
    """Another process is pinged: only it could say that the ping arrived there, so the homeserver's word must do."""

    def __init__(self, homeserver: CanPing, received: Callable[[str], None]) -> None:
        self._homeserver = homeserver
        self._received = received
        self.url = homeserver.url

    async def ping(self, transaction_id: str) -> int:
        duration_ms = await self._homeserver.ping(transaction_id)
        self._received(transaction_id)
        return duration_ms


async def who_answers(host: str, port: int, hs_token: str) -> Literal["bridge", "other", "nobody"]:
    """What is at the bridge's address: something that knows the hs_token, something else, or nothing."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - where others listen
    url = URL.build(scheme="http", host=host, port=port, path="/_matrix/app/v1/ping")
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.post(url, json={}, headers={"Authorization": f"Bearer {hs_token}"}) as response,
        ):
            return "bridge" if response.status == 200 and await response.read() == b"{}" else "other"
    except aiohttp.ClientConnectorError:
        return "nobody"
    except (aiohttp.ClientError, OSError):
        return "other"
