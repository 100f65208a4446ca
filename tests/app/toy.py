"""A bridge without a network, and ways to run its command line inside the test or as a process."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import pytest

from bridgekit.adapter import Adapter, Login, Network, Prompt, Session
from bridgekit.cli import main

GOOD = """
homeserver: {url: "http://127.0.0.1:1", server_name: hs.test}
appservice: {registration: registration.yaml}
database: "sqlite:bridge.db"
network: {host: example.org}
"""


class ToyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The toy network."""

    host: Annotated[str, msgspec.Meta(min_length=1, description="Where it is.")]
    password: Annotated[str, msgspec.Meta(description="Its word.", extra={"secret": True})] = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=99, description="Its door.")] = 7
    rooms: Annotated[list[str], msgspec.Meta(description="Its rooms.")] = []

    def __post_init__(self) -> None:
        if self.host == self.password:
            raise ValueError("the word must not be the place")


class ToyAdapter(Adapter):
    network = Network(id="toy", name="Toy")
    config = ToyConfig

    async def login(self, prompt: Prompt) -> Login:
        raise NotImplementedError

    def connect(self, login: Login) -> Session:  # type: ignore[override]  # never connected
        raise NotImplementedError


def written(directory: Path, text: str = GOOD) -> Path:
    path = directory / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Cli:
    """Runs the toy's commands inside the test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str | Path) -> Said:
        with _logging_as_it_was(), pytest.raises(SystemExit) as ended:
            main(ToyAdapter, [str(arg) for arg in args])
        assert isinstance(ended.value.code, int)
        captured = self._capsys.readouterr()
        return Said(ended.value.code, captured.out, captured.err)


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """`run` sets logging up for a process of its own; this one's goes on as it was."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels = [(each, each.level) for each in loggers]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for each in (each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)):
            each.setLevel(logging.NOTSET)
        for each, level in levels:
            each.setLevel(level)


def process(*args: str | Path, cwd: Path, answers: str = "") -> Said:
    """Run the example bridge's command line as a process in `cwd`."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "example_bridge", *map(str, args)],
        cwd=cwd,
        env={"PYTHONPATH": str(root), "PATH": "", "LANG": "C.UTF-8"},
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
