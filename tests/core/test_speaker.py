"""How somebody without a login is shown on the network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.speaker import MAX_NAME, avatar_link, shown_name, tidy_name, with_speaker
from bridgekit.core.text import normalise, split_text
from bridgekit.model.content import Mention, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.raw import MemberProfile
from tests.core.text_strategies import assert_normal, wild_texts

BOB, EVE = UserID("@bob:x"), UserID("@eve:y")


@given(wild_texts(), st.text(min_size=1).map(tidy_name).filter(bool))
def test_every_span_is_over_the_same_characters(text: Text, name: str) -> None:
    before = normalise(text)
    after = with_speaker(text, name)
    assert_normal(after)
    prefix = len(after.body) - len(text.body)
    assert after.body[:prefix] in (f"{name}: ", f"{name}:\n")
    assert after.body[prefix:] == text.body
    moved = [(run.start - prefix, run.end - prefix, run.style, run.value) for run in after.runs if run.start >= prefix]
    assert moved == [(run.start, run.end, run.style, run.value) for run in before.runs]
    assert [(m.start - prefix, m.end - prefix, m.target) for m in after.mentions] == [
        (m.start, m.end, m.target) for m in before.mentions
    ]
    (bold,) = (run for run in after.runs if run.start < prefix)
    assert bold == Run(0, len(name), Style.BOLD)


@given(st.text(max_size=300).map(tidy_name).filter(bool), st.integers(30, 60))
def test_only_the_first_of_several_parts_has_the_name(name: str, length: int) -> None:
    parts = split_text(with_speaker(Text("word " * 60), name), length, unit="utf16")
    assert "".join("".join(part.body.split()) for part in parts) == "".join(f"{name}:{'word' * 60}".split())
    assert parts[-1].body.split()[-1] == "word" and parts[-1].runs == ()


def test_a_block_begins_on_its_own_line() -> None:
    quoted = Text("said\nnew", (Run(0, 4, Style.QUOTE, level=1),))
    assert with_speaker(quoted, "Bob") == Text(
        "Bob:\nsaid\nnew", (Run(0, 3, Style.BOLD), Run(5, 9, Style.QUOTE, level=1))
    )
    later = Text("new\nsaid", (Run(4, 8, Style.QUOTE, level=1),))
    assert with_speaker(later, "Bob").body == "Bob: new\nsaid"


def test_a_mention_keeps_its_person() -> None:
    target = MentionUser(RemoteUserID("vera"))
    assert with_speaker(Text("@Vera hi", mentions=(Mention(0, 5, target),)), "Bob") == Text(
        "Bob: @Vera hi", (Run(0, 3, Style.BOLD),), (Mention(5, 10, target),)
    )


@pytest.mark.parametrize(
    "name, tidy",
    [
        ("Bob", "Bob"),
        ("  Bob \t B. ", "Bob B."),
        ("Bob: hi\nEve", "Bob: hi Eve"),
        ("\u202eBob\u2066", "Bob"),
        ("B\x00o\x1bb", "Bob"),
        ("\ud800Bob", "Bob"),
        ("\u200b\ufeff", ""),
        ("\u2060\u00adBob\u2064", "Bob"),
        ("\u3164\u115f", ""),
        ("\u200d\ufe0f", ""),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("x" * 200, "x" * (MAX_NAME - 1) + "…"),
    ],
)
def test_names_are_only_names(name: str, tidy: str) -> None:
    assert tidy_name(name) == tidy


@given(st.text())
def test_a_tidy_name_is_one_short_line(name: str) -> None:
    tidy = tidy_name(name)
    assert tidy.splitlines() in ([], [tidy])
    assert len(tidy) <= MAX_NAME
    assert tidy_name(tidy) == tidy


@pytest.mark.parametrize(
    "names, shown",
    [
        ({BOB: "Bob"}, "Bob"),
        ({BOB: ""}, BOB),
        ({}, BOB),
        ({BOB: "Bob", EVE: "Eve"}, "Bob"),
        ({BOB: "Bob", EVE: "Bob"}, "Bob (@bob:x)"),
        ({BOB: "Bob", EVE: " bob\u202e "}, "Bob (@bob:x)"),
        ({BOB: "Bob", EVE: "Ｂob"}, "Bob (@bob:x)"),
        ({BOB: "\n", EVE: "\n"}, BOB),
    ],
)
def test_no_two_members_look_the_same(names: dict[UserID, str], shown: str) -> None:
    assert shown_name(BOB, {user: MemberProfile(name) for user, name in names.items()}) == shown


@pytest.mark.parametrize(
    "url, link",
    [
        ("mxc://home.test/abc", "https://m.test/home.test/abc?w=9"),
        ("mxc://home.test:1/abc", "https://m.test/home.test:1/abc?w=9"),
        ("", ""),
        ("https://evil/x", ""),
        ("mxc://home.test", ""),
        ("mxc://home.test/a/b", ""),
        ("mxc://home.test/a?b", ""),
        ("mxc://home.test/..%2f", ""),
    ],
)
def test_where_a_picture_is(url: str, link: str) -> None:
    assert avatar_link("https://m.test/{server}/{media}?w=9", url) == link
    assert avatar_link("", url) == ""


@pytest.mark.parametrize("name", ["Bob\u2060", "B\u034fob", "Bob\u200d", "Bob\ufe0f", "Bo\u3164b", "\uff22ob", "BOB"])
def test_a_name_that_looks_like_anothers_has_its_user_id_behind_it(name: str) -> None:
    members = {BOB: MemberProfile(name="Bob"), EVE: MemberProfile(name=name)}
    assert shown_name(EVE, members) == f"{tidy_name(name)} ({EVE})"


@pytest.mark.parametrize("name", [f"{BOB}", f"Bob ({BOB})", "\uff20bob:x", "@bob\uff1ax"])
def test_a_name_that_holds_a_user_id_has_the_real_one_behind_it(name: str) -> None:
    """Who has no name is shown by the user id, and of two with one name both have it behind."""
    members = {BOB: MemberProfile(), EVE: MemberProfile(name=name)}
    assert shown_name(EVE, members) == f"{name} ({EVE})"
    assert shown_name(BOB, members) == BOB
