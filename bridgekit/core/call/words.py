"""The line that a call leaves in the room: what became of it, in words, once."""

from __future__ import annotations

from typing import Final

from bridgekit.core.call.effects import Note
from bridgekit.core.call.states import Role
from bridgekit.model.calls import CallEnd, CallKind

_WHY: Final[dict[CallEnd, str]] = {
    CallEnd.HANGUP: "",
    CallEnd.DECLINED: "declined",
    CallEnd.BUSY: "busy",
    CallEnd.NO_ANSWER: "no answer",
    CallEnd.UNREACHABLE: "not reachable",
    CallEnd.ANSWERED_ELSEWHERE: "answered on another device",
    CallEnd.REPLACED: "replaced by another call",
    CallEnd.NOT_SUPPORTED: "calls of this kind are not bridged",
    CallEnd.MEDIA_FAILED: "no microphone or camera, or none that both sides understand",
    CallEnd.CONNECTION_FAILED: "the two ends could not reach each other",
    CallEnd.CONNECTION_LOST: "the connection was lost",
    CallEnd.ERROR: "something failed",
}
"""Why, as people say it. ``""``: that needs no words."""


def line(note: Note) -> str:
    """One line, for the room."""
    what = "Video call" if note.kind is CallKind.VIDEO else "Call"
    why = _WHY[note.reason]
    if note.connected_ms is not None:
        return f"{what} ended after {duration(note.connected_ms)}{f': {why}' if why else ''}"
    if note.role is Role.CALLER and not note.by_matrix and note.reason in (CallEnd.HANGUP, CallEnd.NO_ANSWER):
        return f"Missed {what.lower()}"
    if note.reason is CallEnd.HANGUP:
        return f"{what} cancelled"
    return f"{what}: {why}"


def duration(ms: int) -> str:
    """As clocks write it: 0:07, 12:34, 1:02:03."""
    seconds = max(ms, 0) // 1000
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
