"""What is watched, in plain values; `bridgekit.monitoring` fills them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from bridgekit.model.entry import Direction, Stats
from bridgekit.ports import Durations


class LoginState(msgspec.Struct, frozen=True):
    """One login's session. `state`: ``connecting``, ``connected``, ``waiting``, ``stopped``; `reason`: why it is not
    connected, in words, empty if it is."""

    login: str
    state: str
    reason: str = ""


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """How long ago the homeserver showed itself, in seconds; None for never.

    `ping`: a ping went round, from the bridge to the homeserver to the bridge. `answer`: it answered a request with
    anything but a failure of its own. `transaction`: it pushed something. `round_trip_ms`: how long the ping took.
    """

    ping: float | None = None
    answer: float | None = None
    transaction: float | None = None
    round_trip_ms: int | None = None


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted since the process started. `completed`: (direction, outcome, code) -> entries; the outcome is
    ``done`` (no code), ``dead`` or ``uncertain``. `calls`: how many go on now. `media_running`: files that are carried
    now. `requests`: ``2xx`` ... ``5xx``, ``no_answer`` -> requests."""

    transactions: int = 0
    events: Mapping[Direction, int] = {}
    duplicates: Mapping[Direction, int] = {}
    malformed: int = 0
    completed: Mapping[tuple[Direction, str, str], int] = {}
    retries: Mapping[Direction, int] = {}
    missing: int = 0
    late: int = 0
    unknown_anchors: int = 0
    skipped: int = 0
    calls: int = 0
    calls_begun: int = 0
    media_running: int = 0
    media_bytes: Mapping[Direction, int] = {}
    media_done: Mapping[Direction, int] = {}
    media_failed: Mapping[Direction, int] = {}
    requests: Mapping[str, int] = {}
    rate_limited: int = 0
    commits: Durations


class Watched(Protocol):
    """A running bridge, as the endpoints see it."""

    version: str
    """Of bridgekit."""

    network: str
    """The network's id, like ``webchat``."""

    def now(self) -> int:
        """Milliseconds since the epoch."""

    def started(self) -> bool:
        """Whether the start is over: the lease is held, and the homeserver has answered the start-up ping."""

    def lease_lost(self) -> bool:
        """Whether another process has taken over: this one sends nothing more, and is about to end."""

    def lease_good_for_s(self) -> float | None:
        """For how long the lease is certainly ours; None while it is not held."""

    async def read_database(self) -> None:
        """One cheap read. Raises `BridgekitError`."""

    async def stats(self) -> Stats:
        """Raises `BridgekitError`."""

    def homeserver_fails(self) -> bool:
        """Whether the last request to the homeserver found nobody there, or a failure of the homeserver itself."""

    async def ping(self) -> None:
        """Have the homeserver ping the bridge. Raises `BridgekitError`, whose text says what to do."""

    def ages(self) -> Ages:
        """When the homeserver last showed itself."""

    def sessions(self) -> Sequence[LoginState]:
        """Every login, by id. No secrets."""

    def numbers(self) -> Numbers:
        """What was counted."""
