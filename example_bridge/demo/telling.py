"""What the demo tells at the terminal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final


class DemoError(Exception):
    """The demo cannot go on; the message is for the person at the terminal."""


class Teller:
    """Prints at once, steps with the time since the start."""

    def __init__(self) -> None:
        self._began: Final = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def step(self, what: str) -> None:
        """Say what begins now."""
        print(f"{self.elapsed_s:6.1f} s  {what}", flush=True)

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def complain(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
