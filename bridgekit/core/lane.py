"""Which lane an event belongs to, and which partition a lane belongs to."""

from __future__ import annotations

import zlib

from bridgekit.model.entry import PARTITIONS
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID, PortalKey, RemoteUserID, RoomID

_SEP = "\x1f"
_AGAIN = _SEP + _SEP + "again"  # two separators in a row: no key ends so by itself, as that would be an empty field

MAX_KEY_TIME = 16**12 - 1
"""In ms: some time in the year 10889."""


def matrix_lane(room: RoomID) -> LaneKey:
    """The lane of what comes from a room. By room, not by portal: a push may come before createRoom answers."""
    return LaneKey(f"m:{room}")


def remote_lane(portal: PortalKey) -> LaneKey:
    """The lane of everything that comes from a remote chat."""
    receiver = "" if portal.receiver is None else "@" + _escape(portal.receiver)
    return LaneKey(f"r:{receiver}{_SEP}{_escape(portal.chat)}")


def call_lane(call_id: str) -> LaneKey:
    """The lane of a call, of both directions: by its id alone (`core.call.route`), for whose it is may be unknown yet.
    Two calls of one id share a lane, which does them no harm."""
    return LaneKey(f"k:{call_id}")


def is_call_lane(lane: LaneKey) -> bool:
    """Whether a lane is a `call_lane`."""
    return lane.startswith("k:")


def user_lane(user: RemoteUserID) -> LaneKey:
    """The lane of what belongs to a remote person and to no chat: name and picture."""
    return LaneKey(f"u:{_escape(user)}")


def copy_lane(portal: PortalKey, login: LoginID) -> LaneKey:
    """The lane of what a login says about a chat for which another login is the source."""
    return LaneKey(f"c:{_escape(login)}{_SEP}{remote_lane(portal)}")


def is_copy_lane(lane: LaneKey) -> bool:
    """Whether a lane is a `copy_lane`."""
    return lane.startswith("c:")


def room_of(lane: LaneKey) -> RoomID | None:
    """The room of a `matrix_lane`; None for the others."""
    return RoomID(lane[2:]) if lane.startswith("m:") else None


def edit_key(portal: PortalKey, target: str, revision: str) -> DedupeKey:
    """The dedupe key of an edit; `revision` as in `RemoteEdit`."""
    return DedupeKey(_SEP.join(("edit", remote_lane(portal), _escape(target), _escape(revision))))


def delete_key(portal: PortalKey, target: str) -> DedupeKey:
    """The dedupe key of a deletion: nobody deletes a message twice."""
    return DedupeKey(_SEP.join(("delete", remote_lane(portal), _escape(target))))


def reaction_key(
    portal: PortalKey, target: str, sender: RemoteUserID, emoji: str, *, added: bool, occurrence: str
) -> DedupeKey:
    """The dedupe key of a reaction that came or went; `occurrence` as in `RemoteReaction`, and not empty: without one
    nothing tells "again" from "once more"."""
    fields = (_escape(target), _escape(sender), _escape(emoji), "+" if added else "-", _escape(occurrence))
    return DedupeKey(_SEP.join(("reaction", remote_lane(portal), *fields)))


def again_key(key: DedupeKey) -> DedupeKey | None:
    """The dedupe key of an entry that is put behind what it had to wait for; None if it was put there before."""
    return None if key.endswith(_AGAIN) else DedupeKey(key + _AGAIN)


def _escape(text: str) -> str:
    # The separator must not occur in a part, or two portals could share a lane.
    return text.replace("\\", "\\\\").replace(_SEP, "\\s")


def partition(lane: LaneKey) -> int:
    """A stable number from 0 to 63. Stored with the lane, so that a change here moves no existing lane."""
    return zlib.crc32(lane.encode("utf-8", "surrogatepass")) % PARTITIONS


def event_key(event_id: EventID, origin_server_ts: int) -> DedupeKey:
    """The dedupe key of a Matrix event. Never the transaction's id: a homeserver may use one again.

    The event's own time comes first, in twelve hexadecimal digits. It is signed with the event and never changes, so a
    repeat has the same key; and keys of events that come one after the other lie side by side in the database.
    """
    return DedupeKey(f"@{min(max(origin_server_ts, 0), MAX_KEY_TIME):012x}:{event_id}")


def login_event_key(login: LoginID, scope: str, value: str, digest: str) -> str:
    """The dedupe key of an event that has no id of its own but came at a cursor; `digest` is of its content, because
    several may come at one."""
    return _SEP.join(("c", _escape(login), _escape(scope), _escape(value), _escape(digest)))


def message_key(portal: PortalKey, remote_id: str, occurrence: str = "message") -> str:
    """The dedupe key of a remote message: the same one seen by two logins is bridged once."""
    return _SEP.join(("r", remote_lane(portal), _escape(remote_id), occurrence))
