"""What people see in a room and in a chat, once edits, reactions and deletions are taken into account. Pure; shares
nothing with the code under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bridgekit.testing.api import Json
from bridgekit.testing.client import ClientEvent
from example_bridge.webchat.client import DeleteEvent, Event, MessageEvent, ReactionEvent
from tests.chaos.judge import Reactions
from tests.chaos.words import Piece, read

_SELECTOR = "\ufe0f"
"""The same emoji with and without it are one."""


FILE_TYPES = frozenset({"m.file", "m.image", "m.video", "m.audio"})


class RoomFile(msgspec.Struct, frozen=True):
    """A file as a room's event shows it; `size` is what that says."""

    name: str
    size: int | None
    mxc: str


class RoomShown:
    """A room as clients show it. `account` is whom of the network a Matrix user stands for."""

    def __init__(self, timeline: Sequence[ClientEvent], account: Callable[[str], str]) -> None:
        self.messages: list[ClientEvent] = []
        """What is no edit, oldest first; also what is deleted, which has no content any more."""
        self._edits: dict[str, list[ClientEvent]] = {}
        self._reactions: dict[str, set[tuple[str, str]]] = {}
        for event in timeline:
            relation = event.content.get("m.relates_to", {})
            kind, target = relation.get("rel_type"), relation.get("event_id", "")
            if event.type == "m.reaction" and kind == "m.annotation":  # one that is taken back has no relation
                emoji = str(relation.get("key")).replace(_SELECTOR, "")
                self._reactions.setdefault(target, set()).add((account(event.sender), emoji))
            elif event.type == "m.room.message" and kind == "m.replace":
                self._edits.setdefault(target, []).append(event)
            elif event.type == "m.room.message":
                self.messages.append(event)

    def piece(self, message: ClientEvent) -> Piece | None:
        """What it says now; None if it is deleted."""
        if message.body is None:
            return None
        return read(str(self._now(message).get("body", "")))

    def _now(self, message: ClientEvent) -> Json:
        """Its content, edited."""
        edits = [edit for edit in self._edits.get(message.event_id, []) if edit.sender == message.sender]
        if not edits:
            return dict(message.content)
        # Spec, "Applying m.new_content to the original event": the latest origin_server_ts, then the larger event id.
        last = max(edits, key=lambda edit: (edit.origin_server_ts, edit.event_id))
        return dict(last.content.get("m.new_content", {}))

    def file(self, message: ClientEvent) -> RoomFile | None:
        """The file that it shows now; None if it shows none, though it may be about one."""
        content = self._now(message)
        if content.get("msgtype") not in FILE_TYPES or not isinstance(content.get("url"), str):
            return None
        info = content.get("info", {})
        return RoomFile(str(content.get("filename", content.get("body"))), info.get("size"), content["url"])

    def reactions(self, event_id: str) -> Reactions:
        """Those that are there now."""
        return frozenset(self._reactions.get(event_id, ()))


class ChatShown:
    """A chat as the network has it, from its whole history."""

    def __init__(self, history: Sequence[Event]) -> None:
        self.all_messages: list[MessageEvent] = []
        """With the texts that they have now; also what is deleted."""
        self._reactions: dict[str, set[tuple[str, str]]] = {}
        for event in history:
            match event:
                case MessageEvent():
                    self.all_messages.append(event)
                case ReactionEvent():
                    emoji = (event.actor, event.emoji.replace(_SELECTOR, ""))
                    there = self._reactions.setdefault(event.target, set())
                    if event.added:
                        there.add(emoji)
                    else:
                        there.discard(emoji)
                case DeleteEvent():
                    self._reactions.pop(event.target, None)

    @property
    def messages(self) -> list[MessageEvent]:
        """Those that are not deleted."""
        return [event for event in self.all_messages if not event.message.deleted]

    def reactions(self, message: str) -> Reactions:
        """Those that are there now."""
        return frozenset(self._reactions.get(message, ()))
