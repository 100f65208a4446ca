"""A framework for Matrix bridges that never lose, double or reorder a message.

An author writes one adapter (`bridgekit.adapter`) and starts it with `main`; `bridgekit.testing` is for the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgekit.adapter import Adapter

__all__ = ["__version__", "main"]

__version__ = "0.1.0"


def main(adapter: type[Adapter], args: Sequence[str] | None = None) -> None:
    """Run a bridge's command line, with this process's arguments unless `args` are given. Never returns."""
    from bridgekit import cli  # here, for whoever wants a part of the library need not load all of it

    cli.main(adapter, None if args is None else list(args))
