"""What the two ends hold: the rooms as their people see them, the chats as the network has them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from bridgekit.testing.client import ClientEvent
from example_bridge.webchat.client import MessageEvent
from tests.chaos.judge import Accepted, Arrived, Report, Way
from tests.chaos.load import Chat, Load
from tests.chaos.person import Person, Said
from tests.chaos.words import Piece, read
from tests.chaos.world import World

_REPORTS: dict[str, Report] = {
    "Your message may not have been sent": "uncertain",
    "Your message was not sent": "failed",
}
_LATE = re.compile(r"bridged now \((\d+) of them late\) \[room_id='([^']+)'")


def late_by_room(log: Path) -> Counter[str]:
    """How many messages the gap check says it bridged out of order: the bridge's own words in its log."""
    found: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _LATE.search(line):
            found[match[2]] += int(match[1])
    return found


def reports_of(events: list[ClientEvent], bot: str) -> dict[str, tuple[Report, int]]:
    """Event id -> what the bot told its sender, in a reply to it."""
    found: dict[str, tuple[Report, int]] = {}
    for event in events:
        target = event.content.get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id")
        if event.sender != bot or target is None:
            continue
        for words, report in _REPORTS.items():
            if (event.body or "").startswith(words):
                found[target] = (report, event.origin_server_ts)
    return found


class Ends:
    """Reads both ends, while the traffic drains and at the end."""

    def __init__(self, world: World, load: Load) -> None:
        self._world = world
        self._load = load
        self._history: dict[str, list[tuple[Piece, MessageEvent]]] = {}
        self._read_to: dict[str, int] = {}

    async def read_webchat(self) -> None:
        """Read on in every chat."""
        for chat in self._load.chats.values():
            pieces = self._history.setdefault(chat.id, [])
            async for event in chat.reader.history(chat.id, after=self._read_to.get(chat.id, 0)):
                self._read_to[chat.id] = event.seq
                if isinstance(event, MessageEvent):
                    pieces.append((read(event.message.text), event))

    async def outstanding(self) -> list[str]:
        """Tokens of messages of which the far end does not hold the last word, and whose sender was told nothing."""
        await self.read_webchat()
        ended = {piece.token: piece.last for pieces in self._history.values() for piece, _ in pieces}
        on_matrix: set[str] = set()
        reported: set[str] = set()
        for person in self._world.people:
            for event in person.client.events:
                if event.type == "m.room.message" and event.sender != person.client.user_id:
                    on_matrix.add(read(event.body or "").token)
            reported |= reports_of(person.client.events, self._world.slot.bot).keys()
        missing = [token for token in ended if token.startswith("w") and token not in on_matrix]
        for person in self._world.people:
            missing += [
                said.token
                for said in person.said
                if ended.get(said.token) != said.words - 1 and said.event_id not in reported
            ]
        return missing

    async def ways(self) -> tuple[list[Way], list[str]]:
        """Everything, room by room in both directions; and what is wrong with the rooms themselves."""
        await self.read_webchat()
        problems: list[str] = []
        late = late_by_room(self._world.bridge.log)
        ways: list[Way] = []
        for chat in self._load.chats.values():
            seen_in: dict[str, list[Person]] = {}
            for person in self._world.people:
                for room, mirrored in person.rooms.items():
                    if mirrored == chat.id:
                        seen_in.setdefault(room, []).append(person)
            timelines = {room: await people[0].timeline(room) for room, people in seen_in.items()}
            if len(timelines) != 1:
                problems.append(f"chat {chat.id} has {len(timelines)} rooms: {', '.join(timelines)}")
            for room, timeline in timelines.items():
                ways.append(self._from_matrix(chat, room, timeline, seen_in[room][0], late[room]))
            room, timeline = next(iter(timelines.items()), ("no room", []))
            for other in list(timelines.values())[1:]:
                timeline = timeline + other
            ways.append(self._from_webchat(chat, room, timeline))
        for person in self._world.people:
            for room, mirrored in person.rooms.items():
                if mirrored not in self._load.chats:
                    problems.append(f"room {room} mirrors {mirrored!r}, which is no chat")
        return ways, problems

    def _from_matrix(self, chat: Chat, room: str, timeline: list[ClientEvent], viewer: Person, late: int) -> Way:
        stream = viewer.stream_order()
        senders = {person.client.user_id: person.account.id for person in self._world.people}
        said: dict[str, Said] = {said.token: said for person in self._world.people for said in person.said}
        accepted = [
            Accepted(
                id=event.event_id,
                token=(piece := read(event.body or "")).token,
                words=said[piece.token].words,
                sender=senders[event.sender],
                at=event.origin_server_ts,
                stream=stream.get(event.event_id),
            )
            for event in timeline
            if event.type == "m.room.message" and event.sender in senders
        ]
        arrived = [
            Arrived(id=event.message.id, piece=piece, sender=event.message.sender, at=event.message.timestamp)
            for piece, event in self._history[chat.id]
            # If the chat has several rooms: what was said in another one is not this one's.
            if not piece.token.startswith("w") and (piece.token not in said or said[piece.token].room == room)
        ]
        return Way(
            name=f"{room} -> chat {chat.id}",
            accepted=accepted,
            arrived=arrived,
            reports=reports_of(timeline, self._world.slot.bot),
            late=late,
            room=room,
        )

    def _from_webchat(self, chat: Chat, room: str, timeline: list[ClientEvent]) -> Way:
        slot = self._world.slot
        ghosts = slot.ghost("")[: -len(f":{slot.server_name}")]
        accepted = [
            Accepted(
                id=event.message.id,
                token=piece.token,
                words=piece.last + 1,
                sender=slot.ghost(event.message.sender),
                at=event.message.timestamp,
            )
            for piece, event in self._history[chat.id]
            if piece.token.startswith("w")
        ]
        arrived = [
            Arrived(id=event.event_id, piece=read(event.body or ""), sender=event.sender, at=event.origin_server_ts)
            for event in timeline
            if event.type == "m.room.message" and event.sender.startswith(ghosts)
        ]
        return Way(name=f"chat {chat.id} -> {room}", accepted=accepted, arrived=arrived)

    def forgotten_by_homeserver(self, ways: list[Way]) -> list[str]:
        """Messages that the homeserver answered with an event id and then does not have: no fault of a bridge, but
        nothing else could be trusted then."""
        held = {message.id for way in ways for message in way.accepted}
        return [
            f"Synapse has lost {said.event_id} ({said.token})"
            for person in self._world.people
            for said in person.said
            if said.event_id not in held
        ]
