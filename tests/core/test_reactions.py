"""Reactions, both ways. Each test with `mapped` is a row of docs/mappings/reactions.md."""

from __future__ import annotations

import functools
import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.from_matrix import ReadReaction, Unreadable
from bridgekit.core.reactions import for_network, same_emoji, to_matrix_key
from bridgekit.core.to_matrix import reaction_content
from bridgekit.core.versions import KEY
from bridgekit.model.ids import EventID, TxnID
from bridgekit.model.limits import Limits
from tests.core.conversation import reaction
from tests.core.mapped import mapped

mapped = functools.partial(mapped, "reactions")
E = EventID("$e")
ANY = Limits()
HEART, BARE_HEART, THUMB, BARE_THUMB = "\u2764\ufe0f", "\u2764", "\U0001f44d\ufe0f", "\U0001f44d"


def annotation(**more: Any) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": E, "key": HEART} | more}


# --- Matrix -> network ------------------------------------------------------------------------------------------------
@mapped("`m.annotation` with an emoji", "that emoji, fully qualified: with U+FE0F only where it is text without it")
def test_reading() -> None:
    assert reaction(annotation()) == ReadReaction(target=E, key=HEART)
    assert [for_network(key, ANY) for key in (HEART, BARE_HEART)] == [HEART, HEART]
    assert [for_network(key, ANY) for key in (THUMB, BARE_THUMB)] == [BARE_THUMB, BARE_THUMB]


@mapped("the network takes only some emoji (`Limits.reactions`)", "the one of those that is the same but for U+FE0F")
def test_limits() -> None:
    limits = Limits(reactions=frozenset({BARE_HEART, THUMB, ":party:"}))
    assert for_network(HEART, limits) == BARE_HEART
    assert for_network(BARE_THUMB, limits) == THUMB
    assert for_network(":party:", limits) == ":party:"


@mapped("an emoji that is not among them", "refused: its sender is told")
def test_not_among_them() -> None:
    assert for_network("\U0001f525", Limits(reactions=frozenset({HEART}))) is None
    assert for_network(HEART, Limits(reactions=frozenset())) is None


@mapped("words, or `:name:`", "as they are, where the network takes any")
def test_words() -> None:
    for key in ("+1", "1", "nice!", ":party:", "\u00a9 2024", "\u05d0"):
        assert for_network(key, ANY) == key


@mapped("a picture on Matrix (`mxc://`), or a key of more than 1,024 bytes", "refused: its sender is told")
def test_pictures() -> None:
    assert for_network("mxc://hs/abc", ANY) is None
    assert for_network("x" * 2000, ANY) is None


@pytest.mark.parametrize("content", [
    {"m.relates_to": 5}, annotation(rel_type="m.thread"), annotation(key=5), annotation(key=" "), annotation(key=""),
    annotation(event_id=None), annotation(event_id=""), {"body": "x"},
])  # fmt: skip
@mapped("a reaction without a target or key", "refused: its sender is told that it is malformed")
def test_malformed(content: Any) -> None:
    found = reaction(content)
    assert isinstance(found, Unreadable)
    assert found.code == "bad_content"


def test_taken_back_meanwhile() -> None:
    found = reaction({})
    assert isinstance(found, Unreadable)
    assert found.code == "redacted"


# --- network -> Matrix ------------------------------------------------------------------------------------------------
@mapped("an emoji", "`m.annotation`; the key has U+FE0F after each single emoji that may have it, as the spec says")
def test_writing() -> None:
    assert reaction_content(E, BARE_THUMB, TxnID("t")) == {
        "m.relates_to": {"rel_type": "m.annotation", "event_id": E, "key": THUMB}, KEY: "t",
    }  # fmt: skip
    assert [to_matrix_key(emoji) for emoji in (HEART, BARE_HEART, THUMB, "\u2764\ufe0e")] == [
        HEART,
        HEART,
        THUMB,
        HEART,
    ]


@pytest.mark.parametrize(
    ("emoji", "key"),
    [
        ("\U0001f525", "\U0001f525"),  # fire takes none
        ("\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fd"),  # thumbs up, brown
        ("\u261d\ufe0f\U0001f3fd", "\u261d\U0001f3fd"),
        ("1\u20e3", "1\ufe0f\u20e3"),
        ("\U0001f1e9\U0001f1ea", "\U0001f1e9\U0001f1ea"),
        ("\U0001f469\u200d\u2764\u200d\U0001f468", "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f468"),
        ("\U0001f468\u200d\U0001f4bb", "\U0001f468\u200d\U0001f4bb"),  # a computer in a sequence stays bare
        ("\U0001f408\u200d\u2b1b", "\U0001f408\u200d\u2b1b"),
        ("\U0001f3f3\u200d\U0001f308", "\U0001f3f3\ufe0f\u200d\U0001f308"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4\U000e0067\U000e0062\U000e007f"),
    ],
)
@mapped("a flag, a skin tone, a sequence", "U+FE0F where Unicode's fully-qualified one has it")
def test_sequences(emoji: str, key: str) -> None:
    assert to_matrix_key(emoji) == key
    assert for_network(key, ANY) == key


@mapped("a picture that only the network has", "its `:name:`")
def test_custom() -> None:
    assert to_matrix_key(":party:", "17") == ":party:"
    assert to_matrix_key("party", "17") == ":party:"
    assert to_matrix_key("", "17") == ":17:"
    assert to_matrix_key("\U0001f525", "17") == ":\U0001f525:"


@mapped(
    "which reactions are the same", "those that differ in variation selectors only; another skin tone is another one"
)
def test_same() -> None:
    assert same_emoji(HEART, BARE_HEART)
    assert same_emoji(":a:", ":a:")
    assert not same_emoji(HEART, THUMB)
    assert not same_emoji(BARE_THUMB, "\U0001f44d\U0001f3fd")
    assert not same_emoji("\ufe0f", "")
    assert same_emoji("", "")


def test_the_table_is_unicodes() -> None:
    """mautrix comes with a copy of emoji-variation-sequences.txt."""
    data = pkgutil.get_data("mautrix.util", "variation_selector.json")
    assert data is not None
    emoji = [char for char in json.loads(data).values() if not char.isascii()]
    assert len(emoji) > 350
    for char in emoji:
        assert to_matrix_key(char) == f"{char}\ufe0f"
        assert (for_network(char, ANY) or "").rstrip("\ufe0f") == char
    listed = set(emoji)
    for code_point in range(0x80, 0x20000):
        char = chr(code_point)
        if char not in listed:
            assert to_matrix_key(char) in (char, "")


@given(
    st.text(
        st.one_of(
            st.sampled_from("\u2764\ufe0f\ufe0e\u200d\U0001f44d\U0001f3fd1#\u20e3a: "), st.characters(codec=None)
        ),
        max_size=8,
    )
)
def test_keys_hold_still(key: str) -> None:
    written = to_matrix_key(key)
    assert to_matrix_key(written) == written
    assert same_emoji(written, key)
    taken = for_network(key, ANY)
    assert taken is None or (same_emoji(taken, key) and for_network(taken, ANY) == taken)
