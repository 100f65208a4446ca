"""How fast transactions are taken in: ``make bench BENCH=ingest``.

Three servers side by side, each a fresh process, driven over loopback HTTP by this one:

* ``bridgekit``: a whole bridge with an adapter that takes every message at once, durable on SQLite (synchronous=FULL);
* ``mautrix``: mautrix-python's AppService with a handler that does nothing, which acknowledges before it works and
  keeps nothing on disk;
* ``aiohttp``: a bare handler that only parses the JSON.

The load is one keep-alive connection with one transaction at a time, because that is how Synapse drives an application
service: the next transaction is sent when the last one was answered. Each round drives the servers in turn with
transactions of 1 and of 100 text messages, in 50 rooms and in one room, and waits in between until all is handled, so
that what disturbs the machine disturbs all three. Figures are medians over the rounds. At the end one long run, without
such pauses, says how the memory grows. What bridgekit handled is then checked in its database: every message once.

Nothing is judged here: the last line is JSON, whose keys `SUMMARY` explains.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks._bridge import CANARY, check
from benchmarks._disk import fdatasync_ms
from benchmarks._load import ROOT, Run, Server
from benchmarks._messages import ROOMS, Messages, average_event_bytes

KINDS = ("bridgekit", "mautrix", "aiohttp")
ROUNDS = 5
IDLE_S = 1.0
"""So long after the start the idle memory is looked at."""
LONG_TRANSACTIONS = 2_500
"""Of 100 events each: the run that shows how memory grows."""

WARM_TRANSACTIONS = 500
"""The first of them, during which caches and allocators still fill; growth is counted from there."""

SAMPLES = 20
"""How often the memory is looked at from there to the end."""


class Load(NamedTuple):
    """One kind of transactions: `number` of them in each round, with `size` events each, spread over `rooms`."""

    name: str
    number: int
    size: int
    rooms: Sequence[str]


MANY, SINGLE = "100 events, 50 rooms", "1 event, 50 rooms"
LOADS = (
    Load(MANY, 100, 100, ROOMS),
    Load(SINGLE, 500, 1, ROOMS),
    Load("100 events, 1 room", 50, 100, ROOMS[:1]),
    Load("1 event, 1 room", 300, 1, ROOMS[:1]),
)

Results = dict[tuple[str, str], list[Run]]
"""(Load, kind of server) -> its rounds."""

SUMMARY = {
    "ratio_acked_to_mautrix": "events acknowledged per second, bridgekit to mautrix, 100 events each, 50 rooms",
    "ratio_handled_to_mautrix": "the same for events fully handled (bridgekit: taken by the adapter, that committed)",
    "ratio_acked_to_mautrix_single": "as the first, with transactions of 1 event",
    "ratio_handled_to_mautrix_single": "as the second, with transactions of 1 event",
    "ratio_acked_to_aiohttp": "as the first, to the bare handler",
    "sustained_events_per_s": "bridgekit in the long run, which has no pauses: from the first byte to the last handled",
    "single_event_p50_ms": "bridgekit: median time from a request's first byte to its 200, 1 event, 50 rooms",
    "single_event_p99_ms": "the 99th percentile of the same, over all rounds",
    "rss_idle_mib": "bridgekit: resident memory after the start, before the first transaction",
    "rss_loaded_mib": "the same at the end of the long run",
    "rss_growth_mib_per_million": "slope of the resident memory over the long run (median of all pairs of samples)",
    "fdatasync_p50_ms": "this disk: one 4 KiB page appended and made durable, before and after the measurement",
}


class Memory(NamedTuple):
    """Resident memory of a server in MiB; `growth` per million events."""

    idle: float
    loaded: float
    growth: float
    events_per_s: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median slope of all pairs of points: one odd sample does not bend it."""
    return median((y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :])


def rounds(servers: list[Server], messages: Messages) -> Results:
    """Drive all servers in turn, several times."""
    results: Results = {}
    for number in range(ROUNDS + 1):
        first = number % len(servers)
        for load in LOADS:
            for server in servers[first:] + servers[:first]:
                posts = messages.transactions(load.number, size=load.size, rooms=load.rooms)
                run = server.run(posts, load.size)
                if number:  # the first round warms up
                    results.setdefault((load.name, server.kind), []).append(run)
        say(f"round {number} of {ROUNDS}" if number else "warmed up")
    return results


def long_run(server: Server, messages: Messages, idle: float) -> Memory:
    """Send without a pause, and look at the memory from time to time, when what was sent is handled."""
    batch = (LONG_TRANSACTIONS - WARM_TRANSACTIONS) // SAMPLES
    server.run(messages.transactions(WARM_TRANSACTIONS, size=100), 100)
    points = [(float(server.sent), server.rss_mib())]
    took = 0.0
    for _ in range(SAMPLES):
        took += server.run(messages.transactions(batch, size=100), 100).handled_s
        points.append((float(server.sent), server.rss_mib()))
    return Memory(idle, points[-1][1], slope(points) * 1e6, batch * SAMPLES * 100 / took)


