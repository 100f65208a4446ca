"""Message status events: how a message fares on its way to the network, for clients that show it beside the message.

The schema is that of ``com.beeper.message_send_status`` (mautrix.types, `BeeperMessageStatusEventContent`). Other
clients ignore the type, which has no place in the specification yet.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from bridgekit.core.rooms import clean
from bridgekit.model.ids import EventID

STATUS_TYPE = "com.beeper.message_send_status"


class SendState(StrEnum):
    """What a status event says. A client may offer to send again what failed as retriable."""

    SUCCESS = "SUCCESS"
    PENDING = "PENDING"
    RETRIABLE = "FAIL_RETRIABLE"
    PERMANENT = "FAIL_PERMANENT"


RETRIABLE_CODES = frozenset({"transient", "connection", "auth_failed", "no_login"})
"""Ends after which the same thing may go through later. An uncertain one is not among them: it may be there already."""

_REASONS = {
    "not_supported": "com.beeper.unsupported_event",
    "encrypted": "com.beeper.undecryptable_event",
    "transient": "m.event_too_old",
    "connection": "m.event_too_old",
    "forbidden": "m.no_permission",
    "no_login": "m.no_permission",
    "auth_failed": "m.no_permission",
    "rejected": "m.foreign_network_error",
    "uncertain": "m.foreign_network_error",
}


def failed_state(code: str) -> SendState:
    """How an ending with this code is shown."""
    return SendState.RETRIABLE if code in RETRIABLE_CODES else SendState.PERMANENT


def status_content(
    event_id: EventID, state: SendState, *, network: str, code: str = "", words: str = ""
) -> dict[str, Any]:
    """What a status event about `event_id` says. `network`: its id. `code`: the ending's. `words`: for the person."""
    content: dict[str, Any] = {
        "network": network,
        "m.relates_to": {"rel_type": "m.reference", "event_id": event_id},
        "status": state.value,
    }
    if state in (SendState.RETRIABLE, SendState.PERMANENT):
        content["reason"] = _REASONS.get(code, "m.event_not_handled")
    if words:
        content["message"] = clean(words)
    return content


class About(msgspec.Struct, frozen=True):
    """What an event is to the person who sent it, in a word, and the message that it is about."""

    word: str
    event_id: EventID


class _Relation(msgspec.Struct):
    rel_type: str = ""
    event_id: str = ""


class _Content(msgspec.Struct):
    relation: _Relation = msgspec.field(name="m.relates_to", default_factory=_Relation)


class _Event(msgspec.Struct):
    content: _Content = msgspec.field(default_factory=_Content)


_decode = msgspec.json.Decoder(_Event).decode


_CHANGES = {
    "m.room.member": "change of who is in this chat",
    "m.room.name": "change of the chat's name",
    "m.room.topic": "change of the chat's topic",
    "m.room.avatar": "change of the chat's picture",
    "m.room.power_levels": "change of people's roles",
}


def about(type: str, event_id: EventID, raw: bytes, *, redacts: EventID | None = None) -> About:
    """What an event of this type is. An answer to it goes to the message that it changes: clients cannot show an
    edit or a reaction that is answered. Never raises."""
    if type in _CHANGES:
        return About(_CHANGES[type], event_id)
    if type == "m.room.redaction":
        return About("deletion", redacts or event_id)
    try:
        relation = _decode(raw).content.relation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        relation = _Relation()
    if type == "m.reaction":
        return About("reaction", EventID(relation.event_id or event_id))
    if relation.rel_type == "m.replace" and relation.event_id:
        return About("edit", EventID(relation.event_id))
    return About("message", event_id)
