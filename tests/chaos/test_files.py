"""The judge of files: each kind of fault is seen, and nothing else is called one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.chaos.files import MIB, Shown, make
from tests.chaos.judge import Accepted, Arrived, Way, judge
from tests.chaos.shown import RoomFile, RoomShown
from tests.chaos.test_judge import edit_of, event, numbers
from tests.chaos.words import Piece

FILE = Shown("a.bin", 3, "abc")
GONE = Shown("a.bin", 3, "")


def with_file(far: list[tuple[Piece, tuple[Shown, ...]]], *, sent: Shown | None = FILE, **how: Any) -> Way:
    """One message of two words, with a file, and the far end."""
    reports = how.pop("reports", {})
    return Way(
        name="a way",
        accepted=[Accepted(id="$a", token="a", words=2, sender="s", at=0, file=sent, **how)],
        arrived=[
            Arrived(id=f"far{index}", piece=piece, sender="s", at=0, files=files)
            for index, (piece, files) in enumerate(far)
        ],
        reports=reports,
    )


WHOLE = Piece("a", 0, 1)


@pytest.mark.parametrize(
    "faulty, expected",
    [
        (with_file([(WHOLE, (FILE,))]), {}),
        (with_file([(Piece("a", 0, 0), (FILE,)), (Piece("a", 1, 1), ())]), {}),
        (with_file([(WHOLE, ())]), {"wrong_files": 1}),
        (with_file([(WHOLE, (FILE, FILE))]), {"wrong_files": 1}),
        (with_file([(WHOLE, (FILE,))], sent=None), {"wrong_files": 1}),
        (with_file([(WHOLE, (Shown("a.bin", 3, "abd"),))]), {"wrong_files": 1}),
        (with_file([(WHOLE, (Shown("a.bin", 4, "abc"),))]), {"wrong_files": 1}),
        (with_file([(WHOLE, (Shown("b.bin", 3, "abc"),))]), {"wrong_files": 1}),
        (with_file([(Piece("a", 0, 0), (FILE,)), (Piece("a", 1, 1), (FILE,))]), {"wrong_files": 1}),
        (with_file([(WHOLE, (GONE,))]), {"dead_placeholders": 1}),
        (with_file([(WHOLE, (GONE,))], deleted=True), {"undeleted": 1}),
        (with_file([], reports={"$a": ("uncertain", 0)}), {"uncertain": 1}),
        (
            with_file([(WHOLE, (GONE,))], reports={"$a": ("uncertain", 0)}),
            {"uncertain": 1, "uncertain_but_sent": 1, "dead_placeholders": 1},
        ),
    ],
)
def test_files_are_compared(faulty: Way, expected: dict[str, int]) -> None:
    found = judge(faulty)
    assert numbers(found) == expected
    assert found.wrong() == sum(expected.get(name, 0) for name in ("wrong_files", "dead_placeholders", "undeleted"))


def test_a_file_is_told_by_its_token() -> None:
    made = [make("w7", Random(seed)) for seed in range(60)]
    assert {len(each.data) for each in made} > {0}
    assert max(len(each.data) for each in made) > MIB
    assert make("w7", Random(1)).shown == make("w7", Random(1)).shown != make("w8", Random(1)).shown


def test_a_room_shows_the_file_of_the_last_edit_and_none_behind_words() -> None:
    file = {"msgtype": "m.file", "filename": "a.bin", "url": "mxc://hs/1", "info": {"size": 3}}
    original = event("$a", {**file, "body": "a.0"})
    assert RoomShown([original], str).file(original) == RoomFile("a.bin", 3, "mxc://hs/1")
    renewed = edit_of("$b", "$a", "a.0")
    renewed.content["m.new_content"].update({**file, "url": "mxc://hs/2"})
    assert RoomShown([original, renewed], str).file(original) == RoomFile("a.bin", 3, "mxc://hs/2")
    given_up = edit_of("$c", "$a", "a.0")
    assert RoomShown([original, given_up], str).file(original) is None
