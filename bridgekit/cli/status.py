"""``status``: how the bridge is, from its database, and from itself if it answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import aiohttp
import click

from bridgekit.adapter.base import Adapter
from bridgekit.cli._common import age, config_option, json_option, print_json, table, time_text
from bridgekit.cli._database import on_database
from bridgekit.config import Config
from bridgekit.model.entry import WORKING_SINCE
from bridgekit.model.ids import PortalKey
from bridgekit.ports import Store
from bridgekit.runtime.lease import is_dead

ANSWER_WITHIN_S = 10.0
"""The bridge may ask its homeserver before it answers."""


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""

    @group.command()
    @config_option
    @json_option
    def status(config: Path, as_json: bool) -> None:
        """Whether the bridge works, who is logged in, and what waits.

        It only looks, and is fine (0) whatever it sees: `check` judges.
        """

        async def work(parsed: Config, store: Store) -> dict[str, Any]:
            found = await from_database(store, now=time.time_ns() // 1_000_000)
            # Where none works on this database, it is another bridge that answers on the port.
            return {**found, "bridge": await from_bridge(parsed) if found["process"]["working"] else None}

        found = on_database(config, adapter, work)
        if as_json:
            print_json(found)
        else:
            click.echo(in_words(found))


async def from_database(store: Store, *, now: int) -> dict[str, Any]:
    """What the database knows, now being `now` (ms since the epoch)."""
    lease, stats = await store.read_lease(), await store.stats()
    working = lease is not None and lease.expires_at > now and not is_dead(lease.owner)
    since = None
    epoch, _, started = (await store.value(WORKING_SINCE) or "").partition(" ")
    if lease is not None and working and epoch == str(lease.epoch):
        since = int(started)
    return {
        "now": now,
        "process": {"working": working, "since": since, "owner": lease.owner if lease and working else None},
        "logins": [
            {"user_id": record.user_id, "id": record.login.id, "name": record.login.name, "state": record.state.value}
            for record in await store.logins()
        ],
        "portals": await _portals(store),
        "waiting": {
            "matrix": {"count": stats.pending_matrix, "oldest": stats.oldest_matrix_ms},
            "remote": {"count": stats.pending_remote, "oldest": stats.oldest_remote_ms},
        },
        "files": {"count": stats.media, "oldest": stats.oldest_media_ms},
        "dead_letters": stats.dead,
    }


async def _portals(store: Store) -> int:
    count = 0
    after: PortalKey | None = None
    while page := await store.portals(after=after):
        count += len(page)
        after = page[-1].key
    return count


async def from_bridge(config: Config) -> dict[str, Any] | None:
    """What the running bridge says of itself (``/readyz``); None if nothing answers there, or something else."""
    if not config.monitoring.enabled:
        return None
    host = config.monitoring.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{config.monitoring.port}/readyz"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            said = await response.json()
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return None
    return said if isinstance(said, dict) and "ready" in said else None


def in_words(found: dict[str, Any]) -> str:
    """The same for a person."""
    now = found["now"]
    lines = [f"process       {_process(found)}", f"homeserver    {_homeserver(found)}"]
    for waiting, name in (
        (found["waiting"]["matrix"], "from Matrix"),
        (found["waiting"]["remote"], "to Matrix"),
        (found["files"], "files"),
    ):
        text = f"{waiting['count']} waiting"
        if waiting["oldest"] is not None:
            text += f", the oldest for {age(now - waiting['oldest'])}"
        lines.append(f"{name:<13} {text}")
    lines.append(f"dead letters  {found['dead_letters']}")
    lines.append(f"portals       {found['portals']}")
    lines.append(f"logins        {len(found['logins'])}")
    if found["logins"]:
        rows = [(one["user_id"], one["name"] or one["id"], one["state"]) for one in found["logins"]]
        lines += ["", table(("USER", "ACCOUNT", "STATE"), rows)]
    return "\n".join(lines)


def _process(found: dict[str, Any]) -> str:
    process = found["process"]
    if not process["working"]:
        return "none works on this database"
    since = process["since"]
    return "working" + (f" since {time_text(since)} ({age(found['now'] - since)})" if since is not None else "")


def _homeserver(found: dict[str, Any]) -> str:
    bridge = found["bridge"]
    if bridge is None:
        return "unknown: " + (
            "the bridge's monitoring does not answer" if found["process"]["working"] else "only a running bridge knows"
        )
    reasons = [
        part["reason"]
        for name in ("database", "lease", "homeserver")
        if isinstance(part := bridge.get(name), dict) and part.get("reason")
    ]
    return "reached both ways" if bridge["ready"] else "not ready: " + ("; ".join(reasons) or "still starting")
