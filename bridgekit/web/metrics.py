"""``/metrics``: the bridge's numbers in Prometheus's words, made anew for each scrape.

Labels are few by construction: directions, states, status classes and codes of failure. Never a room or a person.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bridgekit.model.entry import Direction, Stats
from bridgekit.web.watched import Ages, LoginState, Numbers

SESSION_STATES = ("connecting", "connected", "waiting", "stopped")
REQUEST_RESULTS = ("2xx", "3xx", "4xx", "5xx", "no_answer")


class Scrape(Collector):
    """Everything that one scrape shows. `stats` None: the database did not answer."""

    def __init__(
        self,
        *,
        now: int,
        stats: Stats | None,
        numbers: Numbers,
        ages: Ages,
        sessions: Iterable[LoginState],
        version: str,
        network: str,
    ) -> None:
        self._now = now
        self._stats = stats
        self._numbers = numbers
        self._ages = ages
        self._sessions = sessions
        self._version = version
        self._network = network

    def collect(self) -> Iterator[Metric]:
        yield from _waiting(self._stats, self._now)
        yield from _received(self._numbers)
        yield from _carried_out(self._numbers)
        yield from _outside(self._numbers, self._ages, self._sessions)
        yield _histogram(
            "bridgekit_commit_duration_seconds",
            "How long SQL transactions took until they were on disk.",
            self._numbers,
        )
        labels = {"version": self._version, "network": self._network, "python": platform.python_version()}
        yield InfoMetricFamily("bridgekit_build", "What runs here.", value=labels)


def render(scrape: Scrape, accept: str) -> tuple[bytes, str]:
    """The body and its content type, in the format that the `Accept` header asks for."""
    registry = CollectorRegistry()
    registry.register(scrape)
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _waiting(stats: Stats | None, now: int) -> Iterator[Metric]:
    oldest = GaugeMetricFamily(
        "bridgekit_oldest_waiting_entry_seconds",
        "How long ago the oldest entry was received that is not carried out yet; 0 if none waits.",
        labels=["direction"],
    )
    waiting = GaugeMetricFamily(
        "bridgekit_waiting_entries", "Entries that are not carried out yet; counted up to 100000.", labels=["direction"]
    )
    staged = GaugeMetricFamily(
        "bridgekit_staged_events", "Events of transactions that were answered and are not taken apart yet."
    )
    dead = GaugeMetricFamily(
        "bridgekit_dead_letters", "Entries that failed for good and wait for a person; counted up to 100000."
    )
    media = (
        GaugeMetricFamily(
            "bridgekit_oldest_waiting_file_seconds",
            "How long ago the message of the oldest file came that is not carried across yet; 0 if none waits.",
        ),
        GaugeMetricFamily(
            "bridgekit_waiting_files",
            "Files that are not carried across yet, those that are being carried included; counted up to 100000.",
        ),
    )
    if stats is not None:
        media[0].add_metric([], _age(stats.oldest_media_ms, now))
        media[1].add_metric([], stats.media)
        for direction, since, pending in (
            (Direction.MATRIX, stats.oldest_matrix_ms, stats.pending_matrix),
            (Direction.REMOTE, stats.oldest_remote_ms, stats.pending_remote),
        ):
            oldest.add_metric([direction], _age(since, now))
            waiting.add_metric([direction], pending)
        staged.add_metric([], stats.staged)
        dead.add_metric([], stats.dead)
    yield oldest  # first of all: the one number that says whether the bridge keeps up
    yield waiting
    yield staged
    yield dead
    yield from media
    yield GaugeMetricFamily(
        "bridgekit_database_up",
        "1 if the database answered this scrape; if 0, the numbers above are missing.",
        stats is not None,
    )


def _age(since: int | None, now: int) -> float:
    return 0.0 if since is None else max(0.0, (now - since) / 1000)


def _received(numbers: Numbers) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "bridgekit_transactions_received", "Transactions that the homeserver has pushed.", numbers.transactions
    )
    yield _by_direction(
        "bridgekit_events_received", "Events that came from each side, repeats included.", numbers.events
    )
    yield _by_direction(
        "bridgekit_duplicate_events_dropped", "Events that had come before and were dropped.", numbers.duplicates
    )
    yield CounterMetricFamily(
        "bridgekit_malformed_events", "Events of the homeserver that could not be read.", numbers.malformed
    )
    yield CounterMetricFamily(
        "bridgekit_missing_events_bridged",
        "Events that the homeserver had not sent and the comparison of rooms has found.",
        numbers.missing,
    )
    yield CounterMetricFamily(
        "bridgekit_late_events_bridged", "Of those, events that crossed after later ones.", numbers.late
    )
    yield CounterMetricFamily(
        "bridgekit_anchors_not_found",
        "Comparisons of a room that could not find where the last one ended.",
        numbers.unknown_anchors,
    )


def _carried_out(numbers: Numbers) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "bridgekit_old_messages_skipped",
        "Old messages that catching up did not bridge, and told the room of.",
        numbers.skipped,
    )
    yield GaugeMetricFamily("bridgekit_calls", "Calls that ring or go on.", numbers.calls)
    yield CounterMetricFamily("bridgekit_calls_begun", "Calls that have begun, from either side.", numbers.calls_begun)
    completed = CounterMetricFamily(
        "bridgekit_entries_completed",
        "Entries that have ended: done, dead (a dead letter, with its code) or uncertain (may not have been sent).",
        labels=["direction", "outcome", "code"],
    )
    done = {(direction, "done", ""): 0 for direction in Direction}
    for labels, count in {**done, **numbers.completed}.items():
        completed.add_metric(labels, count)
    yield completed
    yield _by_direction(
        "bridgekit_entry_retries", "Attempts that failed and are made again after a while.", numbers.retries
    )
    yield GaugeMetricFamily("bridgekit_running_files", "Files that are being carried now.", numbers.media_running)
    yield _by_direction(
        "bridgekit_file_bytes",
        "Bytes of files that were moved; those of attempts that failed count.",
        numbers.media_bytes,
    )
    yield _by_direction("bridgekit_files_carried", "Files that are across.", numbers.media_done)
    yield _by_direction("bridgekit_files_failed", "Files that will never be across.", numbers.media_failed)


def _outside(numbers: Numbers, ages: Ages, sessions: Iterable[LoginState]) -> Iterator[Metric]:
    states = GaugeMetricFamily("bridgekit_sessions", "Logins by the state of their connection.", labels=["state"])
    found = Counter(session.state for session in sessions)
    for state in dict.fromkeys((*SESSION_STATES, *found)):
        states.add_metric([state], found[state])
    yield states
    requests = CounterMetricFamily(
        "bridgekit_homeserver_requests",
        "Requests to the homeserver by the class of the answer's status; each try counts.",
        labels=["status"],
    )
    for result in dict.fromkeys((*REQUEST_RESULTS, *numbers.requests)):
        requests.add_metric([result], numbers.requests.get(result, 0))
    yield requests
    yield CounterMetricFamily(
        "bridgekit_homeserver_rate_limited", "Of the 4xx, answers with status 429.", numbers.rate_limited
    )
    ping = GaugeMetricFamily(
        "bridgekit_homeserver_ping_age_seconds",
        "How long ago a ping went round: bridge, homeserver, bridge. Made at the start, and for /readyz.",
    )
    if ages.ping is not None:
        ping.add_metric([], ages.ping)
    yield ping
    transaction = GaugeMetricFamily(
        "bridgekit_last_transaction_age_seconds", "How long ago the homeserver last pushed a transaction."
    )
    if ages.transaction is not None:
        transaction.add_metric([], ages.transaction)
    yield transaction


def _by_direction(name: str, text: str, counts: Mapping[Direction, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["direction"])
    for direction in Direction:
        family.add_metric([direction], counts.get(direction, 0))
    return family


def _histogram(name: str, text: str, numbers: Numbers) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], numbers.commits.cumulative(), numbers.commits.total)
    return family
