"""The command line, the same for every bridge: ``main(MyAdapter)``.

A command is a module here with ``def add(group: click.Group, adapter: type[Adapter]) -> None``, which declares the
command with ``@group.command()`` (a family of them with ``@group.group()``), and a line in `_commands`. Its callback

- takes ``--config`` and ``--json`` from `bridgekit.cli._common` (`config_option`, `json_option`), the same everywhere,
- prints its result to standard output, with `table` or `print_json`,
- raises `BridgekitError` for what a person can mend; `main` prints what, where and the fix to standard error,
- returns None, or an `Exit` that is not `Exit.FINE`; it never calls `sys.exit`.
"""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import click

from bridgekit.adapter.base import Adapter
from bridgekit.cli import capabilities, check, dead, init, register, run, status
from bridgekit.cli._common import EPILOG, CommandGroup, Exit, report
from bridgekit.errors import BridgekitError

__all__ = ["Exit", "command_line", "main"]


def _commands() -> tuple[ModuleType, ...]:
    """In the order in which people need them, which is the order in ``--help``."""
    return (init, register, check, run, status, dead, capabilities)


def command_line(adapter: type[Adapter]) -> click.Group:
    """The bridge's commands, not run yet."""

    @click.group(cls=CommandGroup, help=f"The {adapter.network.name} bridge.", epilog=EPILOG)
    def cli() -> None:
        pass

    for module in _commands():
        module.add(cli, adapter)
    return cli


def main(adapter: type[Adapter], args: list[str] | None = None) -> None:
    """Run a bridge's command line. Never returns; the exit codes are those of `Exit`."""
    try:
        code = command_line(adapter).main(args=args, standalone_mode=False)
    except BridgekitError as error:
        sys.exit(report(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(Exit.INTERRUPTED)
    sys.exit(int(code or Exit.FINE))
