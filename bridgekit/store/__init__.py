"""The journal and the directory on disk: `open_store` makes one, on SQLite or PostgreSQL."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from bridgekit.errors import ConfigError
from bridgekit.ports import Store

__all__ = ["open_store", "split_url"]


def open_store(url: str) -> Store:
    """The store that a URL names; `Store.open` is still to be called.

    ``sqlite:///var/lib/bridge/bridge.db`` (absolute), ``sqlite:bridge.db`` (relative to the working directory), or
    ``postgresql://user:password@host/database``. Raises `ConfigError`.
    """
    parts = split_url(url)
    if parts is None:
        raise ConfigError(
            "database",
            "the URL cannot be read",
            "Write postgresql://user:password@host/database, with %2F for / in the password, %3F for ?, %23 for #, "
            "%40 for @",
        )
    if parts.scheme == "sqlite":
        # SQLAlchemy's four slashes mean the same file as three.
        path = unquote(parts.path)
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        if parts.netloc or path in ("", "/"):
            raise ConfigError("database", "the URL names no file", "Write sqlite:///the/path/of/bridge.db")
        from bridgekit.store.sqlite import SqliteStore

        return SqliteStore(path)
    if parts.scheme in ("postgres", "postgresql"):
        # Only now: a bridge on SQLite need not load it.
        from bridgekit.store.postgres import PostgresStore

        return PostgresStore(url)
    raise ConfigError(
        "database",
        f"{parts.scheme or 'nothing'} is no kind of database that bridgekit knows",
        "Write sqlite:///the/path/of/bridge.db or postgresql://user:password@host/database",
    )


def split_url(url: str) -> SplitResult | None:
    """The parts of a database's URL; None if it is none. Nothing of such a URL may be shown: what looks like the host
    may be a part of the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    ports = re.findall(r":(\d+)(?=,|$)", parts.netloc.rpartition("@")[2])
    if any(int(port) > 65_535 for port in ports):
        return None
    misplaced = "@" in parts.path + parts.query + parts.fragment and "@" not in parts.netloc  # one of / ? # before it
    return None if misplaced and parts.scheme != "sqlite" else parts
