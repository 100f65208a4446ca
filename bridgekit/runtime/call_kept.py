"""What is on disk of a call: what its machine remembers, and what was wanted of it and is not done yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, get_args

import msgspec

from bridgekit.core.call.effects import CallRemote, InviteToRoom, Note, SendMatrix
from bridgekit.model.calls import MatrixCall
from bridgekit.runtime.errands import CallKey, Errand, Task

_VALUES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(MatrixCall)}
_TASKS: dict[str, type[Any]] = {kind.__name__: kind for kind in (SendMatrix, InviteToRoom, Note)}


class _Errand(msgspec.Struct):
    kind: str
    payload: msgspec.Raw
    until: int
    final: bool = False


class Kept(msgspec.Struct):
    """`snapshot` is the machine's; `errands` stand in their order."""

    snapshot: bytes
    errands: list[_Errand] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Kept).decode


def record_id(key: CallKey) -> str:
    """What the store calls a call."""
    portal, call = key
    return "\x1f".join((portal.chat, portal.receiver or "", call))


def dump(snapshot: bytes, errands: Iterable[Errand]) -> bytes:
    return _encode(Kept(snapshot, [_kept(errand) for errand in errands]))


def _kept(errand: Errand) -> _Errand:
    task = errand.task
    value = task.value if isinstance(task, CallRemote) else task
    return _Errand(type(value).__name__, msgspec.Raw(_encode(value)), errand.until, errand.final)


def snapshot_of(data: bytes) -> bytes:
    """Raises `msgspec.DecodeError` for what is none."""
    return _decode(data).snapshot


def errands_of(data: bytes, key: CallKey, *, again_until: int) -> list[Errand]:
    """What is not done yet of this call; what a restart must not lose has until `again_until`, in ms since the epoch.
    Raises `msgspec.DecodeError` for what is none."""
    errands = [Errand(key, _task(one), one.until) for one in _decode(data).errands]
    return [replace(one, until=max(one.until, again_until)) if one.keeps else one for one in errands]


def _task(one: _Errand) -> Task:
    if one.kind in _VALUES:
        return CallRemote(msgspec.json.decode(one.payload, type=_VALUES[one.kind]), one.final)
    if one.kind not in _TASKS:
        raise msgspec.ValidationError(f"no errand of a call: {one.kind}")
    task: Task = msgspec.json.decode(one.payload, type=_TASKS[one.kind])
    return task
