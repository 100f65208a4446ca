"""The webchat's calls in the framework's words, and back. Pure: values in, values out."""

from __future__ import annotations

import msgspec

from bridgekit import adapter as bk
from example_bridge.webchat import client as webchat

REASONS: dict[webchat.CallReason, bk.CallEnd] = {
    "ended": bk.CallEnd.HANGUP,
    "declined": bk.CallEnd.DECLINED,
    "busy": bk.CallEnd.BUSY,
    "unanswered": bk.CallEnd.NO_ANSWER,
    "offline": bk.CallEnd.UNREACHABLE,
    "elsewhere": bk.CallEnd.ANSWERED_ELSEWHERE,
    "replaced": bk.CallEnd.REPLACED,
    "unsupported": bk.CallEnd.NOT_SUPPORTED,
    "no_device": bk.CallEnd.MEDIA_FAILED,
    "no_route": bk.CallEnd.CONNECTION_FAILED,
    "lost": bk.CallEnd.CONNECTION_LOST,
    "failed": bk.CallEnd.ERROR,
}
"""What each of the webchat's reasons is: there is one for each of the framework's."""

REASONS_BACK: dict[bk.CallEnd, webchat.CallReason] = {end: reason for reason, end in REASONS.items()}

MIN_RING_MS = 1_000
MAX_RING_MS = 120_000


# --- from the network -------------------------------------------------------------------------------------------------
def frame(seen: webchat.CallFrame, me: str) -> bk.RemoteEvent | None:
    """What the network tells of a call, to the account `me`; None for what its own other pages say of it, unless that
    ends the ringing here."""
    portal, call, leg = bk.PortalKey(bk.ChatID(seen.chat)), bk.CallID(seen.call), bk.LegID(seen.leg)
    when = seen.timestamp
    if seen.account == me:
        # Another page of this account took the call, or ended it. What is said here has no leg.
        if isinstance(seen, webchat.CallHangUp | webchat.CallReject) and seen.leg:
            return bk.RemoteCallHangUp(portal=portal, call=call, timestamp=when, reason=_elsewhere(seen))
        return None
    match seen:
        case webchat.CallOffer():
            return bk.RemoteCallOffer(
                portal=portal,
                call=call,
                leg=leg,
                timestamp=when,
                sender=bk.RemoteUserID(seen.account),
                sdp=seen.sdp,
                kind=bk.CallKind(seen.kind),
                expires_at=seen.expires_at,
            )
        case webchat.CallRinging():
            return bk.RemoteCallRinging(portal=portal, call=call, leg=leg, timestamp=when)
        case webchat.CallAnswer(sdp=sdp):
            return bk.RemoteCallAnswer(portal=portal, call=call, leg=leg, timestamp=when, sdp=sdp)
        case webchat.CallCandidates(candidates=candidates, complete=complete):
            return bk.RemoteCallCandidates(
                portal=portal,
                call=call,
                leg=leg,
                timestamp=when,
                candidates=tuple(bk.Candidate(*msgspec.structs.astuple(each)) for each in candidates),
                complete=complete,
            )
        case webchat.CallUpdate(half=half, sdp=sdp):
            return bk.RemoteCallUpdate(portal=portal, call=call, leg=leg, timestamp=when, sdp_type=half, sdp=sdp)
        case webchat.CallMute(audio=audio, video=video):
            return bk.RemoteCallMute(
                portal=portal, call=call, leg=leg, timestamp=when, audio_muted=audio, video_muted=video
            )
        case webchat.CallReject(reason=reason):  # of all the pages: one that declines does it for the person
            return bk.RemoteCallReject(portal=portal, call=call, timestamp=when, reason=REASONS[reason])
        case webchat.CallHangUp(reason=reason):
            return bk.RemoteCallHangUp(portal=portal, call=call, timestamp=when, reason=REASONS[reason])


