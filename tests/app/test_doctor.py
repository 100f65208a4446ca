"""What the doctor makes of what it saw on this machine, and what it says where."""

from __future__ import annotations

import ast
import errno
import inspect
import re
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from bridgekit.cli import check as command
from bridgekit.core import ping
from bridgekit.core.finding import Examination, Finding, count, failed, ok, skipped, warning
from bridgekit.doctor import CHECKS, local
from bridgekit.doctor.local import Process
from bridgekit.errors import ConfigError
from bridgekit.matrix.doctor import registration, server, service
from bridgekit.store.inspect import Inspected, Problem

MIB = 2**20
DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"


def is_whole(finding: Finding) -> None:
    """Whatever is wrong has words and one thing to do; what is well asks for nothing."""
    assert finding.what
    assert bool(finding.fix) is (finding.outcome in ("failed", "warning"))


# --- one mistake is told once -----------------------------------------------------------------------------------------
def test_what_stands_on_a_failure_is_skipped_with_its_root() -> None:
    told: list[Finding] = []
    exam = Examination(told.append)
    exam.add(failed("as_token", "wrong", "mend"))
    assert not exam.stands("bot", on=["as_token"])
    assert not exam.stands("devices", "encryption", on=["homeserver", "bot"])
    assert [(f.name, f.because) for f in exam.findings[1:]] == [
        ("bot", "as_token"),
        ("devices", "as_token"),
        ("encryption", "as_token"),
    ]
    assert told == exam.findings
    assert str(count(told)) == "0 ok, 0 warnings, 1 failed, 3 skipped"


def test_warnings_and_what_cannot_be_known_are_no_obstacle() -> None:
    exam = Examination()
    exam.add(ok("a", "fine"))
    exam.add(warning("b", "so so", "mend"))
    exam.add(skipped("c", "nobody knows"))
    assert exam.stands("d", on=["a", "b", "c", "never made"])
    exam.skip("a", "d", because="b")  # `a` was looked at already
    assert [finding.name for finding in exam.findings] == ["a", "b", "c", "d"]


# --- files ------------------------------------------------------------------------------------------------------------
def test_every_mistake_in_a_file_has_its_line() -> None:
    more = [ConfigError("c.yaml: b", "worse", "Mend b.")]
    error = ConfigError("c.yaml: a", "bad", "Mend a.", more=more)
    for findings in (local.judge_config(error, "c.yaml"), local.judge_registration(error, "c.yaml")):
        assert [(f.where, f.what, f.fix) for f in findings] == [
            ("c.yaml: a", "bad", "Mend a."),
            ("c.yaml: b", "worse", "Mend b."),
        ]
        assert {finding.outcome for finding in findings} == {"failed"}
    assert [f.outcome for f in local.judge_config(None, "c.yaml")] == ["ok"]
    assert [f.outcome for f in local.judge_registration(None, "c.yaml")] == ["ok"]


@pytest.mark.parametrize(
    ("mode", "outcome"), [(0o600, "ok"), (0o640, "ok"), (0o644, "warning"), (0o604, "warning"), (0o602, "warning")]
)
def test_secrets(mode: int, outcome: str) -> None:
    finding = local.judge_secrets([("a", 0o600), ("b", mode)])
    assert finding.outcome == outcome
    assert finding.fix in ("", "chmod 600 b")


# --- the database -----------------------------------------------------------------------------------------------------
SQLITE = Inspected(kind="sqlite", place="/data/b.db", known=3, schema=3)
POSTGRES = Inspected(kind="postgres", place="db/bridge", known=3, schema=3, server_version=150_004, encoding="UTF8")


