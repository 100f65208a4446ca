"""How somebody without a login is shown on the network: the name, and where it has to be written into the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from bridgekit.core.text import normalise
from bridgekit.model.content import BLOCK_STYLES, Mention, Run, Style, Text
from bridgekit.model.ids import UserID
from bridgekit.model.raw import MemberProfile

MAX_NAME = 80
"""Code points of a name that are shown."""


def shown_name(user: UserID, members: Mapping[UserID, MemberProfile]) -> str:
    """The name of a room's member, on one line, unlike that of any other member; at most about `MAX_NAME` code points
    and a user id.

    Spec, "Calculating the display name for a user": the user id where there is no name, and behind the name where two
    members have the same one.
    """
    profile = members.get(user)
    name = tidy_name(profile.name) if profile is not None else ""
    if not name:
        return user
    folded = _folded(name)
    if any(_folded(tidy_name(other.name)) == folded for id, other in members.items() if id != user):
        return f"{name} ({user})"
    return name


def tidy_name(name: str) -> str:
    """A name without what could make it look like more than a name: line breaks, controls, changes of direction."""
    kept = "".join(" " if char.isspace() else char for char in name if not _is_trick(char))
    words = " ".join(kept.split())
    return words if len(words) <= MAX_NAME else words[: MAX_NAME - 1].rstrip() + "…"


def _is_trick(char: str) -> bool:
    # Tabs and line breaks are controls too, but stand between words.
    if unicodedata.category(char) in ("Cc", "Cs"):
        return not char.isspace()
    return char in "\u200b\u200e\u200f\u061c\ufeff" or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def with_speaker(text: Text, name: str) -> Text:
    """The text with ``name: `` in front, the name in bold, every span still over the same characters.

    Where the text begins with a block (a quote, code, a heading, a list), the name gets a line of its own, since a
    block covers whole lines.
    """
    text = normalise(text)
    starts_with_block = any(run.start == 0 and run.style in BLOCK_STYLES for run in text.runs)
    prefix = f"{name}:\n" if starts_with_block else f"{name}: "
    by = len(prefix)
    runs = tuple(Run(run.start + by, run.end + by, run.style, run.value, run.level, run.ordinal) for run in text.runs)
    mentions = tuple(Mention(span.start + by, span.end + by, span.target) for span in text.mentions)
    return normalise(Text(prefix + text.body, (Run(0, len(name), Style.BOLD), *runs), mentions))


def avatar_link(template: str, avatar_url: str) -> str:
    """Where anybody can fetch a person's picture: the template with ``{server}`` and ``{media}`` of the ``mxc://`` URI
    filled in; empty if there is no template or no picture."""
    server, slash, media = avatar_url.removeprefix("mxc://").partition("/")
    if not template or not avatar_url.startswith("mxc://") or not slash or not server or not media or "/" in media:
        return ""
    if not all(char.isascii() and (char.isalnum() or char in ".-_:[]") for char in server + media):
        return ""
    return template.replace("{server}", server).replace("{media}", media)
