"""The judge itself: each kind of fault is seen, and nothing else is called one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.inflight import read_flights, unexplained
from tests.chaos.judge import Accepted, Arrived, Findings, Report, Way, judge
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
        (["+ 10 !r", "- 20 !r", "+ 110 !r", "- 120 !r"], {}),
        (["+ 10 !r", "+ 110 !r", "- 120 !r"], {"!r": [100]}),
        (["+ 10 !r", "- 120 !r"], {"!r": [100]}),  # the next process ended it
        (["+ 10 !r", "- 320 !r"], {"!r": [100]}),
        (["+ 10 !r", "+ 110 !r"], {"!r": [100, 200]}),
        (["+ 10 !r", "+ 20 !r", "- 30 !r"], {}),  # a mark for each part
        (["+ 310 !r", "+ 10 !s"], {"!s": [100]}),  # killed by nobody
    ],
)
def test_flights(tmp_path: Path, lines: list[str], expected: dict[str, list[int]]) -> None:
    log = tmp_path / "flights"
    log.write_text("\n".join(lines))
    assert read_flights(log, [100, 200, 300]) == expected
