"""The promise names tests and numbers that there are."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Final

import msgspec

from bridgekit.runtime import copies, gaps, lease, points, posting, retrying, sending
from tests.chaos.result import Result
from tests.chaos.run import Options

ROOT: Final = Path(__file__).parents[2]
PROMISE: Final = (ROOT / "docs" / "promise.md").read_text(encoding="utf-8")
HOW: Final = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_it_names_is_there() -> None:
    named = re.findall(r"`([a-z]+/\w+\.py)::(\w+)`", PROMISE)
    assert len(named) > 30
    assert not {f"{path}::{test}" for path, test in named if test not in functions(ROOT / "tests" / path)}


def test_every_fault_names_what_shows_it() -> None:
    table = PROMISE.partition("## Faults\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"\[\^\d+\]", row.split(" | ")[3]), row


def test_the_numbers_of_the_tests_are_in_order() -> None:
    text, _, notes = PROMISE.partition("\n[^1]: ")
    used = list(dict.fromkeys(re.findall(r"\[\^(\d+)\]", text)))
    assert used == [str(number) for number in range(1, len(used) + 1)]
    assert ["1", *re.findall(r"^\[\^(\d+)\]: ", notes, re.MULTILINE)] == used


def test_the_quoted_run_is_one() -> None:
    quoted = json.loads(PROMISE.partition("```json\n")[2].partition("\n```")[0])
    assert isinstance(quoted["problems"], int)
    result = msgspec.convert({**quoted, "problems": []}, Result)
    assert result.ok and not result.judged(min_hits=1)
    assert set(quoted) == set(Result.__struct_fields__)
    assert set(result.points) == {*points.POINTS}
    # A kill at a point that was not reached in time is made up for by another.
    assert f"KILLS={result.kills - result.missed} SEED={result.seed} " in PROMISE
    assert f"kills the bridge {Options().kills} times" in PROMISE


def test_the_numbers_are_those_of_the_code() -> None:
    delivery = retrying.Delivery()
    numbers = {
        f"more than {gaps.MAX_PAGES * 100:,} events ago": PROMISE,
        f"last {posting.LOOK_BACK_PAGES * 100:,} events": PROMISE,
        f"more than {posting.LOOK_BACK_PAGES * 100:,} events were sent": PROMISE,
        f"older than {delivery.txn_memory_ms // 3_600_000} hours": PROMISE,
        f"more than {delivery.txn_memory_ms // 3_600_000} hours": PROMISE,
        f"differ by more than {lease.TTL_MS // 1000} s": PROMISE,
        f"renewed every {lease.RENEW_EVERY_S:g} s, good for {lease.TTL_MS // 1000} s": HOW,
        {5_000: "by five seconds"}[copies.GRACE_MS]: PROMISE,
        {0.9: "Nine tenths of that time"}[sending.DEDUPE_MARGIN]: PROMISE,
    }
    for words, page in numbers.items():
        assert words in " ".join(page.split()), words


def test_the_defaults_are_those_of_the_configuration() -> None:
    keys = (ROOT / "docs/reference/config.md").read_text(encoding="utf-8")
    for key, said in (
        ("delivery.keep_event_ids_days", "30"),
        ("delivery.keep_dead_letters_days", "90"),
        ("catch_up.replay", "50"),
        ("catch_up.older_than_s", "6 hours"),
    ):
        row = re.search(rf"^\| `{re.escape(key)}` \|.*$", keys, re.MULTILINE)
        assert row is not None
        default = row[0].split(" | ")[2].strip("`")
        assert f"`{key}` ({said})" in PROMISE.replace("\n", " ")
        assert default == said.replace("6 hours", str(6 * 3600)), key


def test_the_files_that_the_explanation_names_are_there() -> None:
    named = re.findall(r"`((?:\w+/)+\w*(?:\.py)?|ports\.py)`", HOW)
    assert len(named) > 20
    for path in named:
        places = (ROOT / path, ROOT / "bridgekit" / path)
        assert any(place.exists() for place in places), path
