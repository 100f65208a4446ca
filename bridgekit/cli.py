"""The command line, the same for every bridge: ``main(MyAdapter)``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import uvloop

from bridgekit.adapter.base import Adapter
from bridgekit.app import App, new_registration, set_up_logging
from bridgekit.config import load
from bridgekit.errors import BridgekitError, ConfigError, LeaseHeld
from bridgekit.matrix.registration import to_yaml

BAD_INPUT = 2
"""Exit code for a mistake in a file or an option; 1 is for anything else that ended the bridge."""


def main(adapter: type[Adapter], args: list[str] | None = None) -> None:
    """Run a bridge's command line. Never returns."""

    @click.group(help=f"The {adapter.network.name} bridge.")
    def cli() -> None:
        pass

    config_option = click.option(
        "--config", "-c", default="config.yaml", show_default=True, type=click.Path(path_type=Path), help="YAML file"
    )

    @cli.command()
    @config_option
    @click.option("--wait/--no-wait", default=True, help="Wait while another process works on the database.")
    def run(config: Path, wait: bool) -> None:
        """Run the bridge until SIGTERM or Ctrl-C."""
        parsed, settings = load(config, adapter)
        set_up_logging(parsed.logging.level)
        app = App(adapter, parsed, settings, directory=config.resolve().parent)
        sys.exit(uvloop.run(app.run(wait_for_lease=wait)))

    @cli.command()
    @config_option
    @click.option("--url", required=True, help="Where the homeserver reaches the bridge.")
    @click.option("--bot", default=f"{adapter.network.id}bot", show_default=True, help="The bot's localpart.")
    @click.option("--force", is_flag=True, help="Replace a registration that exists.")
    def register(config: Path, url: str, bot: str, force: bool) -> None:
        """Write a registration with new tokens, to be given to the homeserver."""
        parsed, _ = load(config, adapter)
        path = config.resolve().parent / parsed.appservice.registration
        if path.exists() and not force:
            raise ConfigError(str(path), "there is a registration already", "Use it, or replace it with --force.")
        registration = new_registration(parsed, adapter, url=url, bot_localpart=bot)
        # It holds two secrets: nobody else may read it, not even for the moment before a chmod.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(to_yaml(registration))
        click.echo(f"Wrote {path}. Name it in the homeserver's app_service_config_files, and restart the homeserver.")

    try:
        cli.main(args=args, standalone_mode=False)
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
    except LeaseHeld as error:
        click.echo(f"error: {error}. Stop that process, or give this bridge a database of its own.", err=True)
        sys.exit(1)
    except BridgekitError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    sys.exit(0)
