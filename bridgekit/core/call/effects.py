"""What a call wants done. A driver does it, in this order, each once; a repeat after a crash is harmless by `key`."""

from __future__ import annotations

from typing import Any

import msgspec

from bridgekit.core.call.states import Role
from bridgekit.model.calls import CallEnd, CallKind, MatrixCall
from bridgekit.model.ids import UserID


class SendMatrix(msgspec.Struct, frozen=True):
    """Send an event into the portal's room, as the ghost. `key` is unique in the call, and the same in a repeat: the
    transaction id is made of it. Where an invite, an answer or its selection fails for good, `Failed` is what the
    machine is told; without others the call goes on. A `final` one says that the call is over and is tried on for a
    minute, after a restart again."""

    type: str
    content: dict[str, Any]
    key: str
    final: bool = False


class CallRemote(msgspec.Struct, frozen=True):
    """Tell the network, by the method of `CanCall` for this value; `ring` where it is an offer without description.

    What it raises of offer and answer, the machine is told as `Failed`; of the others it is logged. `final`: it says
    that the call is over, and is tried on for a minute, after a restart again. That one leg's part is over is tried on,
    too, but does not come before what the call still wants.
    """

    value: MatrixCall
    final: bool = False


class InviteToRoom(msgspec.Struct, frozen=True):
    """The person who is called is not in the portal's room: invite them. When they come, the machine is told
    `Joined`; `Failed`, if they cannot be invited."""

    user: UserID


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Leave a line in the room (`core.call.words`), where the network leaves none itself and the settings want it. At
    most one for each call. `connected_ms`: how long the two talked, None: not at all."""

    role: Role
    kind: CallKind
    reason: CallEnd
    by_matrix: bool
    connected_ms: int | None


class Ended(msgspec.Struct, frozen=True):
    """The call is over; the last effect of a call. The gateway may let go of it. `forget_at` (ms since the epoch):
    until then keep what is remembered of it, so that what comes late or again finds it over."""

    reason: CallEnd
    forget_at: int


Effect = SendMatrix | CallRemote | InviteToRoom | Note | Ended


# --- what a machine is told beside events of both sides ---------------------------------------------------------
class Joined(msgspec.Struct, frozen=True):
    """Somebody came into the portal's room."""

    user: UserID


class Left(msgspec.Struct, frozen=True):
    """Somebody left the portal's room, or was removed."""

    user: UserID


class Failed(msgspec.Struct, frozen=True):
    """An effect could not be carried out, or the call must not be: it is over."""

    reason: CallEnd


class Replaced(msgspec.Struct, frozen=True):
    """The two called each other at once, and the other call counts."""
