"""``capabilities``: what this bridge's adapter can do."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import click
import msgspec

from bridgekit.adapter.base import Adapter, Session
from bridgekit.adapter.capabilities import CAPABILITIES, CanSend
from bridgekit.cli._common import json_option, print_json, table
from bridgekit.model.limits import Limits
from bridgekit.settings.keys import first_paragraph


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""

    @group.command()
    @json_option
    def capabilities(as_json: bool) -> None:
        """What the adapter can do: the mixins that its sessions have, and their limits."""
        found = described(adapter)
        if as_json:
            print_json(found)
        else:
            click.echo(in_words(found))


def session_types(adapter: type[Adapter]) -> list[type[Session]]:
    """The adapter's kinds of session: the finished `Session` classes of its own module, or, where that has none, of its
    package. An adapter says which of them a login gets only when it connects."""
    home = adapter.__module__.partition(".")[0]
    found: list[type[Session]] = []
    open_: list[type[Session]] = [Session]
    while open_:
        for kind in open_.pop().__subclasses__():
            open_.append(kind)
            if kind.__module__.partition(".")[0] == home and not inspect.isabstract(kind) and _reachable(kind):
                found.append(kind)
    own = [kind for kind in found if kind.__module__ == adapter.__module__]
    return sorted(dict.fromkeys(own or found), key=lambda kind: kind.__qualname__)


def _reachable(kind: type) -> bool:
    # Not one that was defined inside a function and forgotten, as tests do.
    return getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind


def described(adapter: type[Adapter]) -> dict[str, Any]:
    """The network, each kind of session with its capabilities, and what every capability means."""
    network = adapter.network
    return {
        "network": {"id": network.id, "name": network.name, "url": network.url},
        "sessions": [_session(kind, adapter) for kind in session_types(adapter)],
        "capabilities": {kind.__name__: first_paragraph(kind) for kind in CAPABILITIES},
    }


def _session(kind: type[Session], adapter: type[Adapter]) -> dict[str, Any]:
    can = [one.__name__ for one in CAPABILITIES if issubclass(kind, one) or issubclass(adapter, one)]
    dedupes = kind.dedupes_for if issubclass(kind, CanSend) else None
    own_limits = kind.limits is not Session.limits
    return {
        "name": kind.__name__,
        "capabilities": can,
        "dedupes_for_s": None if dedupes is None else dedupes.total_seconds(),
        "limits": None if own_limits else msgspec.to_builtins(Limits(), order="deterministic"),
    }


def in_words(found: dict[str, Any]) -> str:
    """The same for a person."""
    sessions = found["sessions"]
    if not sessions:
        return f"{found['network']['name']}: the adapter's package defines no session at import time."
    rows: list[tuple[object, ...]] = [
        (name, *("yes" if name in one["capabilities"] else "-" for one in sessions), meaning)
        for name, meaning in found["capabilities"].items()
    ]
    rows.append(
        ("repeats dropped for", *(_dedupes(one) for one in sessions), "A repeat after a crash is harmless so long.")
    )
    limits = ("by the chat" if one["limits"] is None else "none" for one in sessions)
    rows.append(("limits", *limits, "How much a message may hold."))
    return table((found["network"]["name"], *(one["name"] for one in sessions), ""), rows)


def _dedupes(session: dict[str, Any]) -> str:
    seconds = session["dedupes_for_s"]
    return "-" if seconds is None else f"{seconds:g} s"
