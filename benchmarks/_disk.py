"""How long this disk takes to make a small write durable: without it no latency of a durable store can be read."""

from __future__ import annotations

import os
import time
from pathlib import Path


def fdatasync_ms(directory: Path, *, times: int = 100) -> list[float]:
    """Milliseconds for a write of one 4 KiB page at a file's end and its fdatasync, `times` times."""
    page = os.urandom(4096)
    path = directory / "fdatasync.probe"
    took: list[float] = []
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(times):
            start = time.perf_counter()
            os.write(file, page)
            os.fdatasync(file)
            took.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(file)
        path.unlink()
    return took
