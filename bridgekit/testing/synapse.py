"""A real Synapse on loopback for tests, chaos and the demo; its state is kept when it is stopped, killed, restarted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
import yaml

from bridgekit.testing.api import raise_for_error
from bridgekit.testing.client import MatrixClient
from bridgekit.testing.process import end, free_ports, spawn, tail

__all__ = ["MatrixUser", "Synapse", "SynapseError"]

_LOG_LIMIT: Final = 20 * 1024 * 1024
"""Bytes after which the log of earlier starts is set aside."""

_UNLIMITED: Final = {"per_second": 10_000, "burst_count": 10_000}


class SynapseError(RuntimeError):
    """Synapse cannot be started, or died while starting; the message ends with the tail of its log."""


class MatrixUser(msgspec.Struct, frozen=True):
    """An account on the homeserver, with a device that is logged in."""

    url: str
    user_id: str
    password: str
    access_token: str
    device_id: str

    def client(self) -> MatrixClient:
        """A new client of this device; close it, or use it in `async with`."""
        return MatrixClient(self.url, self.user_id, self.access_token)


class _Identity(msgspec.Struct):
    """What must be the same at every start in one directory."""

    port: int
    registration_secret: str
    macaroon_secret: str
    form_secret: str


class Synapse:
    """A Synapse process whose whole state lives in `directory`.

    `port` 0 picks a free one the first time; the directory remembers it. `registrations` are application-service
    registrations, as paths or as mappings (which are written to the directory); Synapse reads them only when it starts.
    `config` is laid over the configuration, mappings merged, all else replaced; `database` replaces its `database` key
    (default: SQLite in the directory). No rate limits, no federation.

    Start it from the main thread: on Linux it is killed when the thread that started it ends.
    """

    def __init__(
        self,
        directory: Path,
        *,
        server_name: str = "hs.test",
        port: int = 0,
        registrations: Sequence[Mapping[str, Any] | Path] = (),
        config: Mapping[str, Any] | None = None,
        database: Mapping[str, Any] | None = None,
        log_level: str = "INFO",
        start_timeout_s: float = 60.0,
    ) -> None:
        self.directory: Final = directory.absolute()
        self.server_name: Final = server_name
        self.log: Final = self.directory / "homeserver.log"
        self.registrations: Sequence[Mapping[str, Any] | Path] = registrations
        self._config: Final = config or {}
        self._database: Final = database
        self._log_level: Final = log_level
        self._start_timeout_s: Final = start_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self.directory.mkdir(parents=True, exist_ok=True)
        self._identity: Final = self._load_identity(port)

    @property
    def port(self) -> int:
        """The same over every restart."""
        return self._identity.port

    @property
    def url(self) -> str:
        """Base URL of the client-server API, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None or self._process.returncode is not None:
            raise SynapseError("Synapse is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def mxid(self, localpart: str) -> str:
        """The full id of a user of this homeserver."""
        return f"@{localpart}:{self.server_name}"

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Write the configuration, start, and return once `/health` answers."""
        if self.running:
            raise SynapseError("Synapse is already running")
        if importlib.util.find_spec("synapse") is None:
            raise SynapseError("Synapse is not installed here: pip install 'bridgekit[test]'")
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        config = self._write_config()
        self._process = await spawn(
            [sys.executable, "-m", "synapse.app.homeserver", "--config-path", config],
            log=self.log,
            cwd=self.directory,
        )
        try:
            await self._until_healthy(self._process)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """End it in good order (SIGTERM; SIGKILL after 30 s). Harmless when it is not running."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL). Harmless when it is not running."""
        await self._end(signal.SIGKILL)

    async def restart(self, registrations: Sequence[Mapping[str, Any] | Path] | None = None) -> None:
        """Stop and start, with the state kept; with other registrations, if some are given."""
        await self.stop()
        if registrations is not None:
            self.registrations = registrations
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end(process, how)

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s), aiohttp.ClientSession() as http:
                # Synapse tells nobody that it is ready: ask until it is.
                while process.returncode is None:
                    try:
                        async with http.get(f"{self.url}/health") as response:
                            if response.status == 200:
                                return
                    except aiohttp.ClientConnectionError:
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise SynapseError(
                f"Synapse was not ready after {self._start_timeout_s:g} s. The end of {self.log}:\n{tail(self.log)}"
            ) from None
        raise SynapseError(
            f"Synapse ended with code {process.returncode} while starting. The end of {self.log}:\n{tail(self.log)}"
        )

    # --- users --------------------------------------------------------------------------------------------------------

    async def register_user(self, localpart: str, password: str | None = None, *, admin: bool = False) -> MatrixUser:
        """Make an account, by the shared secret. One that exists raises `MatrixClientError`, M_USER_IN_USE: log in."""
        password = password or secrets.token_urlsafe(16)
        endpoint = f"{self.url}/_synapse/admin/v1/register"
        async with aiohttp.ClientSession() as http:
            async with http.get(endpoint) as response:
                nonce = str((await raise_for_error(response))["nonce"])
            # Synapse's own scheme: HMAC-SHA1 over the fields, parted by NUL.
            signed = "\0".join([nonce, localpart, password, "admin" if admin else "notadmin"])
            mac = hmac.new(self._identity.registration_secret.encode(), signed.encode(), hashlib.sha1).hexdigest()
            body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
            async with http.post(endpoint, json=body) as response:
                made = await raise_for_error(response)
        return MatrixUser(self.url, made["user_id"], password, made["access_token"], made["device_id"])

    async def login(self, localpart: str, password: str, *, device_id: str | None = None) -> MatrixUser:
        """Log in to an account that exists, on a new device, or again on one of its own."""
        made = await MatrixClient.request_login(self.url, localpart, password, device_id=device_id)
        return MatrixUser(self.url, made["user_id"], password, made["access_token"], made["device_id"])

    # --- configuration ------------------------------------------------------------------------------------------------

    def _load_identity(self, port: int) -> _Identity:
        path = self.directory / "identity.json"
        if path.exists():
            identity = msgspec.json.decode(path.read_bytes(), type=_Identity)
            if port in (0, identity.port):
                return identity
            identity.port = port
        else:
            identity = _Identity(port or free_ports(1)[0], *(secrets.token_urlsafe(24) for _ in range(3)))
        _write_private(path, msgspec.json.encode(identity))
        return identity

    def _write_config(self) -> Path:
        registrations = []
        for index, registration in enumerate(self.registrations):
            if isinstance(registration, Path):
                registrations.append(str(registration.absolute()))
                continue
            path = self.directory / f"registration-{index}.yaml"
            _write_private(path, yaml.safe_dump(dict(registration), sort_keys=False).encode())
            registrations.append(str(path))
        log_config = self.directory / "log.yaml"
        _write_private(log_config, yaml.safe_dump(self._logging()).encode())
        config = _merged({**self._defaults(), "app_service_config_files": registrations}, self._config)
        if self._database is not None:
            config["database"] = dict(self._database)
        path = self.directory / "homeserver.yaml"
        _write_private(path, yaml.dump(config, Dumper=_PlainDumper, sort_keys=False).encode())
        return path

    def _defaults(self) -> dict[str, Any]:
        listener = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "resources": [{"names": ["client"]}],  # media is part of it
        }
        return {
            "server_name": self.server_name,
            "report_stats": False,
            "public_baseurl": f"{self.url}/",
            "listeners": [listener],
            "database": {"name": "sqlite3", "args": {"database": str(self.directory / "homeserver.db")}},
            "log_config": str(self.directory / "log.yaml"),
            "signing_key_path": str(self.directory / "signing.key"),  # Synapse makes it
            "media_store_path": str(self.directory / "media"),
            "registration_shared_secret": self._identity.registration_secret,
            "macaroon_secret_key": self._identity.macaroon_secret,
            "form_secret": self._identity.form_secret,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "bcrypt_rounds": 4,  # by default a quarter of a second of computing for every account
            # By default a first /sync is remembered for two minutes: tests would see the past.
            "caches": {"sync_response_cache_duration": "0s"},
            "filter_timeline_limit": -1,  # by default a sync carries at most 100 events of a room
            "max_event_delay_duration": "24h",  # enables MSC4140
            "login_via_existing_session": {"enabled": True, "require_ui_auth": True, "token_timeout": "5m"},  # MSC3882
            "experimental_features": {
                "msc2409_to_device_messages_enabled": True,
                "msc3202_transaction_extensions": True,
                "msc4169_enabled": True,
            },
            "rc_message": _UNLIMITED,
            "rc_registration": _UNLIMITED,
            "rc_login": {"address": _UNLIMITED, "account": _UNLIMITED, "failed_attempts": _UNLIMITED},
            "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
            "rc_joins_per_room": _UNLIMITED,
            "rc_invites": {"per_room": _UNLIMITED, "per_user": _UNLIMITED, "per_issuer": _UNLIMITED},
            "rc_room_creation": _UNLIMITED,
            "rc_media_create": _UNLIMITED,
            "rc_reports": _UNLIMITED,
            "rc_delayed_event_mgmt": _UNLIMITED,
            "rc_presence": {"per_user": _UNLIMITED},
            "max_pending_media_uploads": 1000,
        }

    def _logging(self) -> dict[str, Any]:
        return {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s"}},
            "filters": {"context": {"()": "synapse.logging.context.LoggingContextFilter", "request": ""}},
            "handlers": {
                "console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["context"]},
            },
            "loggers": {"synapse.storage.SQL": {"level": "WARNING"}},
            "root": {"level": self._log_level, "handlers": ["console"]},
        }


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice out twice: people read this file, and `*id001` tells them nothing."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _write_private(path: Path, data: bytes) -> None:
    """For files with secrets: nobody but the owner may read them, from the first moment on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
