"""Status events, and what an answer of the bot is about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridgekit.core.send_status import SendState, about, failed_state, status_content
from bridgekit.model.ids import EventID

EVENT, TARGET = EventID("$e"), EventID("$t")


@pytest.mark.parametrize(
    "code, state",
    [
        ("rejected", SendState.PERMANENT),
        ("not_supported", SendState.PERMANENT),
        ("uncertain", SendState.PERMANENT),
        ("bug", SendState.PERMANENT),
        ("transient", SendState.RETRIABLE),
        ("auth_failed", SendState.RETRIABLE),
        ("something new", SendState.PERMANENT),
    ],
)
def test_what_may_be_tried_again(code: str, state: SendState) -> None:
    assert failed_state(code) is state


def test_the_content() -> None:
    reference = {"rel_type": "m.reference", "event_id": EVENT}
    assert status_content(EVENT, SendState.SUCCESS, network="x") == {
        "network": "x",
        "m.relates_to": reference,
        "status": "SUCCESS",
    }
    assert status_content(EVENT, SendState.PERMANENT, network="x", code="encrypted", words="why") == {
        "network": "x",
        "m.relates_to": reference,
        "status": "FAIL_PERMANENT",
        "reason": "com.beeper.undecryptable_event",
        "message": "why",
    }
    unknown = status_content(EVENT, SendState.RETRIABLE, network="x", code="new")
    assert unknown["reason"] == "m.event_not_handled"


REPLACES = {"m.relates_to": {"rel_type": "m.replace", "event_id": TARGET}}
REACTS = {"m.relates_to": {"rel_type": "m.annotation", "event_id": TARGET, "key": "+"}}


@pytest.mark.parametrize(
    "type, content, word, event_id",
    [
        ("m.room.message", {"body": "x"}, "message", EVENT),
        ("m.room.message", {"m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}, "message", EVENT),
        ("m.room.message", {"m.relates_to": 7}, "message", EVENT),
        ("m.room.message", REPLACES, "edit", TARGET),
        ("m.reaction", REACTS, "reaction", TARGET),
        ("m.reaction", {}, "reaction", EVENT),
        ("m.room.redaction", {}, "deletion", TARGET),
    ],
)
def test_what_it_is_about(type: str, content: dict[str, Any], word: str, event_id: EventID) -> None:
    found = about(type, EVENT, json.dumps({"content": content}).encode(), redacts=TARGET)
    assert (found.word, found.event_id) == (word, event_id)


def test_what_is_no_json_is_a_message() -> None:
    assert about("m.room.message", EVENT, b"{").word == "message"
