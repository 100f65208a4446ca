"""What escapes from a broken connection."""

from __future__ import annotations

import aiohttp

CONNECTION_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    EOFError,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
)
"""Whatever an adapter talks with. `TimeoutError` is an `OSError`."""
