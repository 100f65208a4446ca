"""Mentions, both ways (MSC3952). Each test with `mapped` is a row of docs/mappings/mentions.md."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgekit.core.from_matrix import ReadText, Unreadable, read_message
from bridgekit.core.html import parse_html, pilled_user, render_html
from bridgekit.core.mentions import (
    MAX_APPENDED,
    MAX_MENTIONS,
    Mentions,
    is_user_id,
    read_mentions,
    user_link,
    with_hidden,
    with_names,
)
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, encoded_size
from bridgekit.model.content import Mention, MentionRole, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.limits import Limits
from tests.core.conversation import (
    BORIS,
    GHOSTS,
    OLGA,
    PEOPLE,
    ROOM,
    VERA,
    content_of,
    contents,
    over,
    pill,
    raw,
    read,
    resolve,
    rich,
)
from tests.core.mapped import mapped
from tests.core.text_strategies import assert_normal, wild_texts

mapped = functools.partial(mapped, "mentions")
VERA_PILL = pill("@g_vera:hs", "Vera")
MENTIONS_VERA = {"m.mentions": {"user_ids": ["@g_vera:hs"]}}


def names(target: MentionTarget) -> str:
    return target.id.title() if isinstance(target, MentionUser) else "@everyone"


# --- Matrix -> network ------------------------------------------------------------------------------------------------
@mapped("a matrix.to pill of somebody whom `m.mentions` lists", "`Mention` over the pill's text, with the remote user")
def test_pill() -> None:
    found = read(rich(f"hi {VERA_PILL}!", **MENTIONS_VERA))
    assert found == ReadText(text=over("hi Vera!", ("Vera", VERA)))


@mapped("a `matrix:` URI as pill", "the same")
def test_matrix_uri() -> None:
    html = 'hi <a href="matrix:u/g_vera:hs">Vera</a>!'
    assert read(rich(html, **MENTIONS_VERA)) == ReadText(text=over("hi Vera!", ("Vera", VERA)))


@mapped("a pill of somebody whom `m.mentions` does not list", "its text stays, without a link; nobody is notified")
def test_silent_pill() -> None:
    assert read(rich(f"hi {VERA_PILL}!", **{"m.mentions": {}})) == ReadText(text=Text("hi Vera!"))


@mapped("a pill in an event without `m.mentions` (older than MSC3952)", "`Mention`: pills notify there")
def test_legacy() -> None:
    assert read(rich(f"hi {VERA_PILL}!")) == ReadText(text=over("hi Vera!", ("Vera", VERA)))


@mapped("a name or user id in the text, without a pill", "text: nobody is guessed from names")
def test_names_are_not_guessed() -> None:
    assert read({"msgtype": "m.text", "body": "Vera, vera, @g_vera:hs @room"}).text.mentions == ()


@mapped("a pill of somebody who is not on the network", "its text stays, without a link")
def test_nobody() -> None:
    html = f"hi {pill('@carl:hs', 'Carl')}!"
    for mentions in ({}, {"m.mentions": {"user_ids": ["@carl:hs"]}}):
        assert read(rich(html, **mentions)) == ReadText(text=Text("hi Carl!"))


@mapped(
    "`m.mentions` lists somebody whom the text does not name", "notified without a word where `Limits.hidden_mentions`"
)
def test_hidden() -> None:
    found = read({"msgtype": "m.text", "body": "hi", **MENTIONS_VERA})
    assert found == ReadText(text=Text("hi"), hidden=(VERA,))
    assert with_hidden(found.text, found.hidden, names, Limits(hidden_mentions=True)) == (Text("hi"), (VERA,))


@mapped("the same, on other networks", "`` @Name`` behind the text, as an ordinary `Mention`; at most 50")
def test_appended() -> None:
    text, rest = with_hidden(over("hi Boris", ("Boris", BORIS)), (VERA, BORIS, ROOM), names, Limits(room_mentions=True))
    assert text == over("hi Boris @Vera @everyone", ("Boris", BORIS), ("@Vera", VERA), ("@everyone", ROOM))
    assert rest == ()
    many = [MentionUser(RemoteUserID(f"u{index}")) for index in range(10_000)]
    assert len(with_hidden(Text("hi"), many, names, Limits())[0].mentions) == MAX_APPENDED


def test_appended_behind_a_block_has_a_line_of_its_own() -> None:
    code = Text("x = 1", (Run(0, 5, Style.CODE_BLOCK),))
    text, _ = with_hidden(code, (VERA, BORIS), names, Limits())
    assert text == Text(
        "x = 1\n@Vera @Boris", code.runs, over("x = 1\n@Vera @Boris", ("@Vera", VERA), ("@Boris", BORIS)).mentions
    )


def test_whom_the_network_has_no_name_for_is_not_appended() -> None:
    assert with_hidden(Text("hi"), (VERA,), lambda target: " \n", Limits()) == (Text("hi"), ())
    assert with_hidden(Text(), (VERA,), names, Limits()) == (over("@Vera", ("@Vera", VERA)), ())


@mapped("`room: true` and `@room` in the text", "`Mention` of the whole room over the first `@room` that is no code")
def test_room() -> None:
    html = "<code>@room</code> see you@room, @room!"
    found = read(rich(html, **{"m.mentions": {"room": True}}))
    assert found.text.mentions == (Mention(20, 25, ROOM),)
    assert found.hidden == ()


@mapped("`room: true` without `@room` in the text", "as somebody whom the text does not name")
def test_hidden_room() -> None:
    assert read({"msgtype": "m.text", "body": "hi", "m.mentions": {"room": True}}).hidden == (ROOM,)


@mapped("`room: true` of somebody without the power to notify the room", "text")
def test_powerless_room() -> None:
    found = read({"msgtype": "m.text", "body": "hi @room", "m.mentions": {"room": True}}, may_mention_room=False)
    assert found == ReadText(text=Text("hi @room"))


@mapped("`room: true`, where the network has nothing like it (`Limits.room_mentions`)", "text")
def test_no_room_mentions() -> None:
    text, rest = with_hidden(over("hi @room", ("@room", ROOM)), (ROOM,), names, Limits(room_mentions=False))
    assert (text, rest) == (Text("hi @room"), ())


@mapped("`@room` without `room: true`", "text")
def test_silent_room() -> None:
    assert read({"msgtype": "m.text", "body": "hi @room", "m.mentions": {}}) == ReadText(text=Text("hi @room"))


@mapped("the sender's own id in `m.mentions`, without a pill", "nothing: nobody notifies themselves")
def test_oneself() -> None:
    assert read({"msgtype": "m.text", "body": "hi", "m.mentions": {"user_ids": ["@alice:hs"]}}).hidden == ()


MANY = [f"@u{index}:hs" for index in range(10_000)]


@pytest.mark.parametrize(
    ("mentions", "users", "room"),
    [
        ({}, [], False),
        ({"user_ids": "@g_vera:hs"}, [], False),
        ({"user_ids": {"@g_vera:hs": 1}}, [], False),
        ({"user_ids": ["@g_vera:hs", "@g_vera:hs"]}, ["@g_vera:hs"], False),
        ({"user_ids": MANY}, MANY[:MAX_MENTIONS], False),
        (
            {"user_ids": [5, None, [], "", "@", "vera", "@vera", "@a:", "!r:hs", "@a b:hs", "@" + "a" * 300 + ":hs"]},
            [],
            False,
        ),
        ({"user_ids": ["@x", "@g_vera:hs"], "room": "yes"}, ["@g_vera:hs"], False),
        ({"room": 1}, [], False),
        ({"user_ids": None, "room": True}, [], True),
        ("@g_vera:hs", [], False),
        (["@g_vera:hs"], [], False),
        (None, [], False),
    ],
)
@mapped(
    "`m.mentions` malformed: `user_ids` a string, 10,000 entries, repeats, no user ids, `room` no `true`",
    "what is wrong counts for nobody, of the rest the first 500; the message crosses",
)
def test_malformed(mentions: Any, users: list[str], room: bool) -> None:
    content = rich(f"hi {VERA_PILL}", **{"m.mentions": mentions})
    assert read_mentions(content) == Mentions(tuple(map(UserID, users)), room)
    assert read(content).text.body == "hi Vera"


def test_without_mentions() -> None:
    assert read_mentions({"body": "x"}) is None
    assert read_mentions("x") is None


def test_each_user_is_asked_for_once() -> None:
    asked: list[str] = []

    def note(user: str) -> MentionTarget | None:
        asked.append(user)
        return resolve(user)

    content = rich(VERA_PILL * 50, **{"m.mentions": {"user_ids": ["@g_vera:hs", *MANY]}})
    read_message(raw(content), resolve=note)
    assert len(asked) == len(set(asked)) <= MAX_MENTIONS + 1


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(list(GHOSTS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
mentions_json = json | st.fixed_dictionaries({}, optional={"user_ids": json, "room": json})
pills = st.lists(
    st.sampled_from(
        [VERA_PILL, pill("@carl:hs", "Carl"), "@room", " ", "e\u0301", "\u05d0", "\U0001f468\u200d\U0001f469"]
    )
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mentions_json, pills)
def test_no_mentions_are_beyond_it(mentions: Any, html: list[str]) -> None:
    found = read_message(raw(rich("".join(html), **{"m.mentions": mentions})), resolve=resolve)
    assert isinstance(found, ReadText | Unreadable)
    if isinstance(found, ReadText):
        assert_normal(found.text)
        text, rest = with_hidden(found.text, found.hidden, names, Limits())
        assert not rest
        assert text.body.startswith(found.text.body)
        assert_normal(text)


# --- network -> Matrix ------------------------------------------------------------------------------------------------
@mapped(
    "`Mention` of somebody with a ghost", "a pill with the display name, the name in `body`, the id in `m.mentions`"
)
def test_to_pill() -> None:
    content = content_of(over("hi @7123!", ("@7123", VERA)))
    assert content["body"] == "hi Vera Hill!"
    assert content["formatted_body"] == 'hi <a href="https://matrix.to/#/@g_vera:hs">Vera Hill</a>!'
    assert content["m.mentions"] == {"user_ids": ["@g_vera:hs"]}


@mapped("`Mention` of somebody who is on Matrix", "the same with their own user id: the double puppet, not a ghost")
def test_to_puppet() -> None:
    content = content_of(over("hi alice", ("alice", MentionUser(RemoteUserID("alice")))))
    assert content["m.mentions"] == {"user_ids": ["@alice:hs"]}
    assert content["body"] == "hi Alice A"


@mapped("several `Mention`s of one person", "a pill each, the id once")
def test_twice() -> None:
    text = Text("a b", mentions=(Mention(0, 1, VERA), Mention(2, 3, VERA)))
    content = content_of(text)
    assert content["m.mentions"] == {"user_ids": ["@g_vera:hs"]}
    assert content["formatted_body"].count("<a ") == 2


@mapped("`Mention` of somebody unknown", "text")
def test_unknown() -> None:
    content = content_of(over("hi @olga", ("@olga", OLGA)))
    assert (content["body"], content["m.mentions"]) == ("hi @olga", {})
    assert "formatted_body" not in content


@mapped("`Mention` of the whole room by somebody who may notify it", "`@room`, and `room: true`")
def test_to_room() -> None:
    content = content_of(over("hi @everyone!", ("@everyone", ROOM)), may_mention_room=True)
    assert (content["body"], content["m.mentions"]) == ("hi @room!", {"room": True})


@mapped("the same by somebody who may not", "text")
def test_to_room_powerless() -> None:
    content = content_of(over("hi @everyone!", ("@everyone", ROOM)))
    assert (content["body"], content["m.mentions"]) == ("hi @everyone!", {})


@mapped("`Mention` of a role", "text")
def test_to_role() -> None:
    content = content_of(over("hi @mods", ("@mods", MentionRole("1", "mods"))), may_mention_room=True)
    assert (content["body"], content["m.mentions"]) == ("hi @mods", {})


@mapped("no `Mention`", "`m.mentions` is `{}`, so that clients do not guess from the text")
def test_no_mention() -> None:
    assert content_of(Text("Vera Hill @room"))["m.mentions"] == {}


def test_spans_move_along_with_the_names() -> None:
    text = Text(
        "a @1 b @2 c", (Run(0, 4, Style.BOLD), Run(5, 11, Style.ITALIC)), (Mention(2, 4, VERA), Mention(7, 9, BORIS))
    )
    found, users = with_names(text, PEOPLE.get, may_mention_room=False)
    assert found == Text(
        "a Vera Hill b Boris c",
        (Run(0, 11, Style.BOLD), Run(12, 21, Style.ITALIC)),
        (Mention(2, 11, VERA), Mention(14, 19, BORIS)),
    )
    assert users == {VERA: "@g_vera:hs", BORIS: "@g_boris:hs"}


@pytest.mark.parametrize(
    ("shown", "name", "pilled"),
    [
        ("@1", "Vera", "Vera"),
        ("@1", "", "@1"),
        ("\ufffc", "", "@g:hs"),
        ("@1", " V\n\u202ex ", "V x"),
        ("x", "<b>", "&lt;b&gt;"),
    ],
)
def test_what_a_pill_shows(shown: str, name: str, pilled: str) -> None:

    text, _ = with_names(over(shown, (shown, VERA)), lambda target: (UserID("@g:hs"), name), may_mention_room=False)
    assert render_html(text, pill=lambda target: ("https://m/", "")) == f'<a href="https://m/">{pilled}</a>'


def test_more_mentions_than_an_event_holds() -> None:
    body = " ".join(f"{index:05}" for index in range(4000))
    spans = tuple(Mention(index * 6, index * 6 + 5, MentionUser(RemoteUserID(f"{index:05}"))) for index in range(4000))

    def everybody(target: MentionTarget) -> tuple[UserID, str] | None:
        return (UserID(f"@{'g' * 100}_{target.id}:hs"), target.id) if isinstance(target, MentionUser) else None

    parts = contents(Text(body, mentions=spans), everybody)
    assert all(encoded_size(part) <= MAX_CONTENT_BYTES for part in parts)
    assert " ".join(part["body"] for part in parts) == body
    assert sum(len(part["m.mentions"]["user_ids"]) for part in parts) == 4000


# --- there and back ---------------------------------------------------------------------------------------------------
user_ids = st.builds(
    lambda localpart, server: UserID(f"@{localpart}:{server}"),
    st.text(st.sampled_from("abz019._=-/+%?#&<>'\"é\u202e\U0001f600"), min_size=1, max_size=12),
    st.sampled_from(["hs", "example.org:8448", "[::1]:80", "1.2.3.4"]),
)


@given(user_ids)
def test_links_lead_to_their_users(user: UserID) -> None:
    assert is_user_id(user)
    link = user_link(user)
    assert link.isascii()
    assert pilled_user(link) == user
    html = f'<a href="{link.replace("&", "&amp;")}">x</a>'
    assert parse_html(html, resolve=lambda found: VERA if found == user else None).mentions == (Mention(0, 1, VERA),)


@given(wild_texts())
def test_who_was_named_is_named_when_it_comes_back(text: Text) -> None:
    people: dict[MentionTarget, tuple[UserID, str]] = {
        MentionUser(RemoteUserID(name)): (UserID(f"@g_{name}:hs"), name.upper()) for name in "xy"
    }
    back = {user: target for target, (user, _) in people.items()}
    found, users = with_names(text, people.get, may_mention_room=True)
    assert_normal(found)
    assert all(span.target in users or span.target == ROOM for span in found.mentions)
    for span in found.mentions:
        shown = found.body[span.start : span.end]
        assert shown == ("@room" if span.target == ROOM else people[span.target][1])
    (content,) = contents(text, people.get, may_mention_room=True)
    again = read_message(
        msgspec.json.encode({"type": "m.room.message", "content": content}), resolve=lambda user: back.get(UserID(user))
    )
    if isinstance(again, ReadText):
        before = {span.target for span in found.mentions} - {ROOM}
        assert {span.target for span in again.text.mentions} - {ROOM} == before
