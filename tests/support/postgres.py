"""A throw-away PostgreSQL on loopback, as durable as a real one: fsync is on, for durability is what is tested."""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import asyncpg

from bridgekit.testing.process import end, free_ports, spawn, tail

__all__ = ["PostgresServer", "find_binaries"]

StopMode = Literal["fast", "immediate"]
"""fast: connections are cut, everything is written out. immediate: as after a crash; the next start recovers."""

_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_ROLE: Final = "bridgekit"


def find_binaries() -> Path | None:
    """The directory with `initdb` and `postgres`: Debian's newest, else the one in PATH; None if there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if debian:
        return debian[-1].parent
    in_path = shutil.which("initdb")
    return Path(in_path).resolve().parent if in_path else None


class PostgresServer:
    """One server with its own data directory below the system's temporary one; `stop` then `remove` leaves nothing.

    PostgreSQL refuses to run as root: then it runs as `postgres` (or `nobody`), who owns the data.
    """

    def __init__(self, binaries: Path) -> None:
        self._binaries: Final = binaries
        self.port: Final = free_ports(1)[0]
        self._user: Final = _unprivileged_user() if os.geteuid() == 0 else None
        # Not below pytest's directory: that is closed to every user but ours.
        self._root: Final = Path(tempfile.mkdtemp(prefix="bridgekit-pg-"))
        self._root.chmod(0o755)
        self._data: Final = self._root / "data"
        self.log: Final = self._root / "postgres.log"
        self._process: asyncio.subprocess.Process | None = None
        self._names: Final = itertools.count(1)

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{_ROLE}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Make the data directory if this is the first time, start, and return once it accepts connections."""
        if not self._data.exists():
            await self._initdb()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        self._process = await spawn(
            [self._binaries / "postgres", "-D", self._data, *(f"--{key}={value}" for key, value in settings.items())],
            log=self.log,
            cwd=self._data,
            user=self._user,
            death_signal=signal.SIGQUIT,  # so that the postmaster takes its children along
        )
        try:
            await self._until_ready(self._process)
        except BaseException:
            await self.stop("immediate")
            raise

    async def stop(self, mode: StopMode = "fast") -> None:
        """End the server; the data stays. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            await end(process, _SIGNALS[mode])

    async def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start on the same port, with the data kept."""
        await self.stop(mode)
        await self.start()

    def remove(self) -> None:
        """Delete the data of a stopped server."""
        shutil.rmtree(self._root)

    async def create_database(self) -> str:
        """A new, empty database (UTF8, C locale); its DSN."""
        name = f"test_{next(self._names)}"
        await self._admin(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        return self.dsn(name)

    async def drop_database(self, dsn: str) -> None:
        """Delete a database and cut who is still connected to it."""
        await self._admin(f"DROP DATABASE IF EXISTS {dsn.rpartition('/')[2]} WITH (FORCE)")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop("immediate")
        self.remove()

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _initdb(self) -> None:
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(self._data, self._user)
        options = ["--auth=trust", f"--username={_ROLE}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        process = await spawn(
            [self._binaries / "initdb", "-D", self._data, *options], log=self.log, cwd=self._data, user=self._user
        )
        if await process.wait() != 0:
            raise RuntimeError(f"initdb failed:\n{tail(self.log)}")

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(60):
                # It tells only its log that it is ready: ask until it is.
                while process.returncode is None:
                    try:
                        await (await asyncpg.connect(self.dsn())).close()
                    except (OSError, asyncpg.CannotConnectNowError):
                        await asyncio.sleep(0.05)  # noqa: TID251 - the poll itself
                    else:
                        return
        except TimeoutError:
            raise RuntimeError(f"PostgreSQL was not ready after 60 s:\n{tail(self.log)}") from None
        raise RuntimeError(f"PostgreSQL ended with code {process.returncode} while starting:\n{tail(self.log)}")


def _unprivileged_user() -> str:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
