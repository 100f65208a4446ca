"""Matrix's call events, written: (type, content) of each that the bridge sends."""

from __future__ import annotations

from typing import Any

import msgspec

from bridgekit.core.call.events import STREAMS_KEYS, Streams
from bridgekit.core.call.reasons import TO_MATRIX
from bridgekit.model.calls import CallEnd, Candidate, SDPType
from bridgekit.model.ids import UserID

JSON = dict[str, Any]
Sendable = tuple[str, JSON]


class Party(msgspec.Struct, frozen=True):
    """Who we are in a call, and by which version of the protocol."""

    call_id: str
    party_id: str
    version: int = 1

    def content(self, **more: Any) -> JSON:
        # MSC2746: "strongly typed implementations should allow for `version` to either be a string or the integer `0`."
        return {
            "call_id": self.call_id,
            "party_id": self.party_id,
            "version": 0 if self.version == 0 else "1",
            **more,
        }


def invite(us: Party, sdp: str, streams: Streams, *, invitee: UserID, lifetime: int) -> Sendable:
    """`lifetime` in ms."""
    return "m.call.invite", us.content(
        invitee=invitee, lifetime=lifetime, offer={"type": "offer", "sdp": sdp}, **_streams(streams)
    )


def answer(us: Party, sdp: str, streams: Streams) -> Sendable:
    return "m.call.answer", us.content(answer={"type": "answer", "sdp": sdp}, **_streams(streams))


def candidates(us: Party, found: tuple[Candidate, ...], *, complete: bool) -> Sendable:
    listed = [_candidate(one) for one in found]
    # MSC2746: "clients must send such a candidate in an `m.call.candidates` message."
    return "m.call.candidates", us.content(candidates=[*listed, {"candidate": ""}] if complete else listed)


def _candidate(one: Candidate) -> JSON:
    said: JSON = {"candidate": one.candidate}
    for key, value in (("sdpMid", one.mid), ("sdpMLineIndex", one.index), ("usernameFragment", one.ufrag)):
        if value is not None:
            said[key] = value
    if one.mid is None and one.index is None:
        said["sdpMLineIndex"] = 0  # browsers refuse one with neither
    return said


def select_answer(us: Party, selected: str | None) -> Sendable:
    return "m.call.select_answer", us.content(selected_party_id=selected or "")


def reject(us: Party, reason: CallEnd) -> Sendable:
    """That a call is not taken. A plain refusal has no reason."""
    more = {} if reason is CallEnd.DECLINED else {"reason": str(TO_MATRIX[reason])}
    # MSC2746: "If the `m.call.invite` event has `version` `0`, the callee sends an `m.call.hangup` event."
    return "m.call.hangup" if us.version == 0 else "m.call.reject", us.content(**more)


def hangup(us: Party, reason: CallEnd) -> Sendable:
    return "m.call.hangup", us.content(reason=str(TO_MATRIX[reason]))


def negotiate(us: Party, sdp_type: SDPType, sdp: str, streams: Streams, *, lifetime: int) -> Sendable:
    """`lifetime` in ms."""
    return "m.call.negotiate", us.content(
        description={"type": sdp_type, "sdp": sdp}, lifetime=lifetime, **_streams(streams)
    )


def streams_changed(us: Party, streams: Streams) -> Sendable:
    return "m.call.sdp_stream_metadata_changed", us.content(**_streams(streams))


def asserted_identity(us: Party, name: str) -> Sendable:
    return "m.call.asserted_identity", us.content(asserted_identity={"display_name": name} if name else None)


def _streams(streams: Streams) -> JSON:
    if not streams:
        # Left out altogether, clients take what comes; an empty list they would believe.
        return {}
    said = {name: msgspec.to_builtins(one) for name, one in streams.items()}
    return dict.fromkeys(STREAMS_KEYS, said)
