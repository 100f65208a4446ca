"""``run``: the bridge itself."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop

from bridgekit.adapter.base import Adapter
from bridgekit.app import App
from bridgekit.cli._common import Exit, config_option
from bridgekit.config import load
from bridgekit.logs import set_up_logging


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""

    @group.command()
    @config_option
    @click.option("--wait/--no-wait", default=True, help="Wait while another process works on the database.")
    def run(config: Path, wait: bool) -> Exit:
        """Run the bridge until SIGTERM or Ctrl-C."""
        parsed, settings = load(config, adapter)
        own_package = adapter.__module__.partition(".")[0]
        set_up_logging(parsed.logging.level, parsed.logging.format, packages=(own_package,))
        app = App(adapter, parsed, settings, directory=config.resolve().parent)
        return Exit(uvloop.run(app.run(wait_for_lease=wait)))