def line(seen: webchat.CallEvent, cursor: bk.Cursor) -> bk.RemoteEvent:
    """The line that a call leaves: that it is over, also to whoever was away when that was told."""
    return bk.RemoteCallHangUp(
        portal=bk.PortalKey(bk.ChatID(seen.chat)),
        call=bk.CallID(seen.call),
        timestamp=seen.timestamp,
        reason=REASONS[seen.reason],
        cursor=cursor,
    )


def missed(seen: webchat.CallEvent, me: str) -> tuple[bk.RemoteCallOffer, ...]:
    """The call that this line is of, as one that is over, for a bridge that was away while it rang: where it rang here
    the offer is known, and this changes nothing. None for a call of one's own, or that somebody has dealt with."""
    if seen.actor == me or seen.duration_ms is not None or seen.reason not in ("ended", "unanswered"):
        return ()
    offer = bk.RemoteCallOffer(
        portal=bk.PortalKey(bk.ChatID(seen.chat)),
        call=bk.CallID(seen.call),
        timestamp=seen.timestamp,
        sender=bk.RemoteUserID(seen.actor),
        sdp="",
        kind=bk.CallKind(seen.kind),
        expires_at=seen.timestamp,
    )
    return (offer,)


def _elsewhere(seen: webchat.CallHangUp | webchat.CallReject) -> bk.CallEnd:
    """A page that declined, or gave the call up, has dealt with it as much as one that took it."""
    return bk.CallEnd.ANSWERED_ELSEWHERE if isinstance(seen, webchat.CallHangUp) else bk.CallEnd.DECLINED


# --- to the network ---------------------------------------------------------------------------------------------------
def offer(call: bk.MatrixCallOffer, *, trickle: bool) -> webchat.CallFrame:
    """It rings there for as long as it does here."""
    return webchat.CallOffer(
        call=call.call,
        chat=call.portal.chat,
        sdp=call.sdp,
        kind=call.kind.value,
        trickle=trickle,
        replaces=call.replaces,
        ring_ms=min(max(call.expires_at - call.timestamp, MIN_RING_MS), MAX_RING_MS),
    )


def answer(call: bk.MatrixCallAnswer) -> webchat.CallFrame:
    """By this session, which has no leg of its own."""
    return webchat.CallAnswer(call=call.call, chat=call.portal.chat, sdp=call.sdp)


def candidates(call: bk.MatrixCallCandidates) -> webchat.CallFrame:
    """Where the webchat trickles."""
    found = tuple(webchat.Candidate(*msgspec.structs.astuple(each)) for each in call.candidates)
    return webchat.CallCandidates(call=call.call, chat=call.portal.chat, candidates=found, complete=call.complete)


def update(call: bk.MatrixCallUpdate) -> webchat.CallFrame:
    """Either half."""
    return webchat.CallUpdate(call=call.call, chat=call.portal.chat, half=call.sdp_type, sdp=call.sdp)


def mute(call: bk.MatrixCallMute) -> webchat.CallFrame:
    """What holds now."""
    return webchat.CallMute(call=call.call, chat=call.portal.chat, audio=call.audio_muted, video=call.video_muted)


def progress(call: bk.MatrixCallProgress) -> webchat.CallFrame | None:
    """The webchat shows one step only: that it rings."""
    if call.progress is not bk.CallProgress.RINGING:
        return None
    return webchat.CallRinging(call=call.call, chat=call.portal.chat)


def reject(call: bk.MatrixCallReject) -> webchat.CallFrame:
    """Over, before it began."""
    return webchat.CallReject(call=call.call, chat=call.portal.chat, reason=REASONS_BACK[call.reason])


def hang_up(call: bk.MatrixCallHangUp) -> webchat.CallFrame:
    """Over: for that leg, if one is named."""
    return webchat.CallHangUp(call=call.call, chat=call.portal.chat, reason=REASONS_BACK[call.reason], of=call.leg)
