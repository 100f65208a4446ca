"""The composition root: the one place where all the parts meet."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import re
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.config import Config, permissions_of
from bridgekit.core.namespace import exclusive_alias_regex
from bridgekit.errors import AddressTaken, ConfigError
from bridgekit.logs import redact
from bridgekit.matrix import registration as registrations
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.ping import Pinger
from bridgekit.matrix.registration import Registration
from bridgekit.matrix.server import AppserviceServer
from bridgekit.model.entry import Retention
from bridgekit.model.raw import Transaction
from bridgekit.monitoring import WatchedBridge
from bridgekit.ports import Store
from bridgekit.runtime.bridge import Bridge
from bridgekit.runtime.catching_up import CatchUpRules
from bridgekit.runtime.chats import ChatRules
from bridgekit.runtime.identity import Identity
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.parts import Times
from bridgekit.runtime.relay import RelaySettings
from bridgekit.runtime.retrying import Delivery
from bridgekit.runtime.status import StatusRules
from bridgekit.store import open_store
from bridgekit.web.server import MonitoringServer

log = logging.getLogger(__name__)

DAY_MS = 86_400_000


class SystemClock:
    """The real time."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def prefixes(config: Config, adapter: type[Adapter]) -> tuple[str, str]:
    """How the localparts of ghosts and of aliases begin."""
    default = f"{adapter.network.id}_"
    return config.appservice.ghost_prefix or default, config.appservice.alias_prefix or default


def new_registration(config: Config, adapter: type[Adapter], *, url: str, bot_localpart: str) -> Registration:
    """A registration with new tokens that fits the configuration."""
    ghost_prefix, alias_prefix = prefixes(config, adapter)
    server_name = config.homeserver.server_name
    identity = Identity(
        server_name=server_name, bot_localpart=bot_localpart, ghost_prefix=ghost_prefix, alias_prefix=alias_prefix
    )
    return registrations.generate(
        id=adapter.network.id,
        url=url,
        server_name=server_name,
        sender_localpart=bot_localpart,
        users=[identity.ghosts.exclusive_regex()],
        aliases=[exclusive_alias_regex(alias_prefix, server_name)],
    )


def times_of(config: Config) -> Times:
    """The configuration's times in the runtime's units."""
    delivery = config.delivery
    return Times(
        delivery=Delivery(
            retry_for_ms=int(delivery.retry_for_s * 1000),
            tell_after_ms=int(delivery.tell_after_s * 1000),
            send_timeout_ms=int(delivery.send_timeout_s * 1000),
        ),
        retention=Retention(
            seen_ms=int(delivery.keep_event_ids_days * DAY_MS), dead_ms=int(delivery.keep_dead_letters_days * DAY_MS)
        ),
        drain_s=delivery.drain_s,
    )


def database_url(config: Config, directory: Path) -> str:
    """The configuration's database; a relative SQLite path is relative to the configuration file."""
    scheme, _, rest = config.database.partition(":")
    if scheme == "sqlite" and not rest.startswith("/"):
        # The directory is no URL: a # or a % in its name means itself.
        path = re.split(r"[?#]", rest, maxsplit=1)[0]
        return f"sqlite://{quote(str((directory / unquote(path)).resolve()))}{rest.removeprefix(path)}"
    return config.database


