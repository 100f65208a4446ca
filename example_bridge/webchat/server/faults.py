"""Faults on demand, for tests: what a real network does on a bad day. Only there with ``--faults``.

Several modes may be on at once, each at most once. A fault may be for one account only.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

import msgspec

from example_bridge.webchat.server.acts import ACT_TYPES
from example_bridge.webchat.server.call_frames import CALL_TYPES
from example_bridge.webchat.server.protocol import ERROR_STATUS, Refusal

Mode = Literal[
    "slow", "cut", "silent", "refuse", "repeat", "garbage", "deaf", "trickle", "stall", "break", "lie", "lose", "late"
]

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


FILE_ACTS = frozenset({"reserve", "upload", "download"})
"""What is done about files, which is in no chat."""

UNCOUNTED = frozenset({"read", "typing"}) | FILE_ACTS | CALL_TYPES
"""Acts that come when they like, often by themselves: a fault must name them to meet them, or no count would hold."""

ON_CALLS: tuple[Mode, ...] = ("lose", "late")
"""Modes that are about what somebody is told of calls; `Fault.act` is one of `CALL_TYPES`, None for all."""

ON_TRANSFERS: tuple[Mode, ...] = ("trickle", "stall", "break", "lie")
"""Modes that are about bytes on their way; `Fault.act` is ``upload`` or ``download``, None for both."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes wrong. Which fields count depends on `mode`, see PROTOCOL.md."""

    mode: Mode
    account: str | None = None
    """Only this account's sockets and acts; None: everybody's."""
    act: str | None = None
    """slow, cut, silent, refuse: only acts of this type, a message's being ``send``; None: of all but `UNCOUNTED`.
    trickle, stall, break, lie: only ``upload`` or ``download``. lose, late: only what has this type."""
    delay_ms: int = 0
    """slow: how much later an act is answered. late: how much later the account is told."""
    after: int | None = None
    """cut: the socket goes down at the so-manieth act from now; None: all sockets, now."""
    count: int | None = None
    """silent, refuse, lose, late, and all about transfers: for how many; None: until cleared."""
    code: str = "unavailable"
    """refuse: the error code."""
    retry_after_ms: int | None = None
    """refuse: what the error says."""
    after_bytes: int = 0
    """stall, break: how many bytes of the transfer come first."""
    bytes_per_s: int = 1024
    """trickle: how fast."""
    by: int = 1
    """lie: how many bytes more than there are (less, if negative) are said."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What becomes of one file's bytes on their way. None: nothing of the kind."""

    bytes_per_s: int | None = None
    stall_at: int | None = None
    break_at: int | None = None
    lie: int = 0


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
        self._cleared = asyncio.Event()
        self._garbage = itertools.cycle(GARBAGE)

    def set(self, fault: Fault) -> None:
        if fault.mode == "refuse" and fault.code not in ERROR_STATUS:
            raise Refusal("bad_request", f"code: no error {fault.code!r}")
        on_transfers = fault.mode in ON_TRANSFERS
        known = {"upload", "download"} if on_transfers else ACT_TYPES | FILE_ACTS
        if fault.mode in ON_CALLS:
            known = CALL_TYPES
        if fault.act is not None and fault.act not in known:
            raise Refusal("bad_request", f"act: no act {fault.act!r}")
        if fault.after_bytes < 0 or fault.bytes_per_s < 1:
            raise Refusal("bad_request", "after_bytes: at least 0; bytes_per_s: at least 1")
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
        self._cleared.set()
        self._cleared = asyncio.Event()

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

    def transfer(self, account: str, act: str) -> Transfer:
        """Asked once for every file that is about to go over the wire."""
        found = {mode: self._find_transfer(mode, account, act) for mode in ON_TRANSFERS}
        for mode, fault in found.items():
            if fault is not None:
                self._count_down(mode)
        slow, stall, broken, lie = (found[mode] for mode in ON_TRANSFERS)
        return Transfer(
            bytes_per_s=slow.bytes_per_s if slow else None,
            stall_at=stall.after_bytes if stall else None,
            break_at=broken.after_bytes if broken else None,
            lie=lie.by if lie else 0,
        )

    async def until_cleared(self) -> None:
        """What is stalled goes on then."""
        await self._cleared.wait()

    def call_fate(self, account: str, type: str) -> tuple[bool, float]:
        """Asked once for everything that an account is told of a call: whether it is, and how many seconds later."""
        told, seconds = True, 0.0
        for mode in ON_CALLS:
            fault = self._find(mode, account)
            if fault is None or fault.act not in (None, type):
                continue
            self._count_down(mode)
            if mode == "lose":
                told = False
            else:
                seconds = fault.delay_ms / 1000
        return told, seconds

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

    def _find_transfer(self, mode: Mode, account: str, act: str) -> Fault | None:
        fault = self._find(mode, account)
        return fault if fault is not None and fault.act in (None, act) else None

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