def say(text: str) -> None:
    """Progress goes to standard error: the table is for standard output."""
    print(text, file=sys.stderr, flush=True)


def print_table(results: Results, memory: dict[str, Memory]) -> None:
    """All figures, and what they are in relation to mautrix's."""
    print(
        f"\n{'transactions of':<22}{'server':<11}{'acked/s':>10}{'ratio':>7}{'handled/s':>11}{'ratio':>7}"
        f"{'p50 ms':>9}{'p99 ms':>9}   spread of acked/s"
    )
    for load in LOADS:
        for kind in KINDS:
            runs = results[load.name, kind]
            acked = sorted(run.acked for run in runs)
            latencies = [latency for run in runs for latency in run.latencies_ms]
            print(
                f"{load.name if kind == KINDS[0] else '':<22}{kind:<11}{median(acked):>10,.0f}"
                f"{ratio(results, load.name, kind, 'mautrix', 'acked'):>7.2f}"
                f"{median(run.handled for run in runs):>11,.0f}"
                f"{ratio(results, load.name, kind, 'mautrix', 'handled'):>7.2f}"
                f"{median(latencies):>9.2f}{percentile(latencies, 0.99):>9.2f}   {acked[0]:,.0f} to {acked[-1]:,.0f}"
            )
    print(f"\n{'long run':<22}{'server':<11}{'handled/s':>10}{'RSS idle':>10}{'at end':>10}{'per million':>13}")
    for kind, seen in memory.items():
        print(
            f"{'':<22}{kind:<11}{seen.events_per_s:>10,.0f}{seen.idle:>10.1f}{seen.loaded:>10.1f}{seen.growth:>13.1f}"
        )


def ratio(results: Results, load: str, kind: str, to: str, what: str) -> float:
    """The median of the rounds' ratios: both sides of each were measured within the same seconds."""
    pairs = zip(results[load, kind], results[load, to], strict=True)
    return median(float(getattr(ours, what) / getattr(theirs, what)) for ours, theirs in pairs)


def summary(results: Results, memory: Memory, disk: Sequence[float]) -> dict[str, float]:
    """What the last line says."""
    latencies = [latency for run in results[SINGLE, "bridgekit"] for latency in run.latencies_ms]
    values = {
        "ratio_acked_to_mautrix": ratio(results, MANY, "bridgekit", "mautrix", "acked"),
        "ratio_handled_to_mautrix": ratio(results, MANY, "bridgekit", "mautrix", "handled"),
        "ratio_acked_to_mautrix_single": ratio(results, SINGLE, "bridgekit", "mautrix", "acked"),
        "ratio_handled_to_mautrix_single": ratio(results, SINGLE, "bridgekit", "mautrix", "handled"),
        "ratio_acked_to_aiohttp": ratio(results, MANY, "bridgekit", "aiohttp", "acked"),
        "sustained_events_per_s": memory.events_per_s,
        "single_event_p50_ms": median(latencies),
        "single_event_p99_ms": percentile(latencies, 0.99),
        "rss_idle_mib": memory.idle,
        "rss_loaded_mib": memory.loaded,
        "rss_growth_mib_per_million": memory.growth,
        "fdatasync_p50_ms": median(disk),
    }
    assert values.keys() == SUMMARY.keys()
    return {key: round(value, 3) for key, value in values.items()}


def main() -> None:
    """Measure and print."""
    messages = Messages()
    # Beside the code, not in /tmp: that may be memory, and then nothing would be durable.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name, ExitStack() as stack:
        directory = Path(name)
        disk = fdatasync_ms(directory)
        servers = [stack.enter_context(Server(kind, directory / kind)) for kind in KINDS]
        time.sleep(IDLE_S)
        idle = {server.kind: server.rss_mib() for server in servers}
        bridgekit = servers[0]
        bridgekit.post(messages.own_event(CANARY))
        results = rounds(servers, messages)
        memory: dict[str, Memory] = {}
        for server in servers[:2]:
            say(f"the long run of {server.kind}")
            memory[server.kind] = long_run(server, messages, idle[server.kind])
        bridgekit.stop()
        check(directory / "bridgekit" / "bridge.db", bridgekit.sent)
        disk += fdatasync_ms(directory)
    print_table(results, memory)
    print(
        f"\nOne event is {average_event_bytes():.0f} bytes on average. fdatasync of 4 KiB on this disk: "
        f"p50 {median(disk):.2f} ms, p99 {percentile(disk, 0.99):.2f} ms.\n"
        f"All {bridgekit.sent:,} messages are in bridgekit's database exactly once, none pending, none failed.\n"
    )
    for key, meaning in SUMMARY.items():
        print(f"{key}: {meaning}")
    print(json.dumps(summary(results, memory["bridgekit"], disk)))


if __name__ == "__main__":
    main()
