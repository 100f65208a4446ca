"""What the HTTP side and the sockets share: the store, who listens, the faults, and the one way to send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from example_bridge.webchat.server import operations
from example_bridge.webchat.server.faults import Faults
from example_bridge.webchat.server.hub import Hub
from example_bridge.webchat.server.protocol import Draft, Receipt, check_draft
from example_bridge.webchat.server.store import Store


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """One running network."""

    store: Store
    hub: Hub
    faults: Faults
    faults_allowed: bool
    max_text_length: int
    """Code points."""
    dedupe_seconds: int
    """0: every send makes a message."""
    now: Callable[[], int]
    """Milliseconds since 1970."""

    def submit(self, sender: str, chat: str, draft: Draft) -> asyncio.Future[Receipt]:
        """Queue a send; sends are committed in the order of these calls. Raises `Refusal` for a draft that is wrong."""
        check_draft(draft, self.max_text_length)
        dedupe_ms = self.dedupe_seconds * 1000
        return self.store.write(
            partial(operations.send, sender=sender, chat=chat, draft=draft, now=self.now(), dedupe_ms=dedupe_ms)
        )
