"""What a file does to the texts behind it, and to the bridge's memory: ``make bench BENCH=media``.

In one run, on loopback, each a process of its own: a real Synapse, and

* ``bridgekit``: a whole bridge, durable on SQLite (synchronous=FULL), `media.mode: async`;
* ``upload first``: a bridge on mautrix-python's client, which carries one message after the other, and keeps nothing on
  disk (`benchmarks._media_first`);
* ``control``: bridgekit again, without a file, while a client that has nothing to do with it uploads the same bytes to
  the same Synapse: what then is slow is the homeserver and the machine.

A file is said in the network's chat, and texts behind it: one in the same moment, then one every `EVERY_S` until the
homeserver has all of the file, `TEXTS` at least. The latency of a text is the time from when it is said in the network
to when Alice's /sync brings it. Then a file goes the other way. The bytes are made up where they are needed, as fast as
they are taken. That each file is behind no text of its own, and whole in the end, is checked.

``ARGS="--sizes 0,1,20 --rounds 1"`` takes other sizes (MiB; 0 is no file) and another number of rounds.
Nothing is judged here: the last line is JSON, whose keys `summary_keys` explains.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop

from benchmarks._disk import fdatasync_ms
from benchmarks._load import ROOT
from benchmarks._media_world import FIRST, OURS, TIMEOUT_S, World, world

MIB = 2**20
SIZES = (0, 1, 100, 1024)
ROUNDS = 3
TEXTS, MOST_TEXTS = 8, 60
EVERY_S = 0.5

BRIDGEKIT, UPLOAD_FIRST, CONTROL = "bridgekit", "upload first", "control"
KINDS = (BRIDGEKIT, CONTROL, UPLOAD_FIRST)


class Run(NamedTuple):
    """One file and the texts behind it. `took_s`: until the homeserver had all of the file."""

    latencies_ms: list[float]
    took_s: float
    peak_growth_mib: float

    @property
    def middle(self) -> float:
        return median(self.latencies_ms)

    @property
    def at_once(self) -> float:
        """Of the text that was said in the same moment as the file."""
        return self.latencies_ms[0]


class Back(NamedTuple):
    """A file from Matrix. `took_s`: from when its event was sent."""

    took_s: float
    peak_growth_mib: float


Runs = dict[tuple[str, int], list[Run]]
"""(Kind, size in MiB) -> its rounds."""


def label(mib: int) -> str:
    """As in the keys: 1gib, 100mib."""
    return f"{mib // 1024}gib" if mib and mib % 1024 == 0 else f"{mib}mib"


class Measurement:
    """Runs, one at a time."""

    def __init__(self, made: World) -> None:
        self._world = made
        self._number = 0

    async def texts(self, kind: str, mib: int) -> Run:
        """A file of that size, and texts behind it."""
        self._number += 1
        chat = FIRST if kind == UPLOAD_FIRST else OURS
        name, memory = f"file {self._number}", self._world.memory
        memory.forget()
        before = memory.now()
        begun = time.monotonic()
        if mib and kind == CONTROL:
            self._world.client.tell(str(mib * MIB))
        elif mib:
            self._world.network.say(chat, name, mib * MIB)
        crossing = asyncio.create_task(self._crossed(kind, chat, name, mib * MIB))
        said: list[tuple[str, float]] = []
        while len(said) < TEXTS or not (crossing.done() or len(said) >= MOST_TEXTS):
            if said:
                await asyncio.sleep(EVERY_S)
            text = f"text {len(said)} behind {name}"
            said.append((text, time.monotonic()))
            self._world.network.say(chat, text)
        took_s = await crossing - begun
        room = self._world.rooms[chat]
        seen = [await self._world.alice.message(room, text) for text, _ in said]
        places = [each.place for each in seen]
        if mib and kind != CONTROL:
            places.insert(0, (await self._world.alice.message(room, name)).place)
        if places != sorted(places):
            raise RuntimeError(f"{kind}: Alice saw {name} and the texts behind it in another order")
        peak = memory.peak()
        await self._world.settle()
        latencies = [(each.at - at) * 1000 for each, (_, at) in zip(seen, said, strict=True)]
        return Run(latencies, took_s, peak - before)

    async def _crossed(self, kind: str, chat: str, name: str, size: int) -> float:
        """When the homeserver had all of it."""
        if size and kind == CONTROL:
            await self._world.client.answer()
        elif size:
            event = await self._world.alice.message(self._world.rooms[chat], name)
            await self._world.whole(event.content["url"], size)
        return time.monotonic()

    async def back(self, mib: int) -> Back:
        """A file of that size from Matrix to the network."""
        self._number += 1
        name, size, memory = f"file {self._number}", mib * MIB, self._world.memory
        self._world.client.tell(str(size))
        content = {"msgtype": "m.file", "body": name, "filename": name, "url": await self._world.client.answer()}
        content["info"] = {"size": size}  # type: ignore[assignment]
        await asyncio.to_thread(os.sync)
        memory.forget()
        before, begun = memory.now(), time.monotonic()
        await self._world.api.send(self._world.rooms[OURS], "m.room.message", content)
        got = await asyncio.wait_for(self._world.network.arrived(name), TIMEOUT_S)
        took_s, peak = time.monotonic() - begun, memory.peak()
        if got != size:
            raise RuntimeError(f"{got} of {size} bytes have come to the network")
        await self._world.settle()
        return Back(took_s, peak - before)


def ratio(runs: Sequence[Run], to: Sequence[Run]) -> float:
    """The median of the rounds' ratios: both sides of each were measured within the same minute."""
    return median(one.middle / other.middle for one, other in zip(runs, to, strict=True))


