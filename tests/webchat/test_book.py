"""The adapter is what authors copy from: it knows the network, and nothing of what is on the other side."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Final

import pytest

from bridgekit import adapter as bk
from example_bridge.webchat import adapter, translate

EXAMPLE: Final = Path(__file__).parents[2] / "example_bridge"
CHAPTERS: Final = (
    "adapter.py",
    "translate.py",
    "standing.py",
    "client.py",
    "acting.py",
    "filing.py",
    "link.py",
    "errors.py",
)

MATRIX: Final = re.compile(
    r"""matrix | mxc:// | mautrix | homeserver | appservice | ghost | power.?level
      | \bm\.[a-z]+\.?[a-z]* | io\.bridgekit | event_?id | room_?id | mxid
      | [@!#$+][\w.=/-]+:[\w.-]+\.[a-z]+""",
    re.VERBOSE | re.IGNORECASE,
)
"""Words and ids of the other side."""


def test_the_search_finds_what_it_looks_for() -> None:
    for words in ("@alice:example.org", "!abc:example.org", "mxc://example.org/abc", "m.room.message", "homeserver"):
        assert MATRIX.search(words), words
    for words in ("message.sender", "self.settings.url", "span.start", "http://127.0.0.1:8080", "MentionRoom"):
        assert not MATRIX.search(words), words


@pytest.mark.parametrize("path", [*(f"webchat/{name}" for name in CHAPTERS), "minimal.py"])
def test_no_word_of_the_other_side(path: str) -> None:
    text = (EXAMPLE / path).read_text(encoding="utf-8")
    for name in bk.__all__:  # such as MatrixMessage
        text = re.sub(rf"\bbk\.{name}\b", "bk", text)
    assert [match[0] for match in MATRIX.finditer(text)] == []


@pytest.mark.parametrize("path", ["webchat/adapter.py", "webchat/translate.py", "minimal.py"])
def test_it_imports_what_any_author_can(path: str) -> None:
    tree = ast.parse((EXAMPLE / path).read_text(encoding="utf-8"))
    names = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bridgekit")
        for alias in node.names
    }
    assert names <= {"bridgekit.adapter", "bridgekit.main"}


def test_every_chapter_says_what_it_is_for() -> None:
    for module in (adapter, translate):
        assert module.__doc__
        for name, each in vars(module).items():
            if getattr(each, "__module__", None) != module.__name__ or name.startswith("_"):
                continue
            assert each.__doc__, name
            for method, function in vars(each).items() if inspect.isclass(each) else ():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert function.__doc__, f"{name}.{method}"
