"""What a portal's room is made of: the createRoom body and the state events, as values."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from bridgekit.core.features import ROOM_FEATURES
from bridgekit.core.power import ADMIN_LEVEL, ROOM_LEVEL
from bridgekit.model.ids import ContentURI, PortalKey, RoomID, UserID

JSON = dict[str, Any]

CREATOR_IN_POWER_LEVELS = frozenset(str(version) for version in range(1, 12))
"""Room versions in which the creator needs a place in the power levels. From 12 on the creator stands above them, and
naming it there is refused."""

MAX_STATE_KEY_BYTES = 255


class RoomShape(msgspec.Struct, frozen=True, kw_only=True):
    """How a portal's room should look. `network_*` describe the protocol in the bridge state event (MSC2346)."""

    key: PortalKey
    bot: UserID
    network_id: str
    network_name: str
    network_url: str = ""
    network_icon: str = ""
    name: str = ""
    topic: str = ""
    avatar_mxc: ContentURI | None = None
    dm: bool = False
    room_version: str = ""


def bridge_info(shape: RoomShape) -> JSON:
    """The content of ``m.bridge`` and ``uk.half-shot.bridge`` (MSC2346)."""
    protocol: JSON = {"id": shape.network_id, "displayname": shape.network_name}
    if shape.network_icon.startswith("mxc://"):
        protocol["avatar_url"] = shape.network_icon
    if shape.network_url:
        protocol["external_url"] = shape.network_url
    channel: JSON = {"id": clean(shape.key.chat)}
    if shape.name:
        channel["displayname"] = clean(shape.name)
    if shape.avatar_mxc:
        channel["avatar_url"] = shape.avatar_mxc
    return {"bridgebot": shape.bot, "creator": shape.bot, "protocol": protocol, "channel": channel}


def bridge_state_key(network_id: str, portal: PortalKey) -> str:
    """Unique per bridge and chat; the same chat has the same key for ever."""
    key = clean(f"bridgekit://{network_id}/{portal.receiver or ''}/{portal.chat}")
    raw = key.encode()
    if len(raw) <= MAX_STATE_KEY_BYTES:
        return key
    # Spec, client-server API, "Size limits": a state key has at most 255 bytes.
    digest = hashlib.sha256(raw).hexdigest()
    return raw[: MAX_STATE_KEY_BYTES - len(digest)].decode(errors="ignore") + digest


def power_levels(shape: RoomShape) -> JSON:
    """Everybody may speak; how the chat looks and who may do what is for its admins, and the rest (encryption, who may
    read what) stays with the bridge."""
    reserved = {
        # An encrypted portal would be one that the bridge cannot read.
        "m.room.encryption": 100,
        # Who may change the chat at the network may do so here.
        "m.room.name": ADMIN_LEVEL,
        "m.room.topic": ADMIN_LEVEL,
        "m.room.avatar": ADMIN_LEVEL,
        "m.room.power_levels": ADMIN_LEVEL,
        "m.room.join_rules": 100,
        "m.room.history_visibility": 100,
        "m.room.tombstone": 150 if shape.room_version not in CREATOR_IN_POWER_LEVELS else 100,
        "m.bridge": 100,
        "uk.half-shot.bridge": 100,
        ROOM_FEATURES: 100,
        "io.element.functional_members": 100,
    }
    users = {shape.bot: 100} if shape.room_version in CREATOR_IN_POWER_LEVELS else {}
    return {
        "events_default": 0,
        "state_default": 50,
        "users_default": 0,
        "invite": 50,
        "kick": 50,
        "ban": 50,
        "redact": 50,
        "users": users,
        "notifications": {"room": ROOM_LEVEL},
        "events": reserved,
    }


def bridge_state(shape: RoomShape) -> list[tuple[str, str, JSON]]:
    """(type, state key, content) of what says which chat of which network the room is."""
    info, state_key = bridge_info(shape), bridge_state_key(shape.network_id, shape.key)
    return [("m.bridge", state_key, info), ("uk.half-shot.bridge", state_key, info)]


def wanted_state(shape: RoomShape) -> list[tuple[str, str, JSON]]:
    """(type, state key, content) of everything that the bridge keeps true in the room."""
    state: list[tuple[str, str, JSON]] = [
        *bridge_state(shape),
        # Clients leave the bot out where they name a room after its members.
        ("io.element.functional_members", "", {"service_members": [shape.bot]}),
    ]
    if shape.name:
        state.append(("m.room.name", "", {"name": clean(shape.name)}))
    if shape.topic:
        state.append(("m.room.topic", "", {"topic": clean(shape.topic)}))
    if shape.avatar_mxc:
        state.append(("m.room.avatar", "", {"url": shape.avatar_mxc}))
    return state


def create_body(shape: RoomShape, alias_localpart: str, invite: list[UserID]) -> JSON:
    """The createRoom body. Never ``trusted_private_chat``: that would make the invited people creators too."""
    body: JSON = {
        "preset": "private_chat",
        "visibility": "private",
        "room_alias_name": alias_localpart,
        "invite": invite,
        "is_direct": shape.dm,
        "power_level_content_override": power_levels(shape),
        "initial_state": [
            {"type": type, "state_key": state_key, "content": content}
            for type, state_key, content in wanted_state(shape)
            if type not in ("m.room.name", "m.room.topic")
        ],
    }
    if shape.room_version:
        body["room_version"] = shape.room_version
    if shape.name:
        body["name"] = clean(shape.name)
    if shape.topic:
        body["topic"] = clean(shape.topic)
    return body


def is_wanted(current: JSON | None, wanted: JSON) -> bool:
    """Whether the state already says what we want (other keys may stay)."""
    return current is not None and all(current.get(key) == value for key, value in wanted.items())


def clean(text: str) -> str:
    """Text that every homeserver's JSON and database take: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def known_room(room: RoomID | None) -> RoomID:
    """The room of a portal that is ready; a missing one is a programming error."""
    if room is None:
        raise ValueError("the portal has no room yet")
    return room