def summary_keys(sizes: Sequence[int]) -> dict[str, str]:
    """What the keys of the last line mean."""
    largest = label(sizes[-1])
    each = {
        f"text_latency_ratio_{label(mib)}": f"median latency of bridgekit's texts behind {label(mib)}, to the control's"
        for mib in reversed(sizes)
        if mib
    }
    return {
        **each,
        f"text_at_once_ratio_{largest}": f"the same for the text said in the same moment as {largest}, whose event is "
        "in front of it",
        f"no_file_ratio_{largest}": f"median latency of bridgekit's texts behind {largest}, to those without a file",
        f"upload_first_ratio_{largest}": f"texts behind {largest} of the bridge that uploads first, to the control's",
        "text_latency_ms": "median latency of bridgekit's texts without a file",
        "peak_rss_growth_mib": f"the larger of the next two: {largest}, MiB above the bridge's memory before, the most "
        "of all rounds",
        "peak_rss_growth_to_matrix_mib": "from the network to Matrix, with the texts behind it",
        "peak_rss_growth_to_network_mib": "from Matrix to the network",
        "rss_warm_mib": "the bridge's memory when a small file had gone each way",
        "rss_growth_in_all_mib": "how much more it was at the end",
        "to_matrix_mib_per_s": f"{largest} from the network, from when it was said until Synapse had it",
        "to_network_mib_per_s": f"{largest} from Matrix, from when its event was sent until the network had it",
        "fdatasync_p50_ms": "of 4 KiB on this disk, before and after",
        "load_average": "of the machine over the last minute, before",
    }


def say(text: str) -> None:
    """Progress goes to standard error: the table is for standard output."""
    print(text, file=sys.stderr, flush=True)


async def measure(made: World, sizes: Sequence[int], rounds: int) -> tuple[Runs, list[Back], float, float]:
    """All rounds; the bridge's memory before and after them."""
    measurement = Measurement(made)
    for kind in KINDS:
        await measurement.texts(kind, 1)
    await measurement.back(1)
    say("warmed up")
    warm = made.memory.now()
    runs: Runs = {}
    back: list[Back] = []
    for number in range(rounds):
        for mib in sizes:
            for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
                runs.setdefault((kind, mib), []).append(await measurement.texts(kind, mib))
        back.append(await measurement.back(sizes[-1]))
        say(f"round {number + 1} of {rounds}")
    return runs, back, warm, made.memory.now()


def print_table(runs: Runs, back: Sequence[Back], sizes: Sequence[int]) -> None:
    """All figures."""
    print(
        f"\n{'texts behind':<14}{'':<14}{'p50 ms':>9}{'worst ms':>10}{'at once ms':>12}{'to control':>12}"
        f"{'file took s':>13}   p50 of the rounds"
    )
    for mib in sizes:
        for kind in KINDS:
            each = runs[kind, mib]
            print(
                f"{('no file' if not mib else label(mib)) if kind == KINDS[0] else '':<14}{kind:<14}"
                f"{median(run.middle for run in each):>9.1f}{max(max(run.latencies_ms) for run in each):>10.1f}"
                f"{median(run.at_once for run in each):>12.1f}{ratio(each, runs[CONTROL, mib]):>12.2f}"
                f"{median(run.took_s for run in each) if mib else 0:>13.2f}   "
                + " ".join(f"{run.middle:.1f}" for run in each)
            )
    grown = " ".join(f"{run.peak_growth_mib:.1f}" for run in runs[BRIDGEKIT, sizes[-1]])
    print(
        f"\nbridgekit's peak over its memory before, MiB: {grown} with {label(sizes[-1])} to Matrix, "
        f"{' '.join(f'{each.peak_growth_mib:.1f}' for each in back)} to the network.\n"
    )


async def main(sizes: Sequence[int], rounds: int) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    # Beside the code, not in /tmp: that may be memory, and then nothing would be durable.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        directory = Path(name)
        disk = fdatasync_ms(directory)
        async with world(directory, sizes[-1] * MIB) as made:
            runs, back, warm, end = await measure(made, sizes, rounds)
        disk += fdatasync_ms(directory)
    print_table(runs, back, sizes)
    most = sizes[-1]
    ours, control = runs[BRIDGEKIT, most], runs[CONTROL, most]
    to_matrix, to_network = (max(each.peak_growth_mib for each in some) for some in (ours, back))
    values = {
        **{f"text_latency_ratio_{label(m)}": ratio(runs[BRIDGEKIT, m], runs[CONTROL, m]) for m in sizes[::-1] if m},
        f"text_at_once_ratio_{label(most)}": median(a.at_once / b.at_once for a, b in zip(ours, control, strict=True)),
        f"no_file_ratio_{label(most)}": ratio(ours, runs[BRIDGEKIT, 0]),
        f"upload_first_ratio_{label(most)}": ratio(runs[UPLOAD_FIRST, most], control),
        "text_latency_ms": median(run.middle for run in runs[BRIDGEKIT, 0]),
        "peak_rss_growth_mib": max(to_matrix, to_network),
        "peak_rss_growth_to_matrix_mib": to_matrix,
        "peak_rss_growth_to_network_mib": to_network,
        "rss_warm_mib": warm,
        "rss_growth_in_all_mib": end - warm,
        "to_matrix_mib_per_s": most / median(run.took_s for run in ours),
        "to_network_mib_per_s": most / median(each.took_s for each in back),
        "fdatasync_p50_ms": median(disk),
        "load_average": load,
    }
    meanings = summary_keys(sizes)
    assert values.keys() == meanings.keys()
    for key, meaning in meanings.items():
        print(f"{key}: {meaning}")
    print(json.dumps({key: round(value, 3) for key, value in values.items()}))


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="of the files in MiB, 0 for none")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    uvloop.run(main(sorted({0, *map(int, given.sizes.split(","))}), given.rounds))