@pytest.mark.parametrize(
    ("seen", "changes", "outcome", "what"),
    [
        (SQLITE, {}, "ok", "SQLite: /data/b.db is there"),
        (SQLITE, {"schema": None}, "ok", "the first start fills it"),
        (SQLITE, {"schema": 2}, "ok", "has schema 2; the next start brings it to 3"),
        (SQLITE, {"schema": 4}, "failed", "used by a newer bridgekit (schema 4; this program knows 3)"),
        (POSTGRES, {}, "ok", "PostgreSQL 15: db/bridge is there"),
        (POSTGRES, {"schema": 4}, "failed", "newer bridgekit"),
        (POSTGRES, {"server_version": 120_022}, "failed", "PostgreSQL 12 at db/bridge is too old"),
        (POSTGRES, {"server_version": 90_624}, "failed", "PostgreSQL 9 at db/bridge is too old"),
        (POSTGRES, {"encoding": "SQL_ASCII"}, "failed", "is in SQL_ASCII"),
        (POSTGRES, {"read_only": True}, "failed", "standby"),
    ],
)
def test_the_database(seen: Inspected, changes: dict[str, object], outcome: str, what: str) -> None:
    finding = local.judge_database(msgspec.structs.replace(seen, **changes), where="database")
    assert (finding.name, finding.outcome) == ("database", outcome)
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize("problem", Problem.__args__)  # type: ignore[attr-defined]  # typing does not know of it
def test_every_problem_of_a_database_has_its_own_words(problem: Problem) -> None:
    finding = local.judge_database(
        Inspected(kind="postgres", place="db/bridge", known=3, problem=problem, detail="the reason"), where="database"
    )
    assert finding.outcome == "failed"
    assert "the reason" in finding.what or problem in ("locked", "address")
    is_whole(finding)


# --- the disk ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("free", "outcome", "what"),
    [
        (0, "failed", "only 0 MiB"),
        (99 * MIB, "failed", "only 99 MiB"),
        (101 * MIB, "warning", "only 101 MiB"),
        (1023 * MIB, "warning", "only 1023 MiB"),
        (1536 * MIB, "ok", "1.5 GiB"),
    ],
)
def test_the_disk(free: int, outcome: str, what: str) -> None:
    finding = local.judge_disk(free, "/data")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


MOUNTS = """\
22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a
23 22 8:1 / /data rw,relatime shared:1 - ext4 /dev/sda1 rw
24 23 0:40 / /data/with\\040space rw - nfs4 nas:/x rw
25 22 0:41 / /tmp rw,nosuid - tmpfs tmpfs rw
26 25 8:2 / /tmp rw - xfs /dev/sdb1 rw
27 22 0:42 / /dat rw - ramfs none rw
a line that means nothing
"""


@pytest.mark.parametrize(
    ("directory", "kind", "outcome"),
    [
        ("/", "overlay", "warning"),
        ("/home/bridge", "overlay", "warning"),
        ("/data", "ext4", "ok"),
        ("/data/bridge", "ext4", "ok"),
        ("/database", "overlay", "warning"),
        ("/data/with space/x", "nfs4", "failed"),
        ("/tmp/x", "xfs", "ok"),  # mounted over the first
        ("/dat", "ramfs", "warning"),
    ],
)
def test_the_file_system(directory: str, kind: str, outcome: str) -> None:
    assert local.file_system_of(directory, MOUNTS) == kind
    finding = local.judge_file_system(kind, directory)
    assert finding.outcome == outcome
    is_whole(finding)


def test_a_system_that_does_not_say() -> None:
    assert local.file_system_of("/data", "") is None
    assert local.judge_file_system(None, "/data").outcome == "skipped"


# --- process and port -------------------------------------------------------------------------------------------------
OWNER = "box:boot:4026/77/123/abcd"


@pytest.mark.parametrize(
    ("owner", "expires_at", "is_dead", "expected"),
    [
        (None, 0, False, Process("no")),
        (OWNER, 999, False, Process("no")),
        (OWNER, 5000, True, Process("no")),
        (OWNER, 5000, False, Process("here", "process 77")),
        ("other:boot:4026/77/1/a", 5000, False, Process("elsewhere", "process 77 on other")),
        ("strange", 5000, False, Process("elsewhere", "process  on strange")),
    ],
)
def test_who_works_here(owner: str | None, expires_at: int, is_dead: bool, expected: Process) -> None:
    process = local.holder(owner, expires_at, now=1000, this_machine="box:boot:4026", is_dead=is_dead)
    assert process == expected
    assert local.judge_process(process).outcome == "ok"


