"""What a portal's network can carry, as clients read it: the state event ``com.beeper.room_features``. Pure.

The names and levels are bridgev2's (mautrix-go, `event.RoomFeatures`); there is no MSC.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from bridgekit.core.reactions import to_matrix_key
from bridgekit.model.content import Style
from bridgekit.model.limits import Limits
from bridgekit.model.media import MediaKind

JSON = dict[str, Any]

ROOM_FEATURES: Final = "com.beeper.room_features"

REJECTED: Final = -2
"""The message is refused, and its sender told."""

FALLBACK: Final = 0
"""The message crosses, and says the same in another way."""

FULL: Final = 2

FORMATTING: Final = {
    Style.BOLD: ("bold",),
    Style.ITALIC: ("italic",),
    Style.UNDERLINE: ("underline",),
    Style.STRIKE: ("strikethrough",),
    Style.CODE: ("inline_code",),
    Style.SPOILER: ("spoiler", "spoiler.reason"),
    Style.LINK: ("inline_link",),
    Style.CODE_BLOCK: ("code_block", "code_block.syntax_highlighting"),
    Style.QUOTE: ("blockquote",),
    Style.HEADING: ("headers",),
    Style.LIST_ITEM: ("unordered_list", "ordered_list", "ordered_list.start"),
}

FILES: Final = {
    MediaKind.FILE: ("m.file",),
    MediaKind.IMAGE: ("m.image", "fi.mau.gif"),
    MediaKind.VIDEO: ("m.video",),
    MediaKind.AUDIO: ("m.audio",),
    MediaKind.VOICE: ("org.matrix.msc3245.voice",),
    MediaKind.STICKER: ("m.sticker",),
}


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a session can do, whatever the portal: change and delete messages, react, take files, be told what was read
    and who is typing; change the chat's name and topic, its picture and people's roles; bring people in and remove
    them, and leave."""

    edits: bool = False
    deletes: bool = False
    reacts: bool = False
    files: bool = False
    receipts: bool = False
    typing: bool = False
    renames: bool = False
    pictures: bool = False
    roles: bool = False
    invites: bool = False
    removes: bool = False
    leaves: bool = False


def room_features(can: Abilities, limits: Limits) -> JSON:
    """The event's content. What is left out is either without a limit or, for kinds of files, refused."""
    content: JSON = {
        "formatting": _formatting(limits),
        "location_message": FULL if limits.locations else REJECTED,
        "poll": REJECTED,
        "reply": FULL if limits.replies else FALLBACK,
        "thread": FULL if limits.threads else FALLBACK,
        "edit": FULL if can.edits else REJECTED,
        "delete": FULL if can.deletes else REJECTED,
        "reaction": FULL if can.reacts else REJECTED,
        "read_receipts": can.receipts,
        "typing_notifications": can.typing,
        "state": _state(can),
        "member_actions": {
            "invite": FULL if can.invites else REJECTED,
            "kick": FULL if can.removes else REJECTED,
            "ban": FULL if can.removes else REJECTED,
            "leave": FULL if can.leaves else FALLBACK,  # the room can be left, and the chat goes on without it
        },
    }
    if can.edits:
        content |= _unless_none("edit_max_age", _seconds(limits.edit_within))
        content |= _unless_none("edit_max_count", limits.edits_per_message)
    if can.deletes:
        content |= _unless_none("delete_max_age", _seconds(limits.delete_within))
    if can.reacts:
        content |= _unless_none("reaction_count", limits.reactions_per_person)
        content["custom_emoji_reactions"] = False  # pictures on Matrix are none at the network
        if limits.reactions is not None:
            content["allowed_reactions"] = sorted(to_matrix_key(emoji) for emoji in limits.reactions)
    if can.files:
        content["file"] = _files(limits)
    return content


def _state(can: Abilities) -> JSON:
    """What people may change of the room."""
    able = {
        "m.room.name": can.renames,
        "m.room.topic": can.renames,
        "m.room.avatar": can.pictures,
        "m.room.power_levels": can.roles,
    }
    return {type: {"level": FULL if can_be else REJECTED} for type, can_be in able.items()}


def _formatting(limits: Limits) -> dict[str, int]:
    found = {
        name: FULL if style in limits.formatting else FALLBACK for style, names in FORMATTING.items() for name in names
    }
    return found | {"user_link": FULL, "at_room_mention": FULL if limits.room_mentions else FALLBACK}


def _files(limits: Limits) -> JSON:
    one: JSON = {"mime_types": {"*/*": FULL}, "caption": FULL if limits.captions else FALLBACK}
    one |= _unless_none("max_size", limits.max_media_size)
    kinds = MediaKind if limits.media is None else limits.media
    return {name: one for kind in MediaKind if kind in kinds for name in FILES[kind]}


def _unless_none(name: str, value: int | None) -> JSON:
    return {} if value is None else {name: value}


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
