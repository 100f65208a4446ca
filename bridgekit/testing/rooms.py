"""The rooms of `bridgekit.testing.homeserver.FakeHomeserver`, and what people do in them."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridgekit.core.transaction import read_event
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import RawEvent

JSON = dict[str, Any]


@dataclass
class FakeRoom:
    """A room: who is in it, its state, and everything that was said. Its creator may do anything (room version 12)."""

    id: RoomID
    creator: UserID | None = None
    members: dict[UserID, str] = field(default_factory=dict)
    state: dict[tuple[str, str], JSON] = field(default_factory=dict)
    timeline: list[JSON] = field(default_factory=list)

    def power(self, user: UserID) -> float:
        if user == self.creator:
            return math.inf
        levels = self.state.get(("m.room.power_levels", ""), {})
        return float(levels.get("users", {}).get(user, levels.get("users_default", 0)))

    def may_remove(self, by: UserID, target: UserID, needs: Collection[str]) -> bool:
        """Whether one may kick, ban or unban the other; `needs`: the ``m.room.power_levels`` keys of what it takes."""
        levels = self.state.get(("m.room.power_levels", ""), {})
        has = self.power(by)
        return has > self.power(target) and all(has >= levels.get(need, 50) for need in needs)

    def may_set(self, user: UserID, type: str) -> bool:
        """Whether somebody may set state of this type. Of the defaults for single types, a few are left out."""
        levels = self.state.get(("m.room.power_levels", ""))
        if levels is None:  # spec: "If the room contains no m.room.power_levels event, the state_default is 0"
            return True
        needs = 100 if type == "m.room.power_levels" else levels.get("state_default", 50)
        return self.power(user) >= float(levels.get("events", {}).get(type, needs))

    def redact(self, event_id: EventID, by: UserID) -> bool:
        """Empty an event, if it is there; False if that is not allowed."""
        for number, event in enumerate(self.timeline):
            if event["event_id"] == event_id:
                needs = self.state.get(("m.room.power_levels", ""), {}).get("redact", 50)
                if event["sender"] != by and self.power(by) < needs:
                    return False
                self.timeline[number] = {**event, "content": {}}
        return True


class People:
    """The half of the fake that people use: they make rooms, come and go, and write; and what they see."""

    def __init__(self, bot: UserID) -> None:
        self.bot = bot
        self.rooms: dict[RoomID, FakeRoom] = {}
        self.users: set[UserID] = set()
        self.sent: list[JSON] = []
        """All events as they were sent, also those that were redacted since."""
        self.outbox: deque[JSON] = deque()
        self.pushed = asyncio.Event()
        self._count = 0

    # --- rooms and who is in them -----------------------------------------------------------------------------------
    def add_room(self, *members: UserID, encrypted: bool = False) -> RoomID:
        """A room that the first of these people made; all are in it."""
        room = self._new_room(*members)
        if encrypted:
            room.state["m.room.encryption", ""] = {"algorithm": "m.megolm.v1.aes-sha2"}
        return room.id

    def invite_bot(self, user: UserID, *, encrypted: bool = False) -> RoomID:
        """A person opens a room with the bot, who then may do there what the person may (``trusted_private_chat``)."""
        room = self.add_room(user, encrypted=encrypted)
        self.rooms[room].state["m.room.power_levels", ""] = {"users": {user: 100, self.bot: 100}}
        self.set_membership(room, user, self.bot, "invite")
        return room

    def invite_ghost(self, user: UserID, ghost: UserID, *, room: RoomID | None = None, **more: Any) -> RoomID:
        """A person opens a room, or uses one, and invites a ghost."""
        where = room or self.add_room(user, **more)
        self.set_membership(where, user, ghost, "invite", is_direct=True)
        return where

    def join_person(self, room: RoomID, user: UserID) -> None:
        """A person accepts an invitation."""
        self.set_membership(room, user, user, "join")

    def set_membership(self, room: RoomID, by: UserID, target: UserID, membership: str, **content: Any) -> EventID:
        """Somebody joins or leaves (`by` is `target`), or is invited, kicked, banned, unbanned by another. Nothing asks
        whether that is allowed."""
        before = self.rooms[room].members.get(target)
        self.rooms[room].members[target] = membership
        unsigned = {} if before is None else {"prev_content": {"membership": before}}
        content = {"membership": membership, **content}
        return self.emit(room, by, "m.room.member", content, state_key=target, unsigned=unsigned)

    def remove(self, room: RoomID, user: UserID) -> None:
        """Somebody is out, and the bridge is not told."""
        self.rooms[room].members[user] = "leave"

    # --- what they say and see --------------------------------------------------------------------------------------
    def say(self, room: RoomID, user: UserID, body: str, **content: Any) -> EventID:
        """A person writes."""
        return self.emit(room, user, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    def set_state(self, room: RoomID, user: UserID, type: str, content: JSON, state_key: str = "") -> EventID:
        """A person changes the room's state: its name, its topic ..."""
        before = self.rooms[room].state.get((type, state_key))
        self.rooms[room].state[type, state_key] = content
        unsigned = {} if before is None else {"prev_content": before}
        return self.emit(room, user, type, content, state_key=state_key, unsigned=unsigned)

    def emit(self, room: RoomID, user: UserID, type: str, content: JSON, **more: Any) -> EventID:
        """A person sends any event. `more` goes to the top level."""
        return self._event(self.rooms[room], user, type, content, **more)

    def bodies(self, room: RoomID, *, notices: bool = False) -> list[str]:
        """What our users said in a room: the messages, or the bot's notices."""
        wanted = "m.notice" if notices else "m.text"
        return [
            event["content"]["body"]
            for event in self.rooms[room].timeline
            if event["type"] == "m.room.message" and event["content"].get("msgtype") == wanted  # empty: redacted
            if event["sender"] in self.users or event["sender"] == self.bot
        ]

    # --- inside -----------------------------------------------------------------------------------------------------
    def _new_room(self, *members: UserID) -> FakeRoom:
        self._count += 1
        room = FakeRoom(RoomID(f"!room{self._count}"), creator=members[0] if members else None)
        room.members.update(dict.fromkeys(members, "join"))
        self.rooms[room.id] = room
        return room

    def _event(self, room: FakeRoom, sender: UserID, type: str, content: JSON, **more: Any) -> EventID:
        self._count += 1
        event = {
            "event_id": f"$event{self._count}",
            "room_id": room.id,
            "sender": sender,
            "type": type,
            "content": content,
            "origin_server_ts": 1_700_000_000_000 + self._count,
            **more,
        }
        room.timeline.append(event)
        self.sent.append(event)
        self.outbox.append(event)
        self.pushed.set()
        return EventID(event["event_id"])


