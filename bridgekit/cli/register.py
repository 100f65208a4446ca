"""``register``: the registration, to be given to the homeserver."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

import click
import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.app import new_registration
from bridgekit.cli._common import config_option
from bridgekit.config import HTTP_URL, AppserviceConfig, load
from bridgekit.errors import ConfigError
from bridgekit.matrix import registration as registrations
from bridgekit.matrix.registration import Registration, differences, to_yaml


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""

    @group.command()
    @config_option
    @click.option("--url", help="Where the homeserver reaches the bridge.  [default: appservice.url]")
    @click.option("--bot", help=f"The bot's localpart.  [default: {adapter.network.id}bot]")
    @click.option(
        "--update", is_flag=True, help="Bring one that exists in step with the configuration; keep its tokens."
    )
    @click.option("--force", is_flag=True, help="Replace one that exists, with new tokens.")
    def register(config: Path, url: str | None, bot: str | None, update: bool, force: bool) -> None:
        """Write the registration, to be given to the homeserver.

        One that exists is compared with what the configuration asks for, and left as it is. It is a plain file, because
        the homeserver reads it too: its tokens cannot come from the environment.
        """
        _check("--url", url, HTTP_URL, "an http:// or https:// URL")
        # Spec, appendices, "User Identifiers": what a localpart may hold.
        _check("--bot", bot, r"^[a-z0-9._=/+-]+$", "the part between @ and : of a user id, in lower case")
        parsed, _ = load(config, adapter)
        path = config.resolve().parent / parsed.appservice.registration
        there = None if force or not path.exists() else registrations.load(path)
        bot = bot or (there.sender_localpart if there else f"{adapter.network.id}bot")
        wanted = new_registration(
            parsed, adapter, url=url or listen_url(parsed.appservice, where=str(config)), bot_localpart=bot
        )
        if there is not None:
            wrong = differences(wanted, there)
            if not wrong:
                click.echo(f"{path} is there already, and is what the configuration asks for.")
                return
            if not update:
                raise ConfigError(
                    str(path),
                    f"there is a registration already, which differs in {', '.join(wrong)}",
                    "Use it and mend the configuration, bring it in step with --update, or replace it with --force.",
                )
            wanted = msgspec.structs.replace(wanted, id=there.id, as_token=there.as_token, hs_token=there.hs_token)
        _write(path, wanted)
        click.echo(f"Wrote {path}. Next:")
        click.echo("  name it in the homeserver's app_service_config_files")
        click.echo("  restart the homeserver: it reads the file only when it starts")


def _check(option: str, value: str | None, pattern: str, expected: str) -> None:
    if value is not None and not re.search(pattern, value):
        raise ConfigError(option, f'expected {expected}, found the text "{value}"', "Mend that value.")


def listen_url(appservice: AppserviceConfig, *, where: str) -> str:
    """Where the homeserver reaches the bridge, by the configuration alone. Raises `ConfigError`."""
    if appservice.url:
        return appservice.url
    host = appservice.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass  # a name
    else:
        if address.is_unspecified:
            what = f"it is missing, and {host} in appservice.host is no address that a homeserver could go to"
            raise ConfigError(f"{where}: appservice.url", what, "Add it, or give --url.")
        host = f"[{host}]" if address.version == 6 else host
    return f"http://{host}:{appservice.port}"


def _write(path: Path, registration: Registration) -> None:
    # It holds two secrets: nobody else may read it, not even for the moment before a chmod.
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(to_yaml(registration))
    except OSError as error:
        raise ConfigError(str(path), f"it cannot be written ({error.strerror})", "Name another path.") from None
