"""Faults on demand, for tests: what a real network does on a bad day. Only there with ``--faults``.

Several modes may be on at once, each at most once. A fault may be for one account only.
"""

from __future__ import annotations

import itertools
from enum import Enum, auto
from typing import Literal

import msgspec

from example_bridge.webchat.server.acts import ACT_TYPES
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


UNCOUNTED = frozenset({"read", "typing"})
"""Acts that come when they like, often by themselves: a fault must name them to meet them, or no count would hold."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes wrong. Which fields count depends on `mode`, see PROTOCOL.md."""

    mode: Mode
    account: str | None = None
    """Only this account's sockets and acts; None: everybody's."""
    act: str | None = None
    """slow, cut, silent, refuse: only acts of this type, a message's being ``send``; None: of all but `UNCOUNTED`."""
    delay_ms: int = 0
    """slow: how much later an act is answered."""
    after: int | None = None
    """cut: the socket goes down at the so-manieth act from now; None: all sockets, now."""
    count: int | None = None
    """silent, refuse: for how many acts; None: until cleared."""
    code: str = "unavailable"
    """refuse: the error code."""
    retry_after_ms: int | None = None
    """refuse: what the error says."""


class Fate(Enum):
    """What becomes of the answer to an act that is committed."""

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
        if fault.act is not None and fault.act not in ACT_TYPES:
            raise Refusal("bad_request", f"act: no act {fault.act!r}")
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

    def refusal(self, account: str, act: str) -> Refusal | None:
        """Asked once for every act, before anything is done."""
        fault = self._find_act("refuse", account, act)
        if fault is None:
            return None
        self._count_down("refuse")
        return Refusal(fault.code, "refused on demand", fault.retry_after_ms)

    def fate(self, account: str, act: str) -> Fate:
        """Asked once for every act that is committed."""
        if self._find_act("cut", account, act) and self._count_down("cut"):
            return Fate.CUT
        if self._find_act("silent", account, act):
            self._count_down("silent")
            return Fate.SILENCE
        return Fate.ANSWER

    def delay(self, account: str, act: str) -> float:
        """How much later to answer an act, in seconds."""
        fault = self._find_act("slow", account, act)
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

    def _find_act(self, mode: Mode, account: str, act: str) -> Fault | None:
        fault = self._find(mode, account)
        if fault is None or (act in UNCOUNTED if fault.act is None else fault.act != act):
            return None
        return fault

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
