"""``init``: the first configuration file."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import yaml

from bridgekit.adapter.base import Adapter
from bridgekit.cli._common import config_option
from bridgekit.config import Config, load_document
from bridgekit.core.permissions import default_permissions
from bridgekit.errors import ConfigError
from bridgekit.settings import Key, commented, parse_yaml, problems_as_error, read, sections
from bridgekit.settings.keys import takes_text

ASKED = ("homeserver.url", "homeserver.server_name", "appservice.url", "database")
"""The framework's keys with a flag of their own, in the order in which a person is asked."""

FLAGS = {"homeserver.server_name": "--server-name", "appservice.url": "--url"}
"""Shorter than what `flag` makes of the path."""

SUGGESTED = {"homeserver.url": "http://127.0.0.1:8008", "appservice.url": "http://127.0.0.1:29328"}
"""What most people want where the key has no default."""

HEAD = """\
The configuration of the {name} bridge. Every key: docs/reference/config.md
A text may also come from the environment or from a file: {{env: NAME}} or {{file: path}} in its place.
What is commented out has the value shown."""


def flag(path: str) -> str:
    """The option for a key."""
    return FLAGS.get(path) or "--" + re.sub(r"[._]", "-", path)


def asked_keys(adapter: type[Adapter]) -> list[Key]:
    """The keys with a flag of their own: the framework's, and those at the top of the adapter's part."""
    ours = {key.path: key for section in sections(Config) for key in section.keys}
    return [*(ours[path] for path in ASKED), *sections(adapter.config, "network")[0].keys]


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""
    keys = asked_keys(adapter)

    def options(command: Callable[..., None]) -> Callable[..., None]:
        for key in reversed(keys):
            option = click.option(flag(key.path), _variable(key.path), metavar="VALUE", help=key.description)
            command = option(command)
        return command

    @group.command(context_settings={"max_content_width": 100})
    @config_option
    @options
    @click.option("--admin", metavar="USER", help="Your own Matrix user id, which may administer the bridge.")
    @click.option(
        "--set", "more", metavar="KEY=VALUE", multiple=True, help="Any other key, such as appservice.port=8090."
    )
    @click.option("--ask/--no-ask", default=True, help="Ask for what no option says; else take the defaults.")
    @click.option("--force", is_flag=True, help="Replace a file that exists.")
    def init(
        config: Path, admin: str | None, more: tuple[str, ...], ask: bool, force: bool, **given: str | None
    ) -> None:
        """Write a configuration with every key explained.

        What no option says is asked for. A text may be given as {env: NAME} or {file: path}: then the bridge looks
        there at each start.
        """
        if config.exists() and not force:
            raise ConfigError(str(config), "there is a configuration already", "Use it, or replace it with --force.")
        values: dict[str, object] = {}
        for key in keys:
            said = given[_variable(key.path)]
            if said is None and (ask and (key.path in ASKED or key.default is None)):
                said = _ask(key)
            if said is not None:
                values[key.path] = _value(key, said, flag(key.path))
            elif key.default is None:
                raise ConfigError(key.path, f"it is missing; expected {key.kind}", f"Give {flag(key.path)}.")
        if port := _port(values.get("appservice.url")):
            values["appservice.port"] = port
        if admin is None and ask and all(given[_variable(path)] is None for path in ASKED):
            admin = _prompt("Your own Matrix user id, which may administer the bridge", default="")
        if admin:
            if not re.fullmatch(r"@[^:\s]+:\S+", admin):
                raise ConfigError("--admin", f"{admin} is no Matrix user id", "Write it like @alice:example.org.")
            server_name = values["homeserver.server_name"]
            values["permissions"] = {**default_permissions(str(server_name)), admin: "admin"}
        values.update(_set(one, adapter) for one in more)
        write(config, render(adapter, values, config), force=force)
        _say_next(config, click.get_current_context().parent)


def render(adapter: type[Adapter], values: dict[str, object], path: Path) -> str:
    """The file's text, which is certain to load where the environment is as it says. Raises `ConfigError`."""
    head = HEAD.format(name=adapter.network.name)
    text = commented(Config, values, parts={"network": adapter.config}, head=head)
    document = parse_yaml(text, path)
    # Nothing was written: there is no line to look at.
    unwritten = msgspec.structs.replace(document, lines={})
    reading = read(unwritten, Config, parts={"network": adapter.config}, look_up=False)
    if reading.problems:
        raise problems_as_error(unwritten, reading.problems)
    if reading.value is not None:
        load_document(unwritten, adapter)
    return text


def write(path: Path, text: str, *, force: bool) -> None:
    """Write the file so that nobody else can read it, not even for a moment: it may hold a password."""
    how = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, how, 0o600), "w", encoding="utf-8") as file:
            # One that was there keeps its owner and group; but not everybody's right to read what comes now.
            os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o660)
            file.write(text)
    except OSError as error:
        raise ConfigError(
            str(path), f"it cannot be written ({error.strerror})", "Name another with --config."
        ) from None


def _variable(path: str) -> str:
    return path.replace(".", "__")


def _ask(key: Key) -> str | None:
    """What the person says; None to leave the key out."""
    default = SUGGESTED.get(key.path, key.default)
    click.echo(f"\n{key.description}", err=True)
    answer = _prompt(key.path, default=default, hidden=key.secret and key.default is None)
    if answer is None and key.default is None:
        raise ConfigError(key.path, "there is nobody to ask", f"Give {flag(key.path)}.")
    return answer


def _prompt(question: str, *, default: str | None, hidden: bool = False) -> str | None:
    """What the person says; None if there is none: the standard input is at its end."""
    try:
        answer: str = click.prompt(question, default=default, hide_input=hidden, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        return None
    return answer


def _port(url: object) -> int | None:
    """Where the homeserver is told to go is where the bridge listens, unless ``--set`` says that something stands
    between them."""
    match = re.search(r":(\d{1,5})/?$", url) if isinstance(url, str) else None
    return int(match[1]) if match else None


def _value(key: Key, said: str, where: str) -> object:
    """What a person typed, as a value: a text stays a text, everything else is YAML."""
    if takes_text(key.type) and not re.fullmatch(r"\s*\{\s*(env|file)\s*:.*\}\s*", said):
        return said
    try:
        return yaml.safe_load(said)
    except yaml.YAMLError:
        raise ConfigError(where, "the value is not YAML", "Put it in quotes.") from None


def _set(one: str, adapter: type[Adapter]) -> tuple[str, object]:
    path, equals, said = one.partition("=")
    known = {key.path: key for section in sections(Config) for key in section.keys if key.path != "network"}
    known.update({key.path: key for section in sections(adapter.config, "network") for key in section.keys})
    if not equals or path not in known:
        what = f"there is no key `{path}`" if equals else "there is no = in it"
        raise ConfigError(f"--set {path}", what, "Write --set KEY=VALUE; docs/reference/config.md lists the keys.")
    return path, _value(known[path], said, f"--set {path}")


def _say_next(config: Path, program: click.Context | None) -> None:
    name = program.command_path if program is not None else "the bridge"
    option = "" if config == Path("config.yaml") else f" --config {config}"
    click.echo(f"Wrote {config}. Next:")
    steps = (
        ("register", "writes the registration: put its path into homeserver.yaml, at app_service_config_files"),
        ("check", "looks at everything, once the homeserver was restarted, and says what to mend"),
        ("run", "runs the bridge"),
    )
    for number, (command, meaning) in enumerate(steps, 1):
        click.echo(f"  {number}. {name} {command}{option}\n     {meaning}")
