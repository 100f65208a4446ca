"""The registration: the file that introduces the bridge to the homeserver."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bridgekit.errors import ConfigError
from bridgekit.settings import load_yaml, problems_as_error


class Namespace(msgspec.Struct, frozen=True):
    """A regular expression over ids. `exclusive`: nobody but the bridge may have one that it matches."""

    regex: str
    exclusive: bool = True


class Namespaces(msgspec.Struct, frozen=True):
    """What the bridge is told about, and may make."""

    users: tuple[Namespace, ...] = ()
    aliases: tuple[Namespace, ...] = ()
    rooms: tuple[Namespace, ...] = ()


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Spec, application service API, "Registration"; and what bridgekit needs beyond it.

    `url` None: the homeserver sends nothing. `push_ephemeral` is what `receive_ephemeral` was called in MSC2409; old
    homeservers know no other name. `org_matrix_msc3202` and `io_element_msc4190` let the bridge give its users devices.
    """

    id: str
    url: str | None
    as_token: str
    hs_token: str
    sender_localpart: str
    namespaces: Namespaces
    rate_limited: bool = True  # the specification's default
    receive_ephemeral: bool = False
    push_ephemeral: bool = msgspec.field(name="de.sorunome.msc2409.push_ephemeral", default=False)
    org_matrix_msc3202: bool = msgspec.field(name="org.matrix.msc3202", default=False)
    io_element_msc4190: bool = msgspec.field(name="io.element.msc4190", default=False)


def generate(
    *,
    id: str,
    url: str | None,
    server_name: str,
    sender_localpart: str,
    users: Sequence[str],
    aliases: Sequence[str],
    new_token: Callable[[], str] = lambda: secrets.token_urlsafe(48),
) -> Registration:
    """A new registration with new tokens.

    `users` and `aliases` are regular expressions of the exclusive namespaces (`GhostNamespace.exclusive_regex`,
    `exclusive_alias_regex`); the bot's own user is added.
    """
    bot = f"^@{_escape(sender_localpart)}:{_escape(server_name)}$"
    return Registration(
        id=id,
        url=url,
        as_token=new_token(),
        hs_token=new_token(),
        sender_localpart=sender_localpart,
        namespaces=Namespaces(
            users=tuple(Namespace(regex) for regex in (bot, *users)),
            aliases=tuple(Namespace(regex) for regex in aliases),
        ),
        rate_limited=False,
        receive_ephemeral=True,
        push_ephemeral=True,
        org_matrix_msc3202=True,
        io_element_msc4190=True,
    )


def differences(wanted: Registration, found: Registration) -> list[str]:
    """In which keys `found` is not what `wanted` says, in YAML's names. Its id, its tokens and what it has beyond that
    are its own."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(Registration)}
    free = {"id", "as_token", "hs_token", "namespaces"}
    wrong = [names[name] for name in names if name not in free and getattr(wanted, name) != getattr(found, name)]
    spaces = ("users", "aliases", "rooms")
    there = {kind: set(getattr(found.namespaces, kind)) for kind in spaces}
    return wrong + [f"namespaces.{kind}" for kind in spaces if not set(getattr(wanted.namespaces, kind)) <= there[kind]]


def _escape(literal: str) -> str:
    # Only what every regular expression engine wants escaped: some refuse a needless backslash.
    return re.sub(r"[^A-Za-z0-9_:=/-]", r"\\\g<0>", literal)


def to_yaml(registration: Registration) -> str:
    """The file to give to the homeserver, with comments for the person who does that."""
    r = registration
    return f"""\
# Introduces the bridge to the homeserver. Made by bridgekit; it holds two secrets, so let nobody else read it.
#
# Give this very file to the homeserver (Synapse: app_service_config_files in homeserver.yaml) and restart it: it reads
# the file only when it starts. After every change here, restart both.

# Names this bridge on the homeserver; no two bridges may share it.
id: {_scalar(r.id)}

# Where the homeserver reaches the bridge. In containers, localhost is the container itself.
url: {_scalar(r.url)}

# The bridge proves with as_token who it is, the homeserver with hs_token.
as_token: {_scalar(r.as_token)}
hs_token: {_scalar(r.hs_token)}

# The bridge's own user (the bot), without @ and server.
sender_localpart: {_scalar(r.sender_localpart)}

# Which users and aliases are the bridge's. exclusive: nobody else may make one that fits.
namespaces:
  users:{_namespaces(r.namespaces.users)}
  aliases:{_namespaces(r.namespaces.aliases)}
  rooms:{_namespaces(r.namespaces.rooms)}

# false: the homeserver does not slow the bridge down; a bridge speaks for many people at once.
rate_limited: {_scalar(r.rate_limited)}

# Typing, receipts and presence are sent to the bridge too. (The second is the old name for it.)
receive_ephemeral: {_scalar(r.receive_ephemeral)}
de.sorunome.msc2409.push_ephemeral: {_scalar(r.push_ephemeral)}

# The bridge's users have devices, so that the homeserver recognises a repeated message even after a restart.
org.matrix.msc3202: {_scalar(r.org_matrix_msc3202)}
io.element.msc4190: {_scalar(r.io_element_msc4190)}
"""


def _scalar(value: str | bool | None) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    # Always quoted: a token like 12345 or "no" stays text.
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()


def _namespaces(namespaces: Sequence[Namespace]) -> str:
    if not namespaces:
        return " []"
    return "".join(
        f"\n    - exclusive: {_scalar(namespace.exclusive)}\n      regex: {_scalar(namespace.regex)}"
        for namespace in namespaces
    )


def load(path: Path) -> Registration:
    """Read a registration. Raises `ConfigError` with the file and the place in it."""
    document = load_yaml(path, missing="Make it with the register command.")
    if document.problems:
        raise problems_as_error(document, document.problems)
    return _validated(document.data, path)


def _validated(document: Any, path: Path) -> Registration:
    try:
        registration = msgspec.convert(document, Registration)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").lstrip(".")
        where = f"{path}: {place}" if place else str(path)
        raise ConfigError(where, _lower(what), "Correct it, or generate the file anew.") from None
    for name in ("id", "as_token", "hs_token", "sender_localpart"):
        if not getattr(registration, name):
            raise ConfigError(f"{path}: {name}", "it is empty", "Fill it in, or generate the file anew.")
    for kind in ("users", "aliases", "rooms"):
        for index, namespace in enumerate(getattr(registration.namespaces, kind)):
            try:
                re.compile(namespace.regex)
            except re.error as error:
                where = f"{path}: namespaces.{kind}[{index}].regex"
                raise ConfigError(where, f"it is no regular expression ({error})", "Correct it.") from None
    return registration


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
