"""What a reader of a chat's events knows: the events folded into a state, as PROTOCOL.md tells clients to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from example_bridge.webchat.client import (
    ChatDeletedEvent,
    ChatEvent,
    DeleteEvent,
    EditEvent,
    Event,
    File,
    Location,
    MediaEvent,
    MemberEvent,
    Mention,
    MessageEvent,
    ReactionEvent,
    RoleEvent,
    Span,
)


@dataclass
class Said:
    """A message as it is now."""

    sender: str
    text: str = ""
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()
    revision: int = 0
    deleted: bool = False
    files: tuple[File, ...] = ()
    location: Location | None = None
    reactions: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class State:
    """A chat as it is now, and the seq up to which that is so."""

    seq: int = 0
    name: str = ""
    topic: str = ""
    over: bool = False
    members: set[str] = field(default_factory=set)
    roles: dict[str, str] = field(default_factory=dict)
    messages: dict[str, Said] = field(default_factory=dict)

    def take_all(self, events: Iterable[Event]) -> State:
        for event in events:
            self.take(event)
        return self

    def take(self, event: Event) -> None:
        if event.seq <= self.seq:
            return  # a repeat
        assert event.seq == self.seq + 1, f"event {event.seq} after {self.seq}"
        self.seq = event.seq
        match event:
            case MessageEvent(message=told):
                self.messages[told.id] = Said(
                    told.sender,
                    told.text,
                    told.format,
                    told.mentions,
                    told.revision,
                    told.deleted,
                    told.files,
                    told.location,
                )
            case EditEvent() if not event.superseded:
                message = self.messages[event.target]
                if event.revision >= message.revision and not message.deleted:
                    message.text, message.format, message.mentions = event.text, event.format, event.mentions
                    message.revision = event.revision
            case DeleteEvent(target=target):
                gone = self.messages[target]
                self.messages[target] = Said(gone.sender, revision=gone.revision, deleted=True)
            case ReactionEvent(target=target, actor=actor, emoji=emoji, added=added):
                reactions = self.messages[target].reactions
                (reactions.add if added else reactions.discard)((actor, emoji))
            case MediaEvent(target=target):
                self.messages[target].files = tuple(
                    msgspec.structs.replace(
                        file, state=event.state, size=event.size, mimetype=file.mimetype or event.mimetype
                    )
                    if file.id == event.file
                    else file
                    for file in self.messages[target].files
                )
            case ChatEvent(info=info):
                self.name, self.topic = info.name, info.topic
            case ChatDeletedEvent():
                self.over = True
            case MemberEvent(member=member, membership="join", role=role):
                self.members.add(member.id)
                self.roles.pop(member.id, None)
                if role != "member":
                    self.roles[member.id] = role
            case MemberEvent(member=member, membership="leave" | "ban"):
                self.members.discard(member.id)
                self.roles.pop(member.id, None)
            case RoleEvent(roles=roles):
                self.roles = dict(roles)

    def visible(self) -> dict[str, Said]:
        """The messages as a person sees them: what stands at a deleted one does not count."""
        return {id: said if not said.deleted else Said(said.sender, deleted=True) for id, said in self.messages.items()}
