"""All that is remembered of a call: one Struct, which the driver writes down after each step, so that a call
outlives the bridge's process."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from bridgekit.core.call.candidates import Gathering
from bridgekit.core.call.states import Role, State
from bridgekit.model.calls import CallEnd, CallKind, Candidate, Trickle
from bridgekit.model.ids import CallID, LegID, PortalKey, RemoteUserID, RoomID, UserID

MAX_POOL: Final = 256
"""So many candidates of each side are kept; of more, the newest."""

MAX_LEGS: Final = 16


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What stands when a call begins.

    `matrix_id`: the call's id on Matrix; `party`: who the bridge is in it; `user`: the person on Matrix, `ghost` the
    Matrix user that stands for `remote`. `stream` names the media stream that comes from the network. `expires_at`:
    until when it rings, in ms since the epoch. `began_at` likewise. `replaces` as in `MatrixCallOffer`. `room`: the
    portal's, as it began (None: not known): clients do not take a call along when that is replaced.
    """

    portal: PortalKey
    call: CallID
    role: Role
    matrix_id: str
    party: str
    user: UserID
    ghost: UserID
    remote: RemoteUserID
    stream: str
    kind: CallKind
    began_at: int
    expires_at: int
    trickle: Trickle = "none"
    rings_first: bool = False
    replaces: CallID | None = None
    room: RoomID | None = None


class Held(msgspec.Struct, frozen=True):
    """A candidate of one of Matrix's parties, or of one of the network's legs; `passed`: on to the other side."""

    of: str
    candidate: Candidate
    passed: bool = False


class Memory(msgspec.Struct, kw_only=True):
    """What changes.

    `peer`: Matrix's party, None before it is known (and for one of version 0); `version`: the protocol's; `gone`:
    parties that hung up before they had it. `leg`: the network's, once one has the call; `legs`: those that rang or
    spoke. `from_matrix`, `from_remote`: candidates not passed on yet, or kept to be merged again; `matrix_ended`:
    the parties (`remote_ended`: legs) that have no more. `gathering`: Matrix's description that waits for
    candidates. `offer`: the network's, until it can be sent. `ufrags`: the generations of the description of
    Matrix's that the network has. `offering`: whose offer of a renegotiation has no answer yet ("matrix" or
    "remote"), until `offering_until`; `later`: Matrix's, which came before its answer was passed on. `muted`,
    `remote_muted`: (sound, picture) of Matrix and of the network. `sent_streams`: what each stream is for that
    Matrix was told of. `count`: how many events were sent. Times are in ms since the epoch.
    """

    setup: Setup
    state: State = State.NEW
    version: int = 1
    peer: str | None = None
    gone: list[str] = []
    leg: LegID = LegID("")
    legs: list[LegID] = []
    from_matrix: list[Held] = []
    from_remote: list[Held] = []
    matrix_ended: list[str] = []
    remote_ended: list[str] = []
    gathering: Gathering | None = None
    offer: str = ""
    joined: bool = True
    ufrags: tuple[str, ...] = ()
    later: str = ""
    offering: Literal["", "matrix", "remote"] = ""
    offering_until: int = 0
    batch_at: int | None = None
    told_remote: bool = False
    answered_at: int | None = None
    remote_muted: tuple[bool, bool] = (False, False)
    connected_at: int | None = None
    ended_at: int | None = None
    reason: CallEnd | None = None
    muted: tuple[bool, bool] = (False, False)
    sent_streams: dict[str, str] = {}
    count: int = 0


def set_back(memory: Memory, by: int) -> None:
    """The clock was set back by so many ms, and says now what it said then: what was, was so much earlier by it, and so
    is what is due."""
    setup, gathering = memory.setup, memory.gathering
    memory.setup = msgspec.structs.replace(setup, began_at=setup.began_at - by, expires_at=setup.expires_at - by)
    if gathering is not None:
        earlier = msgspec.structs.replace(gathering, since=gathering.since - by, last=gathering.last - by)
        memory.gathering = earlier
    memory.offering_until -= by
    for name in ("batch_at", "answered_at", "connected_at", "ended_at"):
        if (time := getattr(memory, name)) is not None:
            setattr(memory, name, time - by)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Memory).decode


def dump(memory: Memory) -> bytes:
    return _encode(memory)


def load(data: bytes) -> Memory:
    """Raises `msgspec.ValidationError` for what is none."""
    return _decode(data)