def bundled(event: JSON, timeline: Sequence[JSON], redacted: Collection[EventID]) -> JSON:
    """The event as the homeserver answers it (spec: Aggregations of child events): with its latest edit and the end of
    its thread, or without its content if it was redacted."""
    because = next((each for each in timeline if _redacts(each, event["event_id"])), None)
    if because is not None:
        return {**event, "content": {}, "unsigned": {"redacted_because": because}}
    if event["event_id"] in redacted:
        return {**event, "content": {}}
    found: dict[str, list[JSON]] = {"m.replace": [], "m.thread": []}
    for each in timeline:
        relation = each["content"].get("m.relates_to")
        if isinstance(relation, dict) and relation.get("event_id") == event["event_id"]:
            kind = relation.get("rel_type")
            if isinstance(kind, str) and kind in found and each["event_id"] not in redacted:
                found[kind].append(each)
    # Spec, "Validity of replacement events" and "Server-side aggregation of m.replace relationships".
    edits = [each for each in found["m.replace"] if (each["sender"], each["type"]) == (event["sender"], event["type"])]
    relations: JSON = {}
    if edits:
        relations["m.replace"] = max(edits, key=lambda each: (each["origin_server_ts"], each["event_id"]))
    if found["m.thread"]:
        relations["m.thread"] = {"latest_event": found["m.thread"][-1], "count": len(found["m.thread"])}
    return {**event, "unsigned": {**event.get("unsigned", {}), "m.relations": relations}} if relations else event


def _redacts(event: JSON, event_id: EventID) -> bool:
    target: object = event["content"].get("redacts", event.get("redacts"))
    return event["type"] == "m.room.redaction" and target == event_id


def raw(event: JSON) -> RawEvent:
    """The event as the bridge reads it."""
    read = read_event(json.dumps(event).encode())
    assert isinstance(read, RawEvent)
    return read