NO, UNKNOWN = Process("no"), Process("unknown")
HERE, ELSEWHERE = Process("here", "process 77"), Process("elsewhere", "process 77 on other")


@pytest.mark.parametrize(
    ("seen", "process", "outcome", "what"),
    [
        ("free", NO, "ok", "this check listens there"),
        ("bridge", NO, "failed", "a bridge with this registration"),
        ("other", NO, "failed", "another program"),
        ("bridge", HERE, "ok", "the running bridge"),
        ("other", HERE, "failed", "does not listen on"),
        ("nobody", HERE, "failed", "does not listen on"),
        ("bridge", UNKNOWN, "ok", "a bridge with this registration"),
        ("other", UNKNOWN, "failed", "another program"),
        ("free", UNKNOWN, "ok", "this check listens there"),
        ("free", ELSEWHERE, "skipped", "on another machine (process 77 on other)"),
        (OSError(errno.EACCES, "Permission denied"), NO, "failed", "Permission denied"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), NO, "failed", "Cannot assign"),
        (OSError("unknown host"), NO, "failed", "unknown host"),
    ],
)
def test_the_port(seen: local.Seen | OSError, process: Process, outcome: str, what: str) -> None:
    finding = local.judge_port(seen, process, "127.0.0.1:1")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("error", "process", "enabled", "outcome"),
    [
        (None, NO, True, "ok"),
        (OSError(errno.EADDRINUSE, "in use"), NO, True, "failed"),
        (None, HERE, True, "skipped"),
        (None, UNKNOWN, True, "skipped"),
        (None, NO, False, "skipped"),
    ],
)
def test_monitoring(error: OSError | None, process: Process, enabled: bool, outcome: str) -> None:
    finding = local.judge_monitoring(error, process, "127.0.0.1:1", enabled=enabled)
    assert finding.outcome == outcome
    is_whole(finding)


# --- what is printed, and what is written of it -----------------------------------------------------------------------
def test_a_line_for_each_finding_and_colours_only_on_a_terminal() -> None:
    @click.command()
    def show() -> None:
        for finding in (ok("ping", "fine"), skipped("bot", "why"), failed("port", "bad", "Mend it.", where="x.yaml")):
            command._line(finding)

    expected = (
        "ok   ping            fine\n"
        "skip bot             why\n"
        "FAIL port            bad\n"
        "       where: x.yaml\n"
        "       fix: Mend it.\n"
    )
    assert CliRunner().invoke(show).output == expected
    coloured = CliRunner().invoke(show, color=True).output
    assert "\x1b[31mFAIL\x1b[0m port" in coloured
    assert click.unstyle(coloured) == expected


def rows() -> list[list[str]]:
    """The cells of the rows that explain a check."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]


def test_every_check_is_explained() -> None:
    assert {row[0].strip("`") for row in rows()} == set(CHECKS)
    assert len(set(CHECKS)) == len(CHECKS)


def test_what_is_explained_is_what_is_said() -> None:
    """Each piece of each text between two `…` stands in the code, where a piece ends at what is filled in."""
    texts = "\n".join(
        node.value[:1].lower() + node.value[1:]
        for module in (local, registration, server, service, ping)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    for name, what, fix in rows():
        if name in ("`config`", "`registration`", "`process`"):
            continue  # said elsewhere, or nothing is ever wrong
        for cell in (what, fix):
            for piece in re.split("…|GIVE IT", cell):
                piece = piece.strip().rstrip(":,. ")
                assert piece[:1].lower() + piece[1:] in texts, (name, cell)