class App:
    """One bridge process: the store, the homeserver client, the server that listens, and the bridge between them."""

    def __init__(self, adapter: type[Adapter], config: Config, settings: msgspec.Struct, *, directory: Path) -> None:
        self._config = config
        self._registration = registrations.load(directory / config.appservice.registration)
        url = self._registration.url
        ghost_prefix, alias_prefix = prefixes(config, adapter)
        identity = Identity(
            server_name=config.homeserver.server_name,
            bot_localpart=self._registration.sender_localpart,
            ghost_prefix=ghost_prefix,
            alias_prefix=alias_prefix,
        )
        clock = SystemClock()
        self.homeserver = Homeserver(
            url=config.homeserver.url,
            as_token=self._registration.as_token,
            server_name=identity.server_name,
            bot=identity.bot,
            appservice_id=self._registration.id,
            clock=clock,
            random=random.random,
            stall_timeout_s=config.media.stall_timeout_s,
            private_hosts=config.media.private_hosts,
        )
        listen = f"http://{config.appservice.host}:{config.appservice.port}"
        self._pinger = Pinger(
            self.homeserver,
            registration_url=url,
            bridge_listen=listen,
            clock=clock,
            new_id=lambda: secrets.token_urlsafe(16),
            random=random.random,
        )
        store: Store = open_store(database_url(config, directory))
        self.bridge = Bridge(
            adapter(settings),
            store,
            self.homeserver,
            clock,
            identity,
            ping=self._pinger.ping,
            random=random.random,
            times=times_of(config),
            chats=ChatRules(
                eagerly=config.chats.create == "eagerly",
                max_members=config.chats.max_members,
                leave_with_room=config.chats.leave_with_room,
            ),
            catch_up=CatchUpRules(
                older_than_ms=int(config.catch_up.older_than_s * 1000),
                replay=config.catch_up.replay,
                as_notice=config.catch_up.send_as == "notice",
            ),
            permissions=permissions_of(config),
            relay=RelaySettings(
                command_prefix=config.relay.command_prefix,
                ignore=config.relay.ignore,
                avatar_url=config.relay.avatar_url,
            ),
            media=MediaRules(
                mode=config.media.mode,
                stall_timeout_s=config.media.stall_timeout_s,
                at_once=config.media.at_once,
                per_login=config.media.per_login,
                directory=(directory / config.media.directory) if config.media.directory else None,
                spool_bytes=config.media.spool_mib * 1024 * 1024,
            ),
            status=StatusRules(
                receipts=config.status.receipts, events=config.status.events, notices=config.status.notices
            ),
            call_notices=config.calls.notices,
            connection_errors=CONNECTION_ERRORS,
        )
        redact.add(self._registration.as_token, self._registration.hs_token, urlsplit(config.database).password or "")
        redact.sources.append(self._login_secrets)
        watched = WatchedBridge(self.bridge, store, self.homeserver, self._pinger, clock, network=adapter.network.id)
        self.monitoring = MonitoringServer(watched, redact=redact)
        self.server = AppserviceServer(
            hs_token=self._registration.hs_token,
            handler=self,
            max_body_bytes=config.appservice.max_body_mib * 1024 * 1024,
            on_hang_up=self.bridge.gaps.distrust,
        )

    # --- the application service API's handler --------------------------------------------------------------------
    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        await self.bridge.transaction(txn_id, transaction)

    async def user_exists(self, user_id: str) -> bool:
        return await self.bridge.user_exists(user_id)

    async def alias_exists(self, alias: str) -> bool:
        return await self.bridge.alias_exists(alias)

    def ping_received(self, transaction_id: str | None) -> None:
        self._pinger.received(transaction_id)

    def _login_secrets(self) -> Iterator[str]:
        return (secret for record in self.bridge.books.logins() for secret in record.login.secrets.values())

    # --- running --------------------------------------------------------------------------------------------------
    async def run(self, *, wait_for_lease: bool = True) -> int:
        """Run until SIGTERM or SIGINT; the process's exit code. Raises `BridgekitError` if it cannot start."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        # Before the lease: who waits for it is alive, too. But a predecessor on this machine may still have the port.
        await self._listen_for_watchers(again=True)
        opening = asyncio.ensure_future(self.bridge.open(wait=wait_for_lease))
        if not await _first(opening, stopping):
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await self.monitoring.stop()
            await self.homeserver.close()
            return 0
        try:
            await opening
        except BaseException:
            await self.monitoring.stop()
            raise
        try:
            await self._listen_for_watchers()
            await self._listen_for_homeserver()
        except ConfigError:
            await self.monitoring.stop()
            await self.bridge.stop()
            await self.homeserver.close()
            raise
        log.info("listening on %s:%d", self._config.appservice.host, self.server.port)
        if not permissions_of(self._config).has_admin():
            log.info("nobody is admin of this bridge; permissions in the configuration can say who is")
        self.bridge.start()
        lost = asyncio.ensure_future(self.bridge.lease.lost.wait())
        await _first(lost, stopping)
        was_lost = self.bridge.lease.lost.is_set()
        lost.cancel()
        log.info("stopping")
        await self.server.stop()
        await self.monitoring.stop()  # before the lease is given up: who waits for that wants this port, too
        await self.bridge.stop()
        await self.homeserver.close()
        return 1 if was_lost else 0

    async def _listen_for_homeserver(self) -> None:
        appservice = self._config.appservice
        try:
            await self.server.start(appservice.host, appservice.port)
        except OSError as error:
            raise _cannot_listen(
                error,
                "appservice",
                f"{appservice.host}:{appservice.port}",
                "Choose a free port, here and in the registration's url.",
            ) from None

    async def _listen_for_watchers(self, *, again: bool = False) -> None:
        """Serve health and metrics, unless they are served. `again`: if the port is taken, that is tried once more."""
        monitoring = self._config.monitoring
        if not monitoring.enabled or self.monitoring.running:
            return
        try:
            await self.monitoring.start(monitoring.host, monitoring.port)
        except OSError as error:
            if again:
                return
            raise _cannot_listen(
                error,
                "monitoring",
                f"{monitoring.host}:{monitoring.port}",
                "Choose a free port, or say monitoring.enabled: false.",
            ) from None
        log.info("health and metrics on http://%s:%d", monitoring.host, self.monitoring.port)


def _cannot_listen(error: OSError, section: str, address: str, fix: str) -> ConfigError:
    what = f"the bridge cannot listen on {address} ({error})"
    if error.errno == errno.EADDRINUSE:
        return AddressTaken(f"{section}.port", what, fix)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{section}.host", what, "Write 127.0.0.1, 0.0.0.0, or another address of this machine.")
    return ConfigError(f"{section}.port", what, fix)


async def _first(work: asyncio.Future[Any], stop: asyncio.Event) -> bool:
    """Wait for either; whether it was the work."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    return work.done()
