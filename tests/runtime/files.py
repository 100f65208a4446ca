"""What people see of a room's files."""

from __future__ import annotations

from typing import Any

from bridgekit.model.ids import ContentURI, RoomID
from bridgekit.testing.harness import Harness

JSON = dict[str, Any]


def shown(harness: Harness, room: RoomID) -> list[JSON]:
    """What the events of our ghosts show now, in their order: edited as clients do, and without what is redacted."""
    homeserver = harness.homeserver
    latest: dict[str, JSON] = {}
    for event in homeserver.rooms[room].timeline:
        if event["sender"] not in homeserver.users or event["type"] not in ("m.room.message", "m.sticker"):
            continue
        relation = event["content"].get("m.relates_to", {})
        if relation.get("rel_type") == "m.replace":
            assert event["content"]["m.mentions"] == {}
            if relation["event_id"] in latest:
                latest[relation["event_id"]] = event["content"]["m.new_content"]
        else:
            latest[event["event_id"]] = event["content"]
    return [content for id, content in latest.items() if id not in homeserver.redacted]


def bytes_of(harness: Harness, content: JSON) -> bytes | None:
    """The file that an event shows; None while it is not there."""
    return harness.homeserver.files[ContentURI(content["url"])].data


def words(harness: Harness, room: RoomID) -> list[str | bytes | None]:
    """Texts as text, files as their bytes."""
    return [bytes_of(harness, each) if "url" in each else each["body"] for each in shown(harness, room)]


async def settled(harness: Harness, room: RoomID, *expected: str | bytes) -> None:
    """Wait until the room shows this behind its first ``hello``, and no job is left."""
    await harness.until(lambda: words(harness, room) == ["hello", *expected])
    for _ in range(100):
        if not await harness.store.media_jobs():
            return
        await harness.settle(1)
    raise AssertionError("a job never ended")
