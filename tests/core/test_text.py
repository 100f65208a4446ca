from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.text import (
    LengthUnit,
    Utf16Offsets,
    downgrade,
    from_utf16,
    normalise,
    slice_text,
    split_text,
    utf16_offset,
)
from bridgekit.core.text.characters import clusters
from bridgekit.model.content import Mention, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID
from tests.core.text_strategies import assert_normal, item, quote, tidy_texts, wild_body, wild_texts

X = MentionUser(RemoteUserID("x"))
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
BOLD, CODE, LINK = Style.BOLD, Style.CODE_BLOCK, Style.LINK


# --- offsets --------------------------------------------------------------------------------------------------------
@given(wild_body, st.integers(-3, 70))
def test_utf16_offsets(body: str, offset: int) -> None:
    inside = min(max(offset, 0), len(body))
    units = utf16_offset(body, offset)
    assert units == len(body[:inside].encode("utf-16-le", "surrogatepass")) // 2
    assert from_utf16(body, units) == inside


@given(wild_body, st.integers(-3, 130))
def test_from_utf16_is_never_inside_a_character(body: str, units: int) -> None:
    offsets = Utf16Offsets(body)
    offset = offsets.from_utf16(units)
    assert 0 <= offset <= len(body)
    assert offsets.to_utf16(offset) <= max(units, 0)
    if offset < len(body):
        assert offsets.to_utf16(offset + 1) > units


# --- the normal form --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "runs", "expected"),
    [
        ("ab", [Run(-5, 9, BOLD), Run(1, 1, BOLD), Run(7, 9, BOLD)], [Run(0, 2, BOLD)]),
        ("abcd", [Run(2, 4, BOLD), Run(0, 2, BOLD)], [Run(0, 4, BOLD)]),
        ("a b c", [Run(0, 2, BOLD), Run(1, 4, BOLD)], [Run(0, 3, BOLD)]),
        ("abcd", [Run(0, 3, LINK, "x:"), Run(1, 4, LINK, "y:")], [Run(0, 3, LINK, "x:"), Run(3, 4, LINK, "y:")]),
        ("ab\ncd\n", [Run(1, 4, Style.HEADING, level=9)], [Run(0, 5, Style.HEADING, level=6)]),
        ("ab\ncd", [Run(2, 5, CODE, "py")], [Run(3, 5, CODE, "py")]),
        ("a\nb\nc", [Run(0, 5, BOLD), Run(2, 3, CODE)], [Run(0, 1, BOLD), Run(2, 3, CODE), Run(4, 5, BOLD)]),
        ("a\n\nb", [quote(0, 4), quote(3, 4, 2)], [quote(0, 4), quote(3, 4, 2)]),
        ("a\nb", [quote(0, 1), quote(2, 3)], [quote(0, 3)]),
        ("a", [quote(0, 1, 2)], [quote(0, 1), quote(0, 1, 2)]),
        ("a\nb\nc", [item(0, 5), item(2, 3, 2)], [item(0, 1), item(2, 3, 2)]),
        ("a\nb", [item(0, 1), item(2, 3)], [item(0, 1), item(2, 3)]),
        ("a\nb\nc", [item(0, 5), quote(2, 3)], [item(0, 1), quote(2, 3)]),
        ("\n\n", [quote(0, 2), Run(0, 2, BOLD)], []),
    ],
)
def test_normalise_table(body: str, runs: list[Run], expected: list[Run]) -> None:
    assert normalise(Text(body, tuple(runs))) == Text(body, tuple(expected))


def test_mentions_in_normal_form() -> None:
    text = Text(
        "hi @bob you",
        (Run(5, 11, BOLD), Run(0, 11, LINK, "x:")),
        (Mention(2, 8, X), Mention(5, 9, X), Mention(3, 3, X)),
    )
    assert normalise(text) == Text(
        "hi @bob you",
        (Run(0, 2, LINK, "x:"), Run(3, 11, BOLD), Run(8, 11, LINK, "x:")),
        (Mention(3, 7, X),),
    )


@given(wild_texts())
def test_normal_form(text: Text) -> None:
    normal = normalise(text)
    assert normal.body == text.body
    assert_normal(normal)


# --- slices -----------------------------------------------------------------------------------------------------------
def test_slice() -> None:
    text = Text("one two three", (Run(0, 7, BOLD), item(0, 13, ordinal=3)), (Mention(4, 7, X),))
    assert slice_text(text, 2, 99) == Text("e two three", (Run(0, 5, BOLD),), (Mention(2, 5, X),))
    assert slice_text(text, 0, 5) == Text("one t", (item(0, 5, ordinal=3), Run(0, 5, BOLD)))
    assert slice_text(text, 9, 3) == Text("")


@given(wild_texts(), st.integers(-2, 70), st.integers(-2, 70))
def test_slices(text: Text, start: int, end: int) -> None:
    piece = slice_text(text, start, end)
    assert piece.body == text.body[max(start, 0) : max(end, 0)]
    assert_normal(piece)


