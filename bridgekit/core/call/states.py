"""The states of a call, and what leads from one to the next: the whole of it in one table.

The bridge stands between two ends. On Matrix it plays the other one's part: the callee of a call that Matrix began, the
caller of one that the network began. What is not in the table changes nothing: a repeat, or something that comes late.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Which part the bridge plays on Matrix."""

    CALLEE = "callee"  # Matrix calls the network
    CALLER = "caller"  # the network calls Matrix


class State(StrEnum):
    """Where a call stands."""

    NEW = "new"
    # the callee's
    GATHERING = "gathering"  # the caller's offer is not complete enough for the network yet
    RINGING = "ringing"  # the network has the offer
    ANSWERED = "answered"  # Matrix has the network's answer, and has not taken it yet
    # the caller's
    WAITING = "waiting"  # for the network's offer, or for the person to come into the room
    INVITED = "invited"  # Matrix has the invite
    SELECTED = "selected"  # Matrix has answered; its answer is not complete enough for the network yet
    # both
    CONNECTED = "connected"
    ENDED = "ended"


class Cause(StrEnum):
    """What leads to another state."""

    BEGUN = "begun"
    READY = "ready"  # what was waited for is there
    REMOTE_ANSWERED = "remote answered"
    MATRIX_SELECTED = "Matrix selected us"
    MATRIX_SELECTED_OTHER = "Matrix selected another"
    MATRIX_ANSWERED = "Matrix answered"
    MATRIX_REJECTED = "Matrix rejected"
    MATRIX_HUNG_UP = "Matrix hung up or left"
    REMOTE_REJECTED = "remote rejected"
    REMOTE_HUNG_UP = "remote hung up"
    EXPIRED = "time is over"
    UNREACHABLE = "no usable candidate"
    REPLACED = "another call won"
    FAILED = "failed"


_ENDING: Final = {
    Cause.MATRIX_HUNG_UP: State.ENDED,
    Cause.REMOTE_HUNG_UP: State.ENDED,
    Cause.FAILED: State.ENDED,
}
_BEFORE: Final = {**_ENDING, Cause.EXPIRED: State.ENDED, Cause.REPLACED: State.ENDED}

TABLE: Final[dict[Role, dict[State, dict[Cause, State]]]] = {
    Role.CALLEE: {
        State.NEW: {Cause.BEGUN: State.GATHERING},
        State.GATHERING: {
            Cause.READY: State.RINGING,
            Cause.UNREACHABLE: State.ENDED,
            Cause.REMOTE_REJECTED: State.ENDED,
            Cause.MATRIX_SELECTED_OTHER: State.ENDED,
            **_BEFORE,
        },
        State.RINGING: {
            Cause.REMOTE_ANSWERED: State.ANSWERED,
            Cause.REMOTE_REJECTED: State.ENDED,
            Cause.MATRIX_SELECTED_OTHER: State.ENDED,
            **_BEFORE,
        },
        State.ANSWERED: {
            Cause.MATRIX_SELECTED: State.CONNECTED,
            Cause.MATRIX_SELECTED_OTHER: State.ENDED,
            Cause.EXPIRED: State.ENDED,
            **_ENDING,
        },
        State.CONNECTED: _ENDING,
        State.ENDED: {},
    },
    Role.CALLER: {
        State.NEW: {Cause.BEGUN: State.WAITING},
        State.WAITING: {Cause.READY: State.INVITED, **_BEFORE},
        State.INVITED: {Cause.MATRIX_ANSWERED: State.SELECTED, Cause.MATRIX_REJECTED: State.ENDED, **_BEFORE},
        State.SELECTED: {Cause.READY: State.CONNECTED, Cause.UNREACHABLE: State.ENDED, **_ENDING},
        State.CONNECTED: _ENDING,
        State.ENDED: {},
    },
}


def states(role: Role) -> list[State]:
    """Those that a role has, in the order of a call."""
    return list(TABLE[role])


def leads_to(role: Role, state: State, cause: Cause) -> State | None:
    """The next state; None where the cause means nothing."""
    return TABLE[role].get(state, {}).get(cause)


def is_over(state: State) -> bool:
    """Whether nothing leads out of it."""
    return state is State.ENDED
