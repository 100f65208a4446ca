"""docs/conformance.md, followed to the letter, in the tutorial's directory."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from bridgekit.testing import conformance
from bridgekit.testing.conformance import AdapterContract, Post, Remote
from tests.docs.edits import edit
from tests.docs.guide import blocks, run_sh
from tests.docs.terminal import pattern

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = ROOT / "docs" / "conformance.md"
TUTORIAL: Final = ROOT / "docs" / "tutorial"


async def test_the_page(tmp_path: Path) -> None:
    for name in ("linechat.py", "linechat_bridge.py"):
        shutil.copy(TUTORIAL / name, tmp_path)
    (ini,) = (block for block in blocks(ROOT / "docs" / "tutorial.md") if "`pytest.ini`" in block.lead)
    tmp_path.joinpath("pytest.ini").write_text(ini.text)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    printed = ""
    for block in blocks(GUIDE):
        if block.language == "python":
            edit(tmp_path, block.lead, block.text)
        elif block.language == "sh":
            text = f"if ({block.text}); then exit 99; fi" if block.mark == "fails" else block.text
            printed = await run_sh(text, cwd=tmp_path, env=env)
        else:
            left = iter(printed.splitlines())
            for line in block.text.splitlines():
                wanted = pattern(line)
                assert any(wanted.fullmatch(one.strip()) for one in left), (
                    f"{line!r} is not, in its place, in:\n{printed}"
                )


def test_everything_that_a_driver_can_do_is_on_the_page() -> None:
    page = GUIDE.read_text()
    listed = set(re.findall(r"`(?:Post\.)?(\w+)(?: = \w+)?`", page))
    optional = {name for name in vars(Remote) if not name.startswith("_")} - Remote.__abstractmethods__
    assert optional - {"settings"} <= listed
    assert {"mentions", "reply_to", "reactions"} == set(Post.__struct_fields__) - {"id", "sender", "text"} <= listed


def test_every_part_is_on_the_page() -> None:
    parts = {part.__name__ for part in AdapterContract.__bases__}
    rows = set(re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE))
    assert parts == rows & parts
    assert set(conformance.__all__) == parts | {"AdapterContract", "Remote", "Post"}


def test_every_test_says_what_it_needs_in_words_of_the_driver() -> None:
    """A name that the driver does not have would skip the test for ever."""
    for part in AdapterContract.__bases__:
        for needed in re.findall(r"@check\(([^)]*)\)", inspect.getsource(part)):
            for name in re.findall(r'"(\w+)"', needed):
                assert hasattr(Remote, name), f"{part.__name__}: {name}"