# --- splitting --------------------------------------------------------------------------------------------------------
SIZES: dict[LengthUnit, Callable[[str], int]] = {
    "codepoints": len,
    "utf16": lambda body: len(body.encode("utf-16-le", "surrogatepass")) // 2,
    "utf8": lambda body: len(body.encode("utf-8", "surrogatepass")),
}


@pytest.mark.parametrize(
    ("body", "length", "unit", "parts"),
    [
        ("", 4, "codepoints", [""]),
        ("abcd", 4, "codepoints", ["abcd"]),
        ("one two three", 8, "codepoints", ["one two", "three"]),
        ("one two\nthree four", 13, "codepoints", ["one two", "three four"]),
        ("a b\n\nc d\ne f", 10, "codepoints", ["a b\n\nc d", "e f"]),
        ("One two. Three four.", 14, "codepoints", ["One two.", "Three four."]),
        ("你好。世界你好", 5, "codepoints", ["你好。", "世界你好"]),
        ("abcdefghij", 4, "codepoints", ["abcd", "efgh", "ij"]),
        ("ééééé", 4, "utf8", ["éé", "éé", "é"]),
        ("\U0001f600" * 3, 4, "utf16", ["\U0001f600" * 2, "\U0001f600"]),
        (FAMILY * 2, 6, "codepoints", [FAMILY, FAMILY]),
        ("abc" + FAMILY, 6, "codepoints", ["abc", FAMILY]),
        ("\U0001f1e9\U0001f1ea" * 3, 5, "codepoints", ["\U0001f1e9\U0001f1ea" * 2, "\U0001f1e9\U0001f1ea"]),
        ("abce\u0301f", 4, "codepoints", ["abc", "e\u0301f"]),
        ("\u0301" * 6, 4, "codepoints", ["\u0301" * 4, "\u0301" * 2]),
        ("abc \u0301d", 5, "codepoints", ["abc", " \u0301d"]),
        ("   \n " * 3 + "a" + " " * 9, 4, "codepoints", ["a"]),
        (" " * 9, 4, "codepoints", [" " * 4]),
        ("a\u00a0b cd", 5, "codepoints", ["a\u00a0b", "cd"]),
    ],
)
def test_split_table(body: str, length: int, unit: LengthUnit, parts: list[str]) -> None:
    assert [part.body for part in split_text(Text(body), length, unit=unit)] == parts


def test_mentions_are_not_split() -> None:
    text = Text("hello @bob smith!", (), (Mention(6, 16, X),))
    assert split_text(text, 12, unit="codepoints") == (
        Text("hello"),
        Text("@bob smith!", (), (Mention(0, 10, X),)),
    )
    text_to_the_limit = Text("abcd\u2028", (), (Mention(1, 5, X),))
    assert split_text(text_to_the_limit, 4, unit="codepoints") == (Text("abcd", (), (Mention(1, 4, X),)),)
    assert split_text(text, 6, unit="codepoints") == (Text("hello"), Text("@bob"), Text("smith!"))


def test_code_goes_on_in_the_next_part() -> None:
    code = "if a:\n    b()\n\n    c()"
    assert split_text(Text(code, (Run(0, len(code), CODE, "py"),)), 14, unit="codepoints") == (
        Text("if a:\n    b()", (Run(0, 13, CODE, "py"),)),
        Text("    c()", (Run(0, 7, CODE, "py"),)),
    )


def test_an_item_has_one_marker() -> None:
    assert split_text(Text("aaa bbb", (item(0, 7, ordinal=2), Run(0, 7, BOLD))), 4, unit="codepoints") == (
        Text("aaa", (item(0, 3, ordinal=2), Run(0, 3, BOLD))),
        Text("bbb", (Run(0, 3, BOLD),)),
    )


@given(wild_texts() | tidy_texts(), st.integers(4, 30), st.sampled_from(("codepoints", "utf16", "utf8")))
def test_split(text: Text, length: int, unit: LengthUnit) -> None:
    parts = split_text(text, length, unit=unit)
    assert parts
    if SIZES[unit](text.body) <= length:
        assert parts == (text,)
        return
    blank = not text.body.strip(" \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\u2028\u2029\u3000")
    at = 0
    for part in parts:
        assert part.body
        assert SIZES[unit](part.body) <= length
        assert_normal(part)
        found = text.body.index(part.body.lstrip(), at) if part.body.lstrip() else at
        assert not text.body[at:found].strip()
        at = found + len(part.body.lstrip())
    assert blank or not text.body[at:].strip()
    assert "".join("".join(part.body.split()) for part in parts) == "".join(text.body.split())
    named = [text.body[mention.start : mention.end] for mention in normalise(text).mentions]
    kept = [part.body[mention.start : mention.end] for part in parts for mention in part.mentions]
    assert kept == [name for name in named if SIZES[unit](name) <= length]


def test_split_needs_room_for_a_character() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        split_text(Text("abc"), 3, unit="utf8")


