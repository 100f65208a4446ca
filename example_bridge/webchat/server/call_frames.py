"""What is said of calls: by people to the network (acts), and by the network to people (signals). No events, no `seq`.

A call is between the two people of a direct chat. Its id is made up by whoever calls. A person may have several pages
open: each is a *leg* with an id of its own choice, and the call belongs to one of them. `sdp` is a session description
as WebRTC makes it, which the network passes on unread.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_SDP_BYTES = 65_536
"""Of one description."""
MAX_CANDIDATES = 100
"""In one frame."""
MIN_RING_MS = 1_000
MAX_RING_MS = 120_000
RING_MS = 60_000
"""How long a call rings, unless the offer says otherwise."""

CallKind = Literal["audio", "video"]
Half = Literal["offer", "answer"]
CallReason = Literal[
    "ended",  # somebody hung up; before an answer: who called gave up
    "declined",
    "busy",
    "unanswered",
    "offline",
    "elsewhere",  # answered on another page or device of the same person
    "replaced",  # by the call that the other person had begun at the same time
    "unsupported",
    "no_device",  # no microphone, no camera, nothing that both understand
    "no_route",  # the two never reached each other
    "lost",  # they did, and no longer do
    "failed",
]
"""Why there is no call, or no longer."""


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way to reach somebody: `candidate` as browsers write it, for the media section `mid` or number `index`."""

    candidate: str
    mid: str | None = None
    index: int | None = None
    ufrag: str | None = None


class _Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    call: str
    chat: str = ""
    """Over HTTP it stands in the address."""
    leg: str = ""
    """Which page of the account says so."""
    ref: str | None = None
    nonce: str | None = None
    """Not compared: a repeat finds everything as it wants to have it."""
    account: str = ""
    """Who says so: the network fills it in."""
    timestamp: int = 0
    """When: the network fills it in."""


class CallOffer(_Call, frozen=True, kw_only=True, tag="call_offer"):
    """Call the other one. `trickle`: the candidates follow by `CallCandidates`; else `sdp` has them all."""

    sdp: str
    kind: CallKind = "audio"
    trickle: bool = False
    replaces: str | None = None
    """The other one's own call, which began at the same time and is over: to be answered without asking."""
    ring_ms: int = RING_MS
    expires_at: int = 0
    """Until when it rings, ms since 1970: the network fills it in."""


class CallRinging(_Call, frozen=True, kw_only=True, tag="call_ringing"):
    """It rings here."""


class CallAnswer(_Call, frozen=True, kw_only=True, tag="call_answer"):
    """Take the call: this leg has it now, the others of the same person are told that it was answered elsewhere."""

    sdp: str


class CallCandidates(_Call, frozen=True, kw_only=True, tag="call_candidates"):
    """More ways to reach whoever says so; `complete`: there are no others."""

    candidates: tuple[Candidate, ...] = ()
    complete: bool = False


class CallUpdate(_Call, frozen=True, kw_only=True, tag="call_update"):
    """One half of another negotiation within the call."""

    half: Half
    sdp: str


class CallMute(_Call, frozen=True, kw_only=True, tag="call_mute"):
    """What holds now."""

    audio: bool
    video: bool


class CallReject(_Call, frozen=True, kw_only=True, tag="call_reject"):
    """Not taken."""

    reason: CallReason = "declined"


class CallHangUp(_Call, frozen=True, kw_only=True, tag="call_hang_up"):
    """Over. `of`: only if this leg of the other one has the call; to the others the network says so itself."""

    reason: CallReason = "ended"
    of: str = ""


CallFrame = CallOffer | CallRinging | CallAnswer | CallCandidates | CallUpdate | CallMute | CallReject | CallHangUp

CALL_FRAMES = (
    CallOffer,
    CallRinging,
    CallAnswer,
    CallCandidates,
    CallUpdate,
    CallMute,
    CallReject,
    CallHangUp,
)
CALL_TYPES = frozenset(str(each.__struct_config__.tag) for each in CALL_FRAMES)
