"""The judge itself: each kind of fault is seen, and nothing else is called one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridgekit.testing.client import ClientEvent
from example_bridge.webchat.client import DeleteEvent, Message, MessageEvent, ReactionEvent
from tests.chaos.ends import refused_of, reports_of
from tests.chaos.inflight import read_flights, unexplained
from tests.chaos.judge import Accepted, Arrived, Findings, Reactions, Report, Way, judge
from tests.chaos.shown import ChatShown, RoomShown
from tests.chaos.words import Piece, read, spell


def way(
    accepted: list[str],
    arrived: list[str],
    *,
    words: int = 1,
    reports: dict[str, tuple[Report, int]] | None = None,
    late: int = 0,
) -> Way:
    """Messages by their tokens; one that arrives in pieces is written "a:0-1"."""
    return Way(
        name="a way",
        room="!r",
        accepted=[
            Accepted(
                id=f"${token}" + "again" * accepted[:index].count(token),
                token=token,
                words=words,
                sender="s",
                at=index * 1000,
            )
            for index, token in enumerate(accepted)
        ],
        arrived=[
            Arrived(id=f"far{index}", piece=piece(text, words), sender="s", at=index * 1000 + 500)
            for index, text in enumerate(arrived)
        ],
        reports=reports or {},
        late=late,
    )


def piece(text: str, words: int) -> Piece:
    token, _, span = text.partition(":")
    if not span:
        return Piece(token, 0, words - 1)
    first, last = span.split("-")
    return Piece(token, int(first), int(last))


def numbers(found: Findings) -> dict[str, int]:
    """What is not zero."""
    names = [name for name in found.__struct_fields__ if name not in ("problems", "sent")]
    return {name: value for name in names if (value := getattr(found, name))}


def test_words_are_read_back() -> None:
    assert read(spell("m7", 3)) == Piece("m7", 0, 2)
    assert read(spell("m7", 3, revision=2)) == Piece("m7", 0, 2, revision=2)
    assert read("m7~1.0 m7~2.1").first == -1
    assert read("m7~x.0").first == -1
    assert read("m7.5 m7.6") == Piece("m7", 5, 6)
    assert read("m7.5 m7.7").first == -1
    assert read("m7.5 m8.6").first == -1
    assert read("hello").first == -1
    assert read("").first == -1


@pytest.mark.parametrize(
    "faulty, expected",
    [
        (way(["a", "b", "c"], ["a", "b", "c"]), {}),
        (way(["a", "b", "c"], ["a", "c"]), {"lost": 1}),
        (way(["a", "b"], ["a", "b", "a"]), {"duplicated": 1}),
        (way(["a", "b"], ["a", "b", "x"]), {"duplicated": 1}),
        (way(["a", "b", "c"], ["b", "a", "c"]), {"reordered": 1}),
        (way(["a", "b", "c"], ["c", "a", "b"]), {"reordered": 2}),
        (way(["a"], ["a:0-1", "a:2-3"], words=4), {}),
        (way(["a"], ["a:0-1"], words=4), {"lost": 1}),
        (way(["a"], ["a:2-3"], words=4), {"lost": 1, "reordered": 1}),
        (way(["a"], ["a:0-1", "a:0-1", "a:2-3"], words=4), {"duplicated": 1}),
        (way(["a"], ["a:2-3", "a:0-1"], words=4), {"reordered": 1}),
        (way(["a", "b"], ["a:0-1", "b:0-3", "a:2-3"], words=4), {"reordered": 1}),
    ],
)
def test_faults_are_seen(faulty: Way, expected: dict[str, int]) -> None:
    found = judge(faulty)
    assert numbers(found) == expected
    assert bool(found.problems) == bool(expected)


def test_who_was_told_has_lost_nothing() -> None:
    told: dict[str, tuple[Report, int]] = {"$b": ("uncertain", 5000)}
    assert numbers(judge(way(["a", "b"], ["a"], reports=told))) == {"uncertain": 1}
    assert numbers(judge(way(["a", "b"], ["a", "b"], reports=told))) == {"uncertain": 1, "uncertain_but_sent": 1}
    in_part = way(["a", "b"], ["a", "b:0-1"], words=4, reports=told)
    assert numbers(judge(in_part)) == {"uncertain": 1, "uncertain_in_part": 1}
    assert numbers(judge(way(["a"], [], reports={"$a": ("failed", 0)}))) == {"failed": 1}


def test_a_message_that_the_homeserver_took_twice_may_be_there_twice() -> None:
    assert numbers(judge(way(["a", "a"], ["a", "a"]))) == {}
    assert numbers(judge(way(["a", "a"], ["a"]))) == {"lost": 1}
    assert numbers(judge(way(["a", "a"], ["a", "a", "a"]))) == {"duplicated": 1}


def test_late_excuses_as_many_as_the_gap_check_has_named() -> None:
    assert numbers(judge(way(["a", "b", "c"], ["b", "c", "a"], late=1))) == {"late": 1}
    assert numbers(judge(way(["a", "b", "c"], ["a", "b", "c"], late=1))) == {}
    assert numbers(judge(way(["a", "b", "c"], ["c", "b", "a"], late=1))) == {"late": 1, "reordered": 1}


def test_two_orders_of_one_homeserver() -> None:
    both = [
        Accepted(id="$a", token="a", words=1, sender="s", at=0, stream=2),
        Accepted(id="$b", token="b", words=1, sender="s", at=0, stream=1),
    ]
    arrived = [Arrived(id=token, piece=Piece(token, 0, 0), sender="s", at=0) for token in "ba"]
    assert numbers(judge(Way(name="", accepted=both, arrived=arrived))) == {}
    assert numbers(judge(Way(name="", accepted=both, arrived=arrived[::-1]))) == {}


def test_an_uncertain_message_needs_a_kill_of_its_own() -> None:
    told: dict[str, tuple[Report, int]] = {"$b": ("uncertain", 9_000), "$c": ("uncertain", 9_000)}
    ways = [way(["a", "b", "c"], ["a"], reports=told)]
    assert unexplained(ways, {"!r": [4_000, 8_000]}) == []
    assert len(unexplained(ways, {"!r": [4_000]})) == 1
    assert len(unexplained(ways, {"!r": [4_000, 4_000, 9_500]})) == 0
    assert len(unexplained(ways, {"!r": [500, 1_500]})) == 1  # a kill before the message was accepted
    assert len(unexplained(ways, {"!r": [9_500, 9_600]})) == 2  # and after its sender was told
    assert len(unexplained(ways, {"!other": [4_000, 8_000]})) == 2


@pytest.mark.parametrize(
    "lines, expected",
    [
        (["+ 10 !r 1", "- 20 !r 1", "+ 110 !r 1", "- 120 !r 1"], {}),
        (["+ 10 !r 1", "+ 110 !r 1", "- 120 !r 1"], {"!r": [100]}),
        (["+ 10 !r 1", "- 120 !r 1"], {"!r": [100]}),  # the next process ended it
        (["+ 10 !r 1", "- 320 !r 1"], {"!r": [100]}),
        (["+ 10 !r 1", "+ 110 !r 1"], {"!r": [100, 200]}),
        (["+ 10 !r 1", "+ 20 !r 1", "- 30 !r 1"], {}),  # a mark for each part
        (["+ 10 !r 2", "- 20 !r 1", "- 120 !r 2"], {"!r": [100]}),  # what ended first was another one
        (["+ 310 !r 1", "+ 10 !s 1"], {"!s": [100]}),  # killed by nobody
    ],
)
def test_flights(tmp_path: Path, lines: list[str], expected: dict[str, list[int]]) -> None:
    log = tmp_path / "flights"
    log.write_text("\n".join(lines))
    assert read_flights(log, [100, 200, 300]) == expected


# --- edits, reactions, deletions --------------------------------------------------------------------------------------
HEART = frozenset({("eve", "❤")})


def changed(
    *,
    revision: int = 0,
    words: int = 1,
    deleted: bool = False,
    reactions: Reactions = frozenset(),
    far: list[Piece] | None = None,
    far_reactions: Reactions = frozenset(),
    reports: dict[str, tuple[Report, int]] | None = None,
    refused: list[str] | None = None,
) -> Way:
    """One message, as its own side has it in the end, and the far end."""
    message = Accepted(
        id="$a",
        token="a",
        words=words,
        sender="s",
        at=0,
        revision=revision,
        deleted=deleted,
        reactions=reactions,
    )
    pieces = [Piece("a", 0, words - 1, revision)] if far is None else far
    return Way(
        name="a way",
        accepted=[message],
        arrived=[Arrived(id=f"far{index}", piece=each, sender="s", at=0) for index, each in enumerate(pieces)],
        reports=reports or {},
        refused={"$a": refused} if refused else {},
        reactions={"a": far_reactions},
    )


@pytest.mark.parametrize(
    "end, expected",
    [
        (changed(revision=3), {}),
        (changed(revision=3, far=[Piece("a", 0, 0, 2)]), {"wrong_text": 1}),
        (changed(revision=3, far=[]), {"lost": 1}),
        (changed(revision=1, words=4, far=[Piece("a", 0, 1, 1), Piece("a", 2, 3, 1)]), {}),
        (changed(revision=1, words=4, far=[Piece("a", 0, 1, 1), Piece("a", 2, 3)]), {"wrong_text": 1}),
        (changed(revision=1, words=4, far=[Piece("a", 0, 1, 1)]), {"lost": 1}),
        # A part that must have been taken away.
        (changed(revision=1, words=2, far=[Piece("a", 0, 1, 1), Piece("a", 2, 3)]), {"wrong_text": 1}),
        # The edit stands beside its message, which says what it did before.
        (changed(revision=1, far=[Piece("a", 0, 0), Piece("a", 0, 0, 1)]), {"wrong_text": 1, "duplicated": 1}),
        (changed(deleted=True, far=[]), {}),
        (changed(deleted=True), {"undeleted": 1}),
        (changed(reactions=HEART, far_reactions=HEART), {}),
        (changed(reactions=HEART), {"wrong_reactions": 1}),
        (changed(far_reactions=HEART), {"wrong_reactions": 1}),
        (changed(reactions=HEART, far_reactions=frozenset({("eve", "👍")})), {"wrong_reactions": 1}),
        # Of what is deleted the reactions do not matter, nor of what is lost anyway.
        (changed(deleted=True, far=[], far_reactions=HEART), {}),
        (changed(reactions=HEART, far=[]), {"lost": 1}),
    ],
)
def test_the_state_in_the_end(end: Way, expected: dict[str, int]) -> None:
    found = judge(end)
    assert numbers(found) == expected
    assert bool(found.problems) == bool(expected)
    assert found.wrong() == sum(map(expected.get, ("wrong_text", "wrong_reactions", "undeleted"), (0, 0, 0)))


def test_a_change_that_is_refused_without_need_is_a_fault() -> None:
    words = ["Your edit was not sent: no."]
    assert numbers(judge(changed(refused=words))) == {"refused": 1}
    # Its message was deleted meanwhile, or was itself reported.
    assert numbers(judge(changed(refused=words, deleted=True, far=[]))) == {}
    told: dict[str, tuple[Report, int]] = {"$a": ("uncertain", 1)}
    late = changed(revision=1, far=[Piece("a", 0, 0)], refused=words, reports=told)
    assert numbers(judge(late)) == {"uncertain": 1, "uncertain_but_sent": 1}


def test_parts_that_an_edit_adds_stand_at_the_end() -> None:
    grown = changed(revision=1, words=4, far=[Piece("a", 0, 1, 1), Piece("a", 2, 3, 1)])
    grown.accepted.append(Accepted(id="$b", token="b", words=1, sender="s", at=1))
    grown.arrived.insert(1, Arrived(id="farb", piece=Piece("b", 0, 0), sender="s", at=1))
    assert numbers(judge(grown)) == {}


def test_where_the_homeserver_took_a_message_twice_nobody_knows_which_was_changed() -> None:
    twice = changed(revision=1, far=[Piece("a", 0, 0, 1), Piece("a", 0, 0)])
    twice.accepted.append(Accepted(id="$again", token="a", words=1, sender="s", at=1))
    assert numbers(judge(twice)) == {}
    del twice.arrived[1]
    assert numbers(judge(twice)) == {"lost": 1}


# --- what people see --------------------------------------------------------------------------------------------------
def event(
    id: str, content: dict[str, Any], *, sender: str = "@eve:t", ts: int = 0, type: str = "m.room.message"
) -> Any:
    return ClientEvent(
        event_id=id, type=type, room_id="!r", sender=sender, origin_server_ts=ts, content=content, unsigned={}
    )


def edit_of(id: str, target: str, body: str, **more: Any) -> Any:
    relation = {"rel_type": "m.replace", "event_id": target}
    return event(id, {"body": "* x", "m.new_content": {"body": body}, "m.relates_to": relation}, **more)


def reaction_to(id: str, target: str, key: str, **more: Any) -> Any:
    relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
    return event(id, {"m.relates_to": relation}, type="m.reaction", **more)


def test_a_room_shows_the_last_edit_of_its_sender_and_each_reaction_once() -> None:
    shown = RoomShown(
        [
            event("$a", {"body": "a.0"}),
            edit_of("$2", "$a", "a~2.0", ts=20),
            edit_of("$1", "$a", "a~1.0", ts=10),
            edit_of("$x", "$a", "a~9.0", ts=30, sender="@mallory:t"),
            event("$gone", {}),
            edit_of("$3", "$gone", "gone~1.0", ts=30),
            reaction_to("$4", "$a", "❤\ufe0f"),
            reaction_to("$5", "$a", "❤", sender="@ghost_eve:t"),
            event("$6", {}, type="m.reaction"),
        ],
        lambda user: user[1:-2].removeprefix("ghost_"),
    )
    assert [each.event_id for each in shown.messages] == ["$a", "$gone"]
    assert [shown.piece(each) for each in shown.messages] == [Piece("a", 0, 0, 2), None]
    assert shown.reactions("$a") == HEART
    assert shown.reactions("$gone") == frozenset()


def test_a_chat_shows_what_was_not_taken_back() -> None:
    def message(id: str, *, deleted: bool = False) -> Message:
        return Message(id=id, chat="c", sender="eve", timestamp=0, text="", deleted=deleted)

    def react(seq: int, target: str, emoji: str, *, added: bool = True) -> ReactionEvent:
        return ReactionEvent(chat="c", seq=seq, timestamp=0, actor="eve", target=target, emoji=emoji, added=added)

    shown = ChatShown(
        [
            MessageEvent(chat="c", seq=1, timestamp=0, actor="eve", message=message("a")),
            MessageEvent(chat="c", seq=2, timestamp=0, actor="eve", message=message("b", deleted=True)),
            react(3, "a", "👍"),
            react(4, "a", "❤\ufe0f"),
            react(5, "b", "👍"),
            react(6, "a", "👍", added=False),
            DeleteEvent(chat="c", seq=7, timestamp=0, actor="eve", target="b"),
        ]
    )
    assert [each.message.id for each in shown.messages] == ["a"]
    assert [each.message.id for each in shown.all_messages] == ["a", "b"]
    assert shown.reactions("a") == HEART
    assert shown.reactions("b") == frozenset()


def test_what_the_bridge_said_of_a_change_names_its_message() -> None:
    def said(body: str, target: str, sender: str = "@bot:t") -> Any:
        return event("$n", {"body": body, "m.relates_to": {"m.in_reply_to": {"event_id": target}}}, sender=sender)

    events = [
        said("Your edit was not sent: no.", "$a"),
        said("Your deletion was not carried out: no.", "$a"),
        said("Your reaction was not sent: no.", "$b", sender="@eve:t"),
        said("Your message was not sent: no.", "$c"),
        event("$n", {"body": "Your edit was not sent"}, sender="@bot:t"),
    ]
    assert refused_of(events, "@bot:t") == {
        "$a": ["Your edit was not sent: no.", "Your deletion was not carried out: no."]
    }
    assert reports_of(events, "@bot:t") == {"$c": ("failed", 0)}
