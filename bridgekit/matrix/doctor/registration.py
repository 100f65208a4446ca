"""Judges the registration file by itself: whether it says what the bridge needs. No network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bridgekit.core.finding import Finding, failed, ok, warning
from bridgekit.core.namespace import GhostNamespace, exclusive_alias_regex
from bridgekit.matrix.registration import Namespace, Registration
from bridgekit.model.ids import RemoteUserID

AGAIN = "restart the homeserver"
"""Ends every fix in a registration: Synapse reads it only when it starts."""

_PEOPLE = ("alice", "a", "0123")
_REMOTE_IDS = ("alice", "+49 171 234:5", "x" * 300)
"""Ids whose ghosts differ the most: plain, escaped, hashed."""


def judge_ghosts(registration: Registration, ghosts: GhostNamespace, *, where: str) -> Finding:
    """Whether `namespaces.users` covers the bridge's ghosts and its bot, keeps others out, and takes nobody else's."""
    name, place = "ghosts", f"{where}: namespaces.users"
    users = registration.namespaces.users
    wanted = ghosts.exclusive_regex()
    samples = [ghosts.user_id(RemoteUserID(remote)) for remote in _REMOTE_IDS]
    add = f'Add "- exclusive: true, regex: {wanted}" there, and {AGAIN}.'
    for user in samples:
        if not _matching(users, user):
            return failed(
                name,
                f"no entry covers the ghosts: they begin with @{ghosts.prefix} (appservice.ghost_prefix)",
                add,
                where=place,
            )
        if not any(namespace.exclusive for namespace in _matching(users, user)):
            return failed(
                name,
                "the ghosts' namespace is not exclusive: anybody may register an account that passes for a ghost",
                f"Write exclusive: true there, and {AGAIN}.",
                where=place,
            )
    wide = _too_wide(users, "@", ghosts.prefix, registration.sender_localpart, ghosts.server_name)
    if wide is not None:
        regex, stranger = wide
        return warning(
            name,
            f"{regex} matches {stranger} too, who is not the bridge's",
            f"Write regex: {wanted} instead, and {AGAIN}.",
            where=place,
        )
    bot = f"@{registration.sender_localpart}:{ghosts.server_name}"
    if not any(namespace.exclusive for namespace in _matching(users, bot)):
        regex = f"^@{re.escape(registration.sender_localpart)}:{re.escape(ghosts.server_name)}$"
        return warning(
            name,
            f"no exclusive entry covers the bot {bot}: somebody else may register that name first",
            f'Add "- exclusive: true, regex: {regex}" there, and {AGAIN}.',
            where=place,
        )
    return ok(name, f"@{ghosts.prefix}* and the bot are the bridge's alone")


def judge_aliases(registration: Registration, prefix: str, server_name: str, *, where: str) -> Finding:
    """Whether `namespaces.aliases` covers the aliases under which the bridge makes its rooms."""
    name, place = "aliases", f"{where}: namespaces.aliases"
    aliases = registration.namespaces.aliases
    wanted = exclusive_alias_regex(prefix, server_name)
    matching = _matching(aliases, f"#{prefix}{'a' * 52}:{server_name}")
    if not matching:
        return failed(
            name,
            f"no entry covers the rooms' aliases: they begin with #{prefix} (appservice.alias_prefix)",
            f'Add "- exclusive: true, regex: {wanted}" there, and {AGAIN}.',
            where=place,
        )
    if not any(namespace.exclusive for namespace in matching):
        return failed(
            name,
            "the aliases' namespace is not exclusive: anybody may take the alias of a room first",
            f"Write exclusive: true there, and {AGAIN}.",
            where=place,
        )
    wide = _too_wide(aliases, "#", prefix, "", server_name)
    if wide is not None:
        regex, stranger = wide
        return warning(
            name,
            f"{regex} matches {stranger} too, which is not the bridge's",
            f"Write regex: {wanted} instead, and {AGAIN}.",
            where=place,
        )
    return ok(name, f"#{prefix}* is the bridge's alone")


def judge_ephemeral(registration: Registration, *, where: str) -> Finding:
    """Whether typing, receipts and presence are asked for."""
    name = "ephemeral"
    if registration.receive_ephemeral:
        return ok(name, "typing, receipts and presence are asked for")
    if registration.push_ephemeral:
        return warning(
            name,
            "typing, receipts and presence are asked for by an old name only (MSC2409's)",
            f"Add receive_ephemeral: true, and {AGAIN}.",
            where=f"{where}: de.sorunome.msc2409.push_ephemeral",
        )
    return failed(
        name,
        "typing, receipts and presence never reach the bridge",
        f"Write receive_ephemeral: true, and {AGAIN}.",
        where=f"{where}: receive_ephemeral",
    )


def judge_rate_limited(registration: Registration, *, where: str) -> Finding | None:
    """None if the file asks for no limits: whether the homeserver obeys is for `service.judge_rate_limits`."""
    if not registration.rate_limited:
        return None
    return failed(
        "rate_limits",
        "the homeserver slows the ghosts down: a busy chat arrives late",
        f"Write rate_limited: false, and {AGAIN}.",
        where=f"{where}: rate_limited",
    )


def _matching(namespaces: Sequence[Namespace], id: str) -> list[Namespace]:
    # As Synapse does: from the beginning, and open at the end.
    return [namespace for namespace in namespaces if re.match(namespace.regex, id)]


def _too_wide(
    namespaces: Sequence[Namespace], sigil: str, prefix: str, bot: str, server_name: str
) -> tuple[str, str] | None:
    """A regular expression that takes in somebody who is not the bridge's, and who that is."""
    strangers = [f"{sigil}{person}:{server_name}" for person in _PEOPLE if not person.startswith(prefix)]
    strangers += [f"{sigil}{prefix}{person}:elsewhere.example" for person in _PEOPLE]
    if bot and not f"{bot}2".startswith(prefix):
        strangers.append(f"{sigil}{bot}2:{server_name}")
    for namespace in namespaces:
        for stranger in strangers:
            if re.match(namespace.regex, stranger):
                return namespace.regex, stranger
    return None
