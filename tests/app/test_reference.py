"""What the documents and the examples say about configuration and commands is what the program does."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from bridgekit.cli import command_line
from bridgekit.cli.capabilities import described
from bridgekit.config import load
from bridgekit.matrix.registration import load as load_registration
from example_bridge.minimal import ChatAdapter
from example_bridge.webchat.adapter import WebchatAdapter
from scripts import docs_reference
from tests.app.toy import process


@pytest.mark.parametrize("path", docs_reference.files(), ids=lambda path: path.name)
def test_it_is_up_to_date(path: Path) -> None:
    wanted = docs_reference.files()[path]
    assert path.read_text(encoding="utf-8") == wanted, "run: python -m scripts.docs_reference"


def test_the_examples_load() -> None:
    load(docs_reference.ROOT / "config.example.yaml", WebchatAdapter)
    load_registration(docs_reference.ROOT / "registration.example.yaml")


def test_every_command_and_option_is_explained() -> None:
    open_ = [command_line(WebchatAdapter)]
    while open_:
        for name, command in open_.pop().commands.items():
            assert command.help, name
            for option in command.params:
                assert not isinstance(option, click.Option) or option.help, f"{name} {option.name}"
            if isinstance(command, click.Group):
                open_.append(command)


def test_capabilities(tmp_path: Path) -> None:
    said = process("capabilities", "--json", cwd=tmp_path)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    sessions = {one["name"]: one for one in found["sessions"]}
    assert set(sessions) == {"WebchatSession", "WebchatSessionWithoutDedupe"}
    assert "CanSend" in sessions["WebchatSession"]["capabilities"]
    assert "CanConfirm" not in sessions["WebchatSession"]["capabilities"]
    assert sessions["WebchatSession"]["dedupes_for_s"] == 3600
    assert sessions["WebchatSessionWithoutDedupe"]["dedupes_for_s"] is None
    assert sessions["WebchatSession"]["limits"] is None
    # A session that says nothing of limits has none, and another adapter's sessions are not this one's.
    (session,) = described(ChatAdapter)["sessions"]
    assert (session["name"], session["capabilities"]) == ("ChatSession", ["CanSend"])
    assert session["limits"]["max_text_length"] is None
    table = process("capabilities", cwd=tmp_path).out
    for name, meaning in found["capabilities"].items():
        assert name in table
        assert meaning in table
