"""Calls as the adapter sees them: what people on Matrix do (``MatrixCall*``), what the network tells (``RemoteCall*``).

A call is between two people and is named by whoever began it. A network that rings several of a person's devices may
name each of them, a *leg*; ``""`` is the leg of a network that does not, and in what Matrix sends: all of them.

`timestamp` and `expires_at` are milliseconds since the epoch: Matrix's by the bridge's own clock, the network's as it
says them. `sdp` is a session description (RFC 8866) with lines that end in CR LF; how complete it is, `Limits.trickle`
says, for both directions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from bridgekit.model.ids import CallID, LegID, PortalKey, RemoteUserID
from bridgekit.model.position import Cursor

Trickle = Literal["trickle", "half", "none"]
"""How a network takes candidates (RFC 8840): as they are found, beside a description without any (``trickle``); all of
them inside an offer, and beside an answer (``half``, RFC 8838); only inside descriptions (``none``)."""

SDPType = Literal["offer", "answer"]
"""Which half of a negotiation a description is (JSEP)."""


class CallKind(StrEnum):
    """What a call begins with."""

    AUDIO = "audio"
    VIDEO = "video"  # with sound


class CallEnd(StrEnum):
    """Why a call did not come about, or is over. To Matrix and from it by the tables of `bridgekit.core.call.reasons`;
    which of the network's own reasons is which of these, the adapter knows."""

    HANGUP = "hangup"  # somebody hung up; before an answer: the caller gave up
    DECLINED = "declined"  # the one called does not want it
    BUSY = "busy"  # in another call
    NO_ANSWER = "no_answer"  # rang until its time was over
    UNREACHABLE = "unreachable"  # offline, not in the chat, or not allowed to be called
    ANSWERED_ELSEWHERE = "answered_elsewhere"  # on another of the same person's devices: no call for this one
    REPLACED = "replaced"  # by another call of the same two people
    NOT_SUPPORTED = "not_supported"  # calls of this kind, or for more than two, do not cross
    MEDIA_FAILED = "media_failed"  # no microphone or camera, or no codec in common
    CONNECTION_FAILED = "connection_failed"  # no media ever got through
    CONNECTION_LOST = "connection_lost"  # media stopped
    ERROR = "error"  # anything else


class CallProgress(StrEnum):
    """How far a call is that goes on by itself."""

    INVITED = "invited"  # the Matrix user is not in the chat's room yet, was invited, and will be rung when they come
    RINGING = "ringing"  # Matrix has the call
    CONNECTED = "connected"  # the Matrix caller took this answer: the two talk


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """An ICE candidate as browsers write it: `candidate` is ``candidate:...`` in some 100 bytes, without ``a=`` in
    front; `mid` the identification tag and `index` the number (from 0) of the media section that it is for, of which
    one may be missing; `ufrag` the generation that it belongs to, None where nobody says."""

    candidate: str
    mid: str | None = None
    index: int | None = None
    ufrag: str | None = None


