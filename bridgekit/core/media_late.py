"""When words must take a file's place, because its bytes take longer than clients wait for them."""

from __future__ import annotations

from bridgekit.core.media_contents import FileEvent
from bridgekit.core.reservation import Place

AFTER_MS = 15_000
"""A client that looks meanwhile is told after 20 s that there is no file (spec: ``timeout_ms`` of downloads), and does
not ask again by itself. Less than that, so that whoever looks before this is over gets bytes or words."""

FETCHED = frozenset({"m.image", "m.video", "m.audio"})
"""The kinds that clients fetch in order to show the message; others when they are asked for."""


def words_at(event: FileEvent, place: Place | None, posted_at: int) -> int | None:
    """When (ms) that must be for the event of a file that is still to come; it is in the room since `posted_at`. None:
    never: there are words already, or nobody fetches it unasked, or it is a sticker, of which clients know no edits."""
    if place is None or event.note or event.base.get("msgtype") not in FETCHED:
        return None
    return max(posted_at, place.since) + AFTER_MS
