"""Every command of the README is run by some test, every link leads somewhere, and the code in it is the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.docs.guide import blocks

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
TEXT: Final = README.read_text(encoding="utf-8")

RUN_BY: Final = {
    # command: what its recipe runs, and the test that runs just that
    "make demo": ("python -m example_bridge.demo", "acceptance/test_demo.py::test_it_shows_a_bridge_and_goes_on_later"),
    "make demo CHECK=1": (
        "python -m example_bridge.demo --check",
        "acceptance/test_demo.py::test_the_scripted_conversation",
    ),
    "make test": (
        "python -m pytest -n auto --maxprocesses 4 --dist loadfile",
        "docs/test_readme.py::test_every_command_is_run_by_a_test",  # this very run
    ),
    "make chaos": (
        "python -m tests.chaos",
        "acceptance/test_chaos_short.py::test_nothing_is_lost_doubled_or_reordered",
    ),
    "make docs": (
        "sphinx-build -q -W --keep-going -E -d site/.doctrees -b html docs site",
        "docs/test_site.py::test_pages_fetch_nothing_from_elsewhere",
    ),
}


def commands() -> set[str]:
    """All that a reader may type: the blocks in sh, and what stands between backticks and begins like a command."""
    lines = [
        line for block in blocks(README) if block.language in ("sh", "console") for line in block.text.splitlines()
    ]
    inline = re.findall(r"`((?:make|python3?|pip|git|docker|curl) [^`]+)`", TEXT)
    return {line.removeprefix("$ ").partition("  #")[0].strip() for line in [*lines, *inline]} - {""}


def test_every_command_is_run_by_a_test() -> None:
    assert commands() == set(RUN_BY), "tell RUN_BY which test runs the new command"


@pytest.mark.parametrize("command", RUN_BY)
def test_the_command_is_what_its_test_runs(command: str) -> None:
    runs, test = RUN_BY[command]
    # Without what a make that runs this test has put there for those below it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    dry = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert any(line.rstrip().endswith(f"/{runs}") for line in dry.stdout.splitlines()), dry.stdout
    path, name = test.split("::")
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_bridge_that_is_shown_is_the_file() -> None:
    (shown,) = [block.text for block in blocks(README) if block.language == "python"]
    assert shown == (ROOT / "example_bridge" / "minimal.py").read_text(encoding="utf-8")
    assert 25 <= len(shown.splitlines()) <= 40


def test_the_promised_ends_of_the_table_are_there() -> None:
    for path in re.findall(r"`((?:tests|example_bridge)/[^`]*)`", TEXT):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for target in (markdown or html for markdown, html in targets):
        if not re.match(r"https?://", target):
            path, _, _ = target.partition("#")
            assert (ROOT / path).exists(), target


def test_the_house_map_is_the_houses() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    lines = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layers\n")[2].splitlines()
    drawn = [line.strip().partition("   ")[0] for line in lines if line.startswith("    ")]
    assert [re.findall(r"\w+", line) for line in drawn] == [re.findall(r"\w+", layer) for layer in layers]
