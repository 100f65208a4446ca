"""Changes from the network, and what a room shows after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, EventID, PortalKey, RemoteMessageID, RemoteUserID, RoomID
from bridgekit.model.remote import RemoteDelete, RemoteEdit, RemoteReaction
from bridgekit.runtime.catching_up import CatchUpRules
from bridgekit.testing.harness import Harness

CHAT = PortalKey(ChatID("chat"))
T0 = 1_700_000_000_000

NEVER_OLD = CatchUpRules(older_than_ms=10**13)
"""For tests in which days pass."""


def edit(target: str, text: str | Text, revision: str = "r1", *, sender: str = "friend", **more: Any) -> RemoteEdit:
    return RemoteEdit(
        **{
            "portal": CHAT,
            "target": RemoteMessageID(target),
            "revision": revision,
            "sender": RemoteUserID(sender),
            "timestamp": T0,
            "text": text if isinstance(text, Text) else Text(text),
            **more,
        }
    )


def delete(target: str, *, sender: str | None = "friend", **more: Any) -> RemoteDelete:
    who = None if sender is None else RemoteUserID(sender)
    return RemoteDelete(**{"portal": CHAT, "target": RemoteMessageID(target), "timestamp": T0, "sender": who, **more})


def react(target: str, emoji: str, occurrence: str = "", *, sender: str = "friend", **more: Any) -> RemoteReaction:
    return RemoteReaction(
        **{
            "portal": CHAT,
            "target": RemoteMessageID(target),
            "sender": RemoteUserID(sender),
            "timestamp": T0,
            "emoji": emoji,
            "occurrence": occurrence,
            **more,
        }
    )


def unreact(target: str, emoji: str, occurrence: str = "", **more: Any) -> RemoteReaction:
    return react(target, emoji, occurrence, added=False, **more)


def events(harness: Harness, room: RoomID, type: str = "m.room.message") -> list[dict[str, Any]]:
    """What is in the room of one type and was not redacted, the bot's words aside."""
    gone = set(harness.homeserver.redacted)
    return [
        event
        for event in harness.homeserver.rooms[room].timeline
        if event["type"] == type and event["event_id"] not in gone and event["sender"] != harness.homeserver.bot
    ]


def latest(harness: Harness, room: RoomID) -> list[str]:
    """What people see in the room: each message with its latest text, if the same person edited it."""
    seen: dict[EventID, tuple[str, str]] = {}
    for event in events(harness, room):
        relation = event["content"].get("m.relates_to", {})
        if relation.get("rel_type") != "m.replace":
            seen[event["event_id"]] = (event["sender"], event["content"]["body"])
        elif relation["event_id"] in seen and seen[relation["event_id"]][0] == event["sender"]:
            seen[relation["event_id"]] = (event["sender"], event["content"]["m.new_content"]["body"])
    return [body for _, body in seen.values()]


def reactions(harness: Harness, room: RoomID) -> list[tuple[str, str, str]]:
    """The reactions in the room: (who, to which event, emoji)."""
    found = []
    for event in events(harness, room, "m.reaction"):
        relation = event["content"]["m.relates_to"]
        found.append((event["sender"], relation["event_id"], relation["key"]))
    return found


def event_of(harness: Harness, room: RoomID, body: str) -> EventID:
    """The event with these words."""
    (found,) = (event["event_id"] for event in events(harness, room) if event["content"]["body"] == body)
    return EventID(found)


def says(harness: Harness, room: RoomID, words: str, *, unless: asyncio.Event | None = None) -> Callable[[], bool]:
    """Whether the room says this, or the event is set."""
    return lambda: (unless is not None and unless.is_set()) or words in harness.homeserver.bodies(room)
