"""What the two ends hold: the rooms as their people see them, the chats as the network has them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bridgekit.testing.client import ClientEvent
from example_bridge.webchat.client import Message, MessageEvent, WebchatClient
from tests.chaos.files import Shown, sha256_of
from tests.chaos.judge import Accepted, Arrived, Reactions, Report, Way
from tests.chaos.load import Chat, Load
from tests.chaos.person import Person, Said
from tests.chaos.shown import ChatShown, RoomFile, RoomShown
from tests.chaos.words import read
from tests.chaos.world import World

_REPORTS: dict[str, Report] = {
    "Your message may not have been sent": "uncertain",
    "Your message was not sent": "failed",
}
_REFUSED = re.compile(r"Your (edit|reaction|deletion) (was not|may not have been) (sent|carried out)")
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
    return {
        target: (report, event.origin_server_ts)
        for target, event in _said_of(events, bot)
        for words, report in _REPORTS.items()
        if (event.body or "").startswith(words)
    }


def refused_of(events: list[ClientEvent], bot: str) -> dict[str, list[str]]:
    """Event id of a message -> what the bot said of changes to it that did not cross."""
    found: dict[str, list[str]] = {}
    for target, notice in _said_of(events, bot):
        if _REFUSED.match(notice.body or ""):
            found.setdefault(target, []).append(notice.body or "")
    return found


def _said_of(events: list[ClientEvent], bot: str) -> Iterator[tuple[str, ClientEvent]]:
    for event in events:
        target = event.content.get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id")
        if event.sender == bot and isinstance(target, str):
            yield target, event


class Ends:
    """Reads both ends, while the traffic drains and at the end."""

    def __init__(self, world: World, load: Load) -> None:
        self._world = world
        self._load = load
        self._seen: set[str] = set()
        self._read_to: dict[str, int] = {}
        self._hashes: dict[str, str] = {}  # of files that were whole once they were read

    async def missing(self) -> list[str]:
        """Tokens of messages of which the far end has seen nothing so far, and whose sender was told nothing: quickly
        asked, and again and again."""
        for chat in self._load.chats.values():
            async for event in chat.reader.history(chat.id, after=self._read_to.get(chat.id, 0)):
                self._read_to[chat.id] = event.seq
                if isinstance(event, MessageEvent):
                    self._seen.add(read(event.message.text).token)
        on_matrix: set[str] = set()
        reported: set[str] = set()
        for person in self._world.people:
            for there in person.client.events:
                if there.type == "m.room.message" and there.sender != person.client.user_id:
                    on_matrix.add(read(there.body or "").token)
            reported |= reports_of(person.client.events, self._world.slot.bot).keys()
        missing = [
            told.token
            for chat in self._load.chats.values()
            for voice in chat.webchat_voices
            for told in voice.said
            if not told.deleted and told.token not in on_matrix
        ]
        for person in self._world.people:
            missing += [
                said.token
                for said in person.said
                if not said.deleted and said.token not in self._seen and said.event_id not in reported
            ]
        return missing

    async def ways(self) -> tuple[list[Way], list[str]]:
        """Everything, room by room in both directions; and what is wrong with the rooms themselves."""
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
            history = ChatShown([event async for event in chat.reader.history(chat.id)])
            if len(timelines) != 1:
                problems.append(f"chat {chat.id} has {len(timelines)} rooms: {', '.join(timelines)}")
            for room, timeline in timelines.items():
                ways.append(await self._from_matrix(chat, room, timeline, history, seen_in[room][0], late[room]))
            room, timeline = next(iter(timelines.items()), ("no room", []))
            viewer = seen_in[room][0] if room in seen_in else self._world.people[0]
            for other in list(timelines.values())[1:]:
                timeline = timeline + other
            ways.append(await self._from_webchat(chat, room, timeline, history, viewer))
        for person in self._world.people:
            for room, mirrored in person.rooms.items():
                if mirrored not in self._load.chats:
                    problems.append(f"room {room} mirrors {mirrored!r}, which is no chat")
        return ways, problems

    async def _from_matrix(
        self, chat: Chat, room: str, timeline: list[ClientEvent], history: ChatShown, viewer: Person, late: int
    ) -> Way:
        stream = viewer.stream_order()
        senders = {person.client.user_id: person.account.id for person in self._world.people}
        said: dict[str, Said] = {said.event_id: said for person in self._world.people for said in person.said}
        tokens = {token: each for each in said.values() if (token := each.token)}
        shown = RoomShown(timeline, self._account)
        accepted = []
        for event in shown.messages:
            if event.sender not in senders:
                continue
            piece = shown.piece(event)
            # One that its homeserver took twice is known by its text alone.
            mine = said.get(event.event_id) or tokens.get(piece.token if piece is not None else "")
            if mine is None:
                continue
            accepted.append(
                Accepted(
                    id=event.event_id,
                    token=mine.token,
                    words=piece.last + 1 if piece is not None else mine.words,
                    sender=senders[event.sender],
                    at=event.origin_server_ts,
                    stream=stream.get(event.event_id),
                    revision=piece.revision if piece is not None else mine.revision,
                    deleted=piece is None,
                    reactions=shown.reactions(event.event_id),
                    file=mine.file.shown if mine.file is not None else None,
                )
            )
        arrived: list[Arrived] = []
        reactions: dict[str, Reactions] = {}
        for seen in history.messages:
            piece = read(seen.message.text)
            # If the chat has several rooms: what was said in another one is not this one's.
            if piece.token.startswith("w") or (piece.token in tokens and tokens[piece.token].room != room):
                continue
            message = seen.message
            files = await self._files_of(message, chat.reader)
            arrived.append(
                Arrived(id=message.id, piece=piece, sender=message.sender, at=message.timestamp, files=files)
            )
            reactions[piece.token] = reactions.get(piece.token, frozenset()) | history.reactions(message.id)
        return Way(
            name=f"{room} -> chat {chat.id}",
            accepted=accepted,
            arrived=arrived,
            reports=reports_of(timeline, self._world.slot.bot),
            refused=refused_of(timeline, self._world.slot.bot),
            late=late,
            room=room,
            reactions=reactions,
        )

    async def _from_webchat(
        self, chat: Chat, room: str, timeline: list[ClientEvent], history: ChatShown, viewer: Person
    ) -> Way:
        slot = self._world.slot
        told = {told.id: told for voice in chat.webchat_voices for told in voice.said}
        accepted = []
        for event in history.all_messages:
            message, mine = event.message, told.get(event.message.id)
            if mine is None:
                continue
            piece = read(message.text)
            accepted.append(
                Accepted(
                    id=message.id,
                    token=mine.token,
                    words=piece.last + 1,
                    sender=slot.ghost(message.sender),
                    at=message.timestamp,
                    revision=piece.revision,
                    deleted=message.deleted,
                    reactions=history.reactions(message.id),
                    file=mine.file.shown if mine.file is not None else None,
                )
            )
        shown = RoomShown(timeline, self._account)
        arrived: list[Arrived] = []
        reactions: dict[str, Reactions] = {}
        refused: dict[str, list[str]] = {}
        by_token = {each.token: each.id for each in accepted}
        words = refused_of(timeline, slot.bot)
        for seen in shown.messages:
            piece_there = shown.piece(seen)
            if piece_there is None or not seen.sender.startswith(self._ghosts):
                continue
            token = piece_there.token
            file = shown.file(seen)
            arrived.append(
                Arrived(
                    id=seen.event_id,
                    piece=piece_there,
                    sender=seen.sender,
                    at=seen.origin_server_ts,
                    files=(await self._file_of(file, viewer),) if file is not None else (),
                )
            )
            reactions[token] = reactions.get(token, frozenset()) | shown.reactions(seen.event_id)
            if seen.event_id in words and token in by_token:
                refused.setdefault(by_token[token], []).extend(words[seen.event_id])
        return Way(
            name=f"chat {chat.id} -> {room}",
            accepted=accepted,
            arrived=arrived,
            refused=refused,
            reactions=reactions,
        )

    async def _files_of(self, message: Message, reader: WebchatClient) -> tuple[Shown, ...]:
        """The files of a message at the network."""
        found = []
        for file in message.files:
            if file.state == "there" and file.id not in self._hashes:
                digest = hashlib.sha256()
                async with reader.open_file(file.id, wait_ms=0) as download:
                    async for piece in download.chunks:
                        digest.update(piece)
                self._hashes[file.id] = digest.hexdigest()
            found.append(Shown(file.name, file.size, self._hashes.get(file.id, "")))
        return tuple(found)

    async def _file_of(self, file: RoomFile, viewer: Person) -> Shown:
        """A file in a room."""
        if file.mxc not in self._hashes and (data := await viewer.fetch(file.mxc)) is not None:
            self._hashes[file.mxc] = sha256_of(data)
        return Shown(file.name, file.size, self._hashes.get(file.mxc, ""))

    @property
    def _ghosts(self) -> str:
        slot = self._world.slot
        return slot.ghost("")[: -len(f":{slot.server_name}")]

    def _account(self, user: str) -> str:
        """Whose account of the network a Matrix user stands for."""
        for person in self._world.people:
            if person.client.user_id == user:
                return person.account.id
        return user.removeprefix(self._ghosts).removesuffix(f":{self._world.slot.server_name}")

    async def forgotten_by_homeserver(self) -> list[str]:
        """Events that the homeserver answered with an id and then does not have: no fault of a bridge, but nothing else
        could be trusted then."""
        forgotten = []
        for person in self._world.people:
            held = {event.event_id for room in person.rooms for event in await person.timeline(room)}
            forgotten += [
                f"Synapse has lost {said.event_id} ({said.token})" for said in person.said if said.event_id not in held
            ]
            forgotten += [f"Synapse has lost {change}, a change" for change in person.changes if change not in held]
        return forgotten
