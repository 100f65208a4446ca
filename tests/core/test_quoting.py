"""Quotations in front of a text."""

from __future__ import annotations

import pytest

from bridgekit.core.quoting import MAX_QUOTED, excerpt, with_quotation
from bridgekit.core.text import downgrade
from bridgekit.model.content import Mention, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID


@pytest.mark.parametrize(
    "body, shown",
    [
        ("hello", "hello"),
        ("two\n\nlines", "two lines"),
        ("x" * MAX_QUOTED, "x" * MAX_QUOTED),
        ("x" * 1000, "x" * (MAX_QUOTED - 1) + "…"),
        ("  ", ""),
    ],
)
def test_excerpts(body: str, shown: str) -> None:
    assert excerpt(body) == shown


def test_spans_stay_over_their_characters() -> None:
    friend = MentionUser(RemoteUserID("friend"))
    text = Text("hi Ann", (Run(0, 2, Style.BOLD),), (Mention(3, 6, friend),))
    quoted = with_quotation(text, "Bob", "how are\nyou?")
    assert quoted.body == "Bob: how are you?\nhi Ann"
    assert [quoted.body[run.start : run.end] for run in quoted.runs] == ["Bob: how are you?", "Bob", "hi"]
    assert [quoted.body[span.start : span.end] for span in quoted.mentions] == ["Ann"]


def test_a_network_without_quotations() -> None:
    plain = downgrade(with_quotation(Text("hi"), "Bob", "hello"), frozenset())
    assert plain.body == "> Bob: hello\nhi"


def test_nothing_to_quote() -> None:
    assert with_quotation(Text("hi"), "Bob", " \n") == Text("hi")
    assert with_quotation(Text("hi"), "", "hello").body == "hello\nhi"