# --- from Matrix ------------------------------------------------------------------------------------------------
class MatrixCallOffer(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person calls `callee` in `portal`.

    `call` names the call from now on, on both sides: 1 to 255 of ``0-9 a-z A-Z . _ ~ -``. `kind` is what it begins
    with, `sdp` the offer, ``""`` only in `CanCall.ring`. `timestamp` says when it began; it rings until `expires_at`
    (both in ms since the epoch), then `CanCall.hang_up` follows with `CallEnd.NO_ANSWER`. `replaces`: the call that
    `callee` began at the same time; this one counts, so answer it without asking where the network can (the other
    was hung up with `CallEnd.REPLACED`).
    """

    portal: PortalKey
    call: CallID
    callee: RemoteUserID
    kind: CallKind
    sdp: str
    timestamp: int
    expires_at: int
    replaces: CallID | None = None


class MatrixCallAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person takes the call `call` in `portal`, which the network began on `leg`: `sdp` is the answer
    to its offer, `timestamp` says when, in ms since the epoch."""

    portal: PortalKey
    call: CallID
    sdp: str
    timestamp: int
    leg: LegID = LegID("")


class MatrixCallCandidates(msgspec.Struct, frozen=True, kw_only=True):
    """More ways to reach the login's own person in the call `call` of `portal`, on `leg`: `candidates`. `complete`:
    these were the last ones."""

    portal: PortalKey
    call: CallID
    candidates: tuple[Candidate, ...]
    complete: bool = False
    leg: LegID = LegID("")


class MatrixCallUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One half of a renegotiation within the call `call` of `portal`, with `leg`: hold, video on or off, a new way for
    the media.

    `sdp` is an offer or an answer (`sdp_type`). `held`: by this offer the Matrix side puts the call on hold, and
    takes nothing in; any other offer goes on with it. `kind`: whether there is video in it.
    """

    portal: PortalKey
    call: CallID
    sdp_type: SDPType
    sdp: str
    kind: CallKind
    held: bool = False
    leg: LegID = LegID("")


class MatrixCallMute(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person in the call `call` of `portal`, with `leg`, has muted the microphone (`audio_muted`) or
    the camera (`video_muted`), or not: what holds now."""

    portal: PortalKey
    call: CallID
    audio_muted: bool
    video_muted: bool
    leg: LegID = LegID("")


class MatrixCallProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the call `call` of `portal` is, with `leg`: `progress`, for the network to show. ``INVITED`` and
    ``RINGING`` come of calls that it began, ``CONNECTED`` of those that Matrix began."""

    portal: PortalKey
    call: CallID
    progress: CallProgress
    leg: LegID = LegID("")


class MatrixCallReject(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person does not take the call `call` of `portal`, which the network began on `leg`, or the bridge
    cannot: `reason`."""

    portal: PortalKey
    call: CallID
    reason: CallEnd
    leg: LegID = LegID("")


class MatrixCallHangUp(msgspec.Struct, frozen=True, kw_only=True):
    """The call `call` of `portal` is over for this `leg` (``""``: for all), by `reason`; also before it was
    answered."""

    portal: PortalKey
    call: CallID
    reason: CallEnd
    leg: LegID = LegID("")


MatrixCall = (
    MatrixCallOffer
    | MatrixCallAnswer
    | MatrixCallCandidates
    | MatrixCallUpdate
    | MatrixCallMute
    | MatrixCallProgress
    | MatrixCallReject
    | MatrixCallHangUp
)
"""All that the network is told of calls."""


# --- from the network -------------------------------------------------------------------------------------------
class RemoteCallOffer(msgspec.Struct, frozen=True, tag="call_offer", omit_defaults=True, kw_only=True):
    """Somebody, `sender`, calls the login's own person in `portal`.

    `call` is the network's id of it: unique in the portal, any characters. `sdp` is the offer, ``""`` where it is
    not there yet: then the same event follows with it. `timestamp` says when it began, `expires_at` until when it
    rings, both in ms since the epoch; None: for 90 s after `timestamp`, and never for more than 10 minutes. It is
    not bridged once that is over, and repeats do no harm. `kind` is what it begins with; `leg` the device that
    calls. `group`: for more than two, which is answered by `CanCall.reject` with `CallEnd.NOT_SUPPORTED`. `cursor`
    is where the stream has got to.
    """

    portal: PortalKey
    call: CallID
    sender: RemoteUserID
    timestamp: int
    sdp: str = ""
    kind: CallKind = CallKind.AUDIO
    expires_at: int | None = None
    group: bool = False
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallRinging(msgspec.Struct, frozen=True, tag="call_ringing", omit_defaults=True, kw_only=True):
    """The call `call` of `portal`, which Matrix began, rings at the network on `leg`, since `timestamp` (ms since the
    epoch). Matrix has nothing to show it with; but a leg that has rung is waited for when another one declines.
    `cursor` is where the stream has got to."""

    portal: PortalKey
    call: CallID
    timestamp: int
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallAnswer(msgspec.Struct, frozen=True, tag="call_answer", omit_defaults=True, kw_only=True):
    """The call `call` of `portal`, which Matrix began, is answered on `leg`: `sdp` is the answer, `timestamp` says
    when, in ms since the epoch. The first leg that answers has it, the others are hung up with
    `CallEnd.ANSWERED_ELSEWHERE`.

    `answered_by`: the name of who answered, in words, if that is not the one called (a call centre, a transfer).
    That the login's own person answered a call from elsewhere, on a device of the network, is a `RemoteCallHangUp`
    with `CallEnd.ANSWERED_ELSEWHERE`. `cursor` is where the stream has got to.
    """

    portal: PortalKey
    call: CallID
    sdp: str
    timestamp: int
    answered_by: str = ""
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallCandidates(msgspec.Struct, frozen=True, tag="call_candidates", omit_defaults=True, kw_only=True):
    """More ways to reach the remote person in the call `call` of `portal`, on `leg`: `candidates`, from networks with
    ``trickle`` or ``half`` (`Limits.trickle`). `complete`: these were the last ones. `timestamp` says when, in ms since
    the epoch; `cursor` is where the stream has got to."""

    portal: PortalKey
    call: CallID
    timestamp: int
    candidates: tuple[Candidate, ...] = ()
    complete: bool = False
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallUpdate(msgspec.Struct, frozen=True, tag="call_update", omit_defaults=True, kw_only=True):
    """One half of a renegotiation within the call `call` of `portal`, by `leg`: `sdp` is an offer or an answer
    (`sdp_type`). Where both sides offer at once, the caller's counts and the other one gets no answer. `timestamp` says
    when, in ms since the epoch; `cursor` is where the stream has got to."""

    portal: PortalKey
    call: CallID
    sdp_type: SDPType
    sdp: str
    timestamp: int
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallMute(msgspec.Struct, frozen=True, tag="call_mute", omit_defaults=True, kw_only=True):
    """The remote person in the call `call` of `portal`, on `leg`, has muted the microphone (`audio_muted`) or the
    camera (`video_muted`), or not: what holds now. `timestamp` says when, in ms since the epoch; `cursor` is where
    the stream has got to."""

    portal: PortalKey
    call: CallID
    audio_muted: bool
    video_muted: bool
    timestamp: int
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallReject(msgspec.Struct, frozen=True, tag="call_reject", omit_defaults=True, kw_only=True):
    """The call `call` of `portal`, which Matrix began, is not taken, by `reason`: not on `leg`, and while another leg
    that has rung could still take it, it rings on; ``""``: by nobody. `timestamp` says when, in ms since the epoch;
    `cursor` is where the stream has got to."""

    portal: PortalKey
    call: CallID
    timestamp: int
    reason: CallEnd = CallEnd.DECLINED
    leg: LegID = LegID("")
    cursor: Cursor | None = None


class RemoteCallHangUp(msgspec.Struct, frozen=True, tag="call_hang_up", omit_defaults=True, kw_only=True):
    """The call `call` of `portal` is over, by `reason`; also before it was answered. Of a `leg` that does not have the
    call it says only that this leg is gone. `timestamp` says when, in ms since the epoch; `cursor` is where the stream
    has got to."""

    portal: PortalKey
    call: CallID
    timestamp: int
    reason: CallEnd = CallEnd.HANGUP
    leg: LegID = LegID("")
    cursor: Cursor | None = None


RemoteCall = (
    RemoteCallOffer
    | RemoteCallRinging
    | RemoteCallAnswer
    | RemoteCallCandidates
    | RemoteCallUpdate
    | RemoteCallMute
    | RemoteCallReject
    | RemoteCallHangUp
)
"""All that the network tells of calls."""
