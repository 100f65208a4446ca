"""Faults on demand, for tests: what a real network does on a bad day. Only there with ``--faults``.

Several modes may be on at once, each at most once. A fault may be for one account only.
"""

from __future__ import annotations

import itertools
from enum import Enum, auto
from typing import Literal

import msgspec

from example_bridge.webchat.server.protocol import ERROR_STATUS, Refusal

Mode = Literal["slow", "cut", "silent", "refuse", "repeat", "garbage", "deaf"]

GARBAGE = (
    b"{nonsense",
    b"[]",
    b"null",
    b'{"type":"event"}',
    b'{"type":"event","event":{"type":"message"}}',
    b'{"type":"sent","ref":"nobody-asked"}',
    b'{"type":"error","ref":7}',
    b'{"type":"of-the-future","event":{"chat":"c","seq":1}}',
)
"""Frames that a client must survive."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes wrong. Which fields count depends on `mode`, see PROTOCOL.md."""

    mode: Mode
    account: str | None = None
    """Only this account's sockets and sends; None: everybody's."""
    delay_ms: int = 0
    """slow: how much later a send is answered."""
    after: int | None = None
    """cut: the socket goes down at the so-manieth send from now; None: all sockets, now."""
    count: int | None = None
    """silent, refuse: for how many sends; None: until cleared."""
    code: str = "unavailable"
    """refuse: the error code."""
    retry_after_ms: int | None = None
    """refuse: what the error says."""


class Fate(Enum):
    """What becomes of the answer to a send that is committed."""

    ANSWER = auto()
    SILENCE = auto()
    CUT = auto()


class Faults:
    """The faults that are on now, counting down."""

    def __init__(self) -> None:
        self._on: dict[str, Fault] = {}
        self._left: dict[str, int] = {}
        self._garbage = itertools.cycle(GARBAGE)

    def set(self, fault: Fault) -> None:
        if fault.mode == "refuse" and fault.code not in ERROR_STATUS:
            raise Refusal("bad_request", f"code: no error {fault.code!r}")
        count = fault.after if fault.mode == "cut" else fault.count
        if count is not None and count < 1:
            raise Refusal("bad_request", "after, count: at least 1")
        self._on[fault.mode] = fault
        self._left.pop(fault.mode, None)
        if count is not None:
            self._left[fault.mode] = count

    def clear(self) -> None:
        self._on.clear()
        self._left.clear()

    def active(self) -> list[Fault]:
        return list(self._on.values())

    def refusal(self, account: str) -> Refusal | None:
        """Asked once for every send, before anything is done."""
        fault = self._find("refuse", account)
        if fault is None:
            return None
        self._count_down("refuse")
        return Refusal(fault.code, "refused on demand", fault.retry_after_ms)

    def fate(self, account: str) -> Fate:
        """Asked once for every send that is committed."""
        if self._find("cut", account) and self._count_down("cut"):
            return Fate.CUT
        if self._find("silent", account):
            self._count_down("silent")
            return Fate.SILENCE
        return Fate.ANSWER

    def delay(self, account: str) -> float:
        """How much later to answer a send, in seconds."""
        fault = self._find("slow", account)
        return fault.delay_ms / 1000 if fault else 0.0

    def deaf(self, account: str) -> bool:
        return self._find("deaf", account) is not None

    def frames(self, account: str, frame: bytes) -> list[bytes]:
        """What goes over the socket in place of one event."""
        frames = [next(self._garbage)] if self._find("garbage", account) else []
        return frames + [frame] * (2 if self._find("repeat", account) else 1)

    def _find(self, mode: Mode, account: str) -> Fault | None:
        fault = self._on.get(mode)
        return fault if fault is not None and fault.account in (None, account) else None

    def _count_down(self, mode: Mode) -> bool:
        """Whether this was the last time; the fault is off then."""
        left = self._left.get(mode)
        if left is None:
            return False
        if left > 1:
            self._left[mode] = left - 1
            return False
        del self._on[mode], self._left[mode]
        return True
