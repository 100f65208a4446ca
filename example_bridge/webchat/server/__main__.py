"""``python -m example_bridge.webchat.server --db FILE --port N``: prints ``{"url": ...}`` once it listens."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sqlite3
import sys
from pathlib import Path

from example_bridge.webchat.server.app import Config, start
from example_bridge.webchat.server.ice import read_ice_servers


def parse(arguments: list[str]) -> Config:
    parser = argparse.ArgumentParser(prog="python -m example_bridge.webchat.server", description=__doc__)
    parser.add_argument("--db", type=Path, required=True, help="the SQLite file; made if it is not there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--dedupe-seconds", type=int, default=86_400, help="how long a nonce counts (default: 86400)")
    parser.add_argument("--no-dedupe", action="store_true", help="every send makes a message, whatever its nonce")
    parser.add_argument("--max-text-length", type=int, default=4_000, help="code points of a message (default: 4000)")
    parser.add_argument("--max-upload-size", type=int, default=2 << 30, help="bytes of a file (default: 2 GiB)")
    parser.add_argument(
        "--upload-seconds", type=int, default=86_400, help="how long a file may take to come (default: 86400)"
    )
    parser.add_argument(
        "--ice-servers",
        type=Path,
        metavar="FILE",
        help="STUN and TURN servers for calls: JSON, a list of {urls, username?, credential?} (default: none)",
    )
    parser.add_argument("--faults", action="store_true", help="for tests: let anybody break things over /api/faults")
    parser.add_argument("--framed-by", metavar="ORIGIN", help="a page that may show the webchat's inside itself")
    options = parser.parse_args(arguments)
    try:
        ice_servers = read_ice_servers(options.ice_servers) if options.ice_servers is not None else ()
    except ValueError as error:
        parser.error(f"argument --ice-servers: {error}")
    return Config(
        db=options.db,
        host=options.host,
        port=options.port,
        dedupe_seconds=0 if options.no_dedupe else max(0, options.dedupe_seconds),
        max_text_length=options.max_text_length,
        max_upload_size=options.max_upload_size,
        upload_seconds=options.upload_seconds,
        ice_servers=ice_servers,
        faults=options.faults,
        framed_by=options.framed_by or "'none'",
    )


async def serve(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start(config)
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()


def main() -> int:
    config = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(config))
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"webchat cannot run on {config.db}, port {config.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
