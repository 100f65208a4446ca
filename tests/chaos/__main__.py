"""``python -m tests.chaos --kills N --seed S``: kill the bridge again and again, compare what both ends hold.

Progress goes to standard output, a line per kill; the last line is JSON. The exit code is 0 only if nothing was lost,
doubled or reordered, and nothing uncertain (with ``--no-dedupe``: no more than was in flight at the kills).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from bridgekit.runtime import points
from tests.chaos.run import Chaos, Options


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=Options().kills, help=f"of the bridge (default: {Options().kills})"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the plan of kills (default: 1)")
    parser.add_argument("--no-dedupe", action="store_true", help="the network does not drop repeated nonces")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite", help="the bridge's")
    parser.add_argument("--points", default="", help="comma-separated; only these are killed at (default: all)")
    parser.add_argument("--min-hits", type=int, default=3, help="a point that is hit less often fails (default: 3)")
    parser.add_argument("--synapse-every", type=int, default=8, help="Synapse is killed with every Nth (default: 8)")
    parser.add_argument("--people", type=int, default=2, help="Matrix users with a login (default: 2)")
    parser.add_argument("--chats", type=int, default=10, help="spoken in at the same time (default: 10)")
    given = parser.parse_args(arguments)
    at = tuple(given.points.split(",")) if given.points else points.POINTS
    if given.kills < len(at) * given.min_hits:
        parser.error(
            f"{given.kills} kills cannot hit {len(at)} points {given.min_hits} times each: "
            f"say --kills {len(at) * given.min_hits}, or a lower --min-hits"
        )
    return Options(
        kills=given.kills,
        seed=given.seed,
        dedupe=not given.no_dedupe,
        database=given.database,
        at=at,
        min_hits=given.min_hits,
        synapse_every=given.synapse_every,
        people=given.people,
        chats=given.chats,
    )


def main() -> int:
    options = parse(sys.argv[1:])
    directory = Path(tempfile.mkdtemp(prefix="bridgekit-chaos-"))
    logging.basicConfig(filename=directory / "chaos.log", level=logging.INFO)

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"chaos: {options.kills} kills, seed {options.seed}, logs in {directory}")
    try:
        result = asyncio.run(Chaos(options, directory, say).run())
    except BaseException:
        say(f"the run has failed; its logs are in {directory}")
        raise
    for problem in result.problems:
        say(problem)
    if result.ok:
        shutil.rmtree(directory)
    else:
        say(f"FAILED: {'; '.join(result.judged(min_hits=options.min_hits))}")
        say(f"logs and databases are in {directory}")
    print(result.line(), flush=True)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