@pytest.mark.parametrize(
    "body", ["a" * 400_000, "\u0301" * 400_000, " " * 400_000 + "a", "a\n" * 200_000, "a. " * 99_999]
)
def test_split_is_linear(body: str) -> None:
    text = Text(body, (Run(0, len(body), BOLD), Run(0, len(body), CODE)))
    started = time.process_time()
    split_text(text, 100, unit="utf8")
    assert time.process_time() - started < 10


# --- downgrading ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "supported", "expected"),
    [
        (Text("a\nb", (quote(0, 3),)), set(), Text("> a\n> b")),
        (Text("a\n\nb", (quote(0, 4), quote(3, 4, 2))), set(), Text("> a\n>\n> > b")),
        (Text("a\nb\nc", (item(0, 1), item(2, 5, 2, 10))), set(), Text("- a\n  10. b\n      c")),
        (Text("ab", (quote(0, 2), item(0, 2))), set(), Text("> - ab")),
        (Text("ab", (quote(0, 2), item(0, 2))), {Style.QUOTE}, Text("- ab", (quote(0, 4),))),
        (Text("ab", (quote(0, 2), Run(0, 2, BOLD))), {BOLD}, Text("> ab", (Run(2, 4, BOLD),))),
        (Text("ab c", (Run(0, 2, LINK, "http://x"),)), set(), Text("ab (http://x) c")),
        (Text("x", (Run(0, 1, LINK, "http://x/"),)), set(), Text("x")),
        (
            Text(
                "ab c", (Run(0, 4, BOLD), Run(0, 2, LINK, "x:"), Run(0, 4, Style.HEADING, level=1)), (Mention(3, 4, X),)
            ),
            {BOLD, Style.HEADING},
            Text("ab (x:) c", (Run(0, 9, BOLD), Run(0, 9, Style.HEADING, level=1)), (Mention(8, 9, X),)),
        ),
        (Text("a\nb", (quote(0, 3), Run(2, 3, CODE))), set(), Text("> a\n> b")),
        (Text("a\nb", (quote(0, 3), Run(2, 3, CODE))), {CODE}, Text("> a\nb", (Run(4, 5, CODE),))),
    ],
)
def test_downgrade_table(text: Text, supported: set[Style], expected: Text) -> None:
    assert downgrade(text, frozenset(supported)) == normalise(expected)


@given(wild_texts() | tidy_texts(), st.frozensets(st.sampled_from(Style)))
def test_downgrade(text: Text, supported: frozenset[Style]) -> None:
    written = downgrade(text, supported)
    assert_normal(written)
    assert {run.style for run in written.runs} <= supported
    normal = normalise(text)
    assert [written.body[span.start : span.end] for span in written.mentions] == [
        text.body[span.start : span.end] for span in normal.mentions
    ]
    assert downgrade(text, frozenset(Style)) == normal
    if supported >= {Style.QUOTE, Style.LIST_ITEM, LINK}:
        assert written.body == text.body


# --- characters as a reader sees them ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("abc", []),
        ("ae\u0301\u0302b", [(1, 4)]),
        ("\u0301a", []),
        ("\n\u0301", []),
        (" \u0301", [(0, 2)]),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1e9", [(0, 2), (2, 4)]),
        ("x\U0001f1e9y\U0001f1ea", []),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467!", [(0, 5)]),
        ("\u2764\ufe0f1\ufe0f\u20e3", [(0, 2), (2, 5)]),
        ("\U0001f44d\U0001f3fd\U0001f44d", [(0, 2)]),
        ("\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd", [(0, 2), (3, 5)]),
        ("\u0646\u200d\u0627", [(0, 2)]),
        ("\u1112\u1161\u11ab", [(0, 3)]),
        ("\ud83d\ude00", [(0, 2)]),
    ],
)
def test_clusters(body: str, expected: list[tuple[int, int]]) -> None:
    found = clusters(body)
    assert list(zip(found.starts, found.ends, strict=True)) == expected


def test_spans_are_widened_to_whole_characters() -> None:
    body = "e\u0301 \U0001f1e9\U0001f1ea x"
    user = MentionUser(RemoteUserID("x"))
    text = normalise(Text(body, (Run(1, 2, Style.BOLD), Run(0, 4, Style.ITALIC)), (Mention(4, 5, user),)))
    assert text == Text(body, (Run(0, 5, Style.ITALIC), Run(0, 2, Style.BOLD)), (Mention(3, 5, user),))


@pytest.mark.parametrize("pattern", ["e\u0301", "\u0301", "\U0001f1e9", "\u200d\u2764", " \u0301"])
def test_many_characters_take_linear_time(pattern: str) -> None:
    body = pattern * (60_000 // len(pattern))
    runs = tuple(Run(index, index + 1, Style.BOLD, value=str(index)) for index in range(0, 60_000, 15))
    started = time.process_time()
    normalise(Text(body, runs))
    assert time.process_time() - started < 3
