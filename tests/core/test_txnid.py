from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.txnid import encode_fields, event_txn_id, is_our_nonce, outgoing_nonce, reply_txn_id
from bridgekit.model.ids import ChatID, EventID, LoginID, PortalKey

anything = st.text(st.characters(codec=None), max_size=8)
few = st.sampled_from(("", "a", "b", "ab", "a\x1fb", "\ud800", "\ud83d\ude00", "\U0001f600", "\x00"))
receivers = st.none() | few
numbers = st.integers(0, 3)
Event = tuple[str, str | None, str, str, str, int, int]
events = st.tuples(few, receivers, few, few, few, numbers, numbers)
SECRET = b"secret"
CHAT = PortalKey(ChatID("chat"))


def txn_id(event: Event) -> str:
    chat, receiver, sender, kind, remote_id, occurrence, part = event
    return event_txn_id(
        portal=PortalKey(ChatID(chat), None if receiver is None else LoginID(receiver)),
        sender=sender,
        kind=kind,
        remote_id=remote_id,
        occurrence=occurrence,
        part=part,
    )


@given(events, events)
def test_different_events_have_different_ids(one: Event, other: Event) -> None:
    assert (txn_id(one) == txn_id(other)) == (one == other)


@given(events, st.integers(0, 6), few | numbers)
def test_each_field_counts(event: Event, index: int, value: str | int) -> None:
    if type(event[index]) is type(value):
        changed = (*event[:index], value, *event[index + 1 :])
        assert (txn_id(event) == txn_id(changed)) == (event == changed)  # type: ignore[arg-type]


@given(anything, anything)
def test_ids_are_safe_in_a_path(remote_id: str, sender: str) -> None:
    assert re.fullmatch(r"bk_[A-Za-z0-9_-]{43}", txn_id((remote_id, None, sender, "message", remote_id, 0, 0)))


def test_ids_never_change() -> None:
    """They are on disk and on homeservers: another value after an upgrade would double every message in flight."""
    assert txn_id(("chat", None, "@g:s", "message", "m1", 0, 0)) == "bk_yYVfJ0S0pFQlc-oMym7eVWhwtFDBo4v8OsymtgUVu20"
    assert reply_txn_id(EventID("$e"), 0) == "bk_gWcU4C6ySx3iTw1idpBeQPvlZSx7k7JsigX_zw-4_1U"
    assert outgoing_nonce(SECRET, CHAT, EventID("$e"), 0) == "bkWQy9cA2oN4o2Jrwh5MWfoQk8hybGHNG-cIPCsXzL"


@given(few, numbers, few, numbers)
def test_replies(one: str, index: int, other: str, other_index: int) -> None:
    same = reply_txn_id(EventID(one), index) == reply_txn_id(EventID(other), other_index)
    assert same == ((one, index) == (other, other_index))


@given(st.lists(st.none() | anything | st.integers()), st.lists(st.none() | anything | st.integers()))
def test_encoding_is_injective_and_no_prefix_of_another(
    one: list[str | int | None], other: list[str | int | None]
) -> None:
    encoded, other_encoded = encode_fields(*one), encode_fields(*other)
    assert (encoded == other_encoded) == (one == other)
    # What begins with a whole encoding goes on with more fields, nothing else.
    assert other_encoded.startswith(encoded) == (other[: len(one)] == one)


@given(anything, st.integers(0, 1000), st.binary(min_size=1))
def test_our_nonces_are_known(event_id: str, part: int, secret: bytes) -> None:
    nonce = outgoing_nonce(secret, CHAT, EventID(event_id), part)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", nonce)
    assert is_our_nonce(secret, CHAT, nonce)
    assert not is_our_nonce(secret + b"x", CHAT, nonce)


@given(anything, st.none() | anything, anything, st.none() | anything)
def test_a_nonce_is_ours_in_its_own_chat_only(one: str, see: str | None, other: str, sees: str | None) -> None:
    chats = ((one, see), (other, sees))
    portals = [PortalKey(ChatID(chat), None if login is None else LoginID(login)) for chat, login in chats]
    nonce = outgoing_nonce(SECRET, portals[0], EventID("$e"), 0)
    assert is_our_nonce(SECRET, portals[0], nonce)
    assert is_our_nonce(SECRET, portals[1], nonce) == (portals[0] == portals[1])


@given(few, numbers, few, numbers)
def test_different_parts_have_different_nonces(one: str, part: int, other: str, other_part: int) -> None:
    same = outgoing_nonce(SECRET, CHAT, EventID(one), part) == outgoing_nonce(SECRET, CHAT, EventID(other), other_part)
    assert same == ((one, part) == (other, other_part))


@given(st.integers(0, 41), st.sampled_from("ABab01_-\n\u0661é\ud800"))
def test_a_changed_nonce_is_not_ours(index: int, char: str) -> None:
    nonce = outgoing_nonce(SECRET, CHAT, EventID("$e"), 0)
    changed = nonce[:index] + char + nonce[index + 1 :]
    assert is_our_nonce(SECRET, CHAT, changed) == (changed == nonce)
    assert not is_our_nonce(SECRET, CHAT, nonce + char)
    assert not is_our_nonce(SECRET, CHAT, nonce[:index])


@given(st.text(st.characters(codec=None)))
def test_any_string_may_be_asked_about(nonce: str) -> None:
    assert not is_our_nonce(SECRET, CHAT, nonce)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="secret"):
        outgoing_nonce(b"", CHAT, EventID("$e"), 0)
