"""Texts as bytes and back, and keys that are never confused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridgekit.model.ids import ChatID, LoginID, PortalKey
from bridgekit.store.codec import (
    MAX_INTEGER,
    clamp,
    dec,
    dec_map,
    dec_portal,
    digest_of,
    enc,
    enc_map,
    enc_portal,
    portal_digest,
)

# Lone surrogates, too: st.text() leaves them out unless told.
texts = st.text(st.characters(codec=None, exclude_categories=()))
keys = st.builds(PortalKey, texts.map(ChatID), st.none() | texts.map(LoginID))


@given(texts)
def test_every_text_comes_back(text: str) -> None:
    assert dec(enc(text)) == text


@given(texts, texts)
def test_bytes_compare_as_texts_do(a: str, b: str) -> None:
    assert (enc(a) < enc(b)) == (a < b)


@given(keys)
def test_every_portal_key_comes_back(key: PortalKey) -> None:
    assert dec_portal(*enc_portal(key)) == key


@given(keys, keys)
def test_portal_keys_are_never_confused(a: PortalKey, b: PortalKey) -> None:
    assert (portal_digest(a) == portal_digest(b)) == (a == b)


def test_where_a_key_is_cut_matters() -> None:
    assert len({digest_of(b"ab", b"c"), digest_of(b"a", b"bc"), digest_of(b"abc"), digest_of(b"abc", b"")}) == 4


@given(st.dictionaries(texts, texts))
def test_every_map_comes_back(values: dict[str, str]) -> None:
    assert dec_map(enc_map(values)) == values


@given(st.integers())
def test_a_number_fits(number: int) -> None:
    assert -MAX_INTEGER <= clamp(number) <= MAX_INTEGER
    if abs(number) <= MAX_INTEGER:
        assert clamp(number) == number
