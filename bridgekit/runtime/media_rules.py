"""How files are carried: what the admin chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

MediaMode = Literal["async", "wait"]

DEFAULT_MODE: MediaMode = "async"

DEFAULT_SPOOL_MIB = 2048


class MediaRules(msgspec.Struct, frozen=True, kw_only=True):
    """`mode`: whether a file's event goes out before its bytes (``async``), or waits for them in its place (``wait``).
    `stall_timeout_s`: a transfer without any progress for so long, or almost any, is broken off, and tried again.
    `at_once`, `per_login`: how many files are carried at the same time, at most. `directory`: where a file of unknown
    size is kept meanwhile, None for the system's; `spool_bytes`: how much all of those may take there together.
    `offload`: whether that is written by another thread.
    """

    mode: MediaMode = DEFAULT_MODE
    stall_timeout_s: float = 60.0
    at_once: int = 16
    per_login: int = 4
    directory: Path | None = None
    spool_bytes: int = DEFAULT_SPOOL_MIB * 1024 * 1024
    offload: bool = True
