"""How somebody without a login is shown on the network: the name, and where it has to be written into the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from bridgekit.core.text import normalise
from bridgekit.model.content import BLOCK_STYLES, Mention, Run, Style, Text
from bridgekit.model.ids import UserID
from bridgekit.model.raw import MemberProfile

_USER_ID = re.compile(r"@[^\s:]+:\S")

MAX_NAME = 80
"""Code points of a name that are shown."""


def shown_name(user: UserID, members: Mapping[UserID, MemberProfile]) -> str:
    """The name of a room's member, on one line, unlike that of any other member; at most about `MAX_NAME` code points
    and a user id. A name that has a user id in it gets the real one behind it, too.

    Spec, "Calculating the display name for a user": the user id where there is no name, and behind the name where two
    members have the same one.
    """
    profile = members.get(user)
    name = tidy_name(profile.name) if profile is not None else ""
    if not name:
        return user
    folded = _folded(name)
    if _USER_ID.search(unicodedata.normalize("NFKC", name)) or any(
        _folded(tidy_name(other.name)) == folded for id, other in members.items() if id != user
    ):
        return f"{name} ({user})"
    return name


def tidy_name(name: str) -> str:
    """A name without what could make it look like more than a name: line breaks, controls, changes of direction."""
    kept = "".join(" " if char.isspace() else char for char in name if not _is_trick(char))
    words = " ".join(kept.split())
    if not _folded(words):
        return ""  # nothing to be seen
    return words if len(words) <= MAX_NAME else words[: MAX_NAME - 1].rstrip() + "…"


def _is_trick(char: str) -> bool:
    # Tabs and line breaks are controls too, but stand between words. Joiners and tags make emoji, and shape letters.
    if unicodedata.category(char) in ("Cc", "Cs", "Cf"):
        return not char.isspace() and char not in "\u200c\u200d" and not "\U000e0020" <= char <= "\U000e007f"
    return False


def _folded(name: str) -> str:
    """What two names have in common that look the same, but for letters of several alphabets."""
    seen = (char for char in unicodedata.normalize("NFKC", name) if not _is_unseen(char))
    return " ".join("".join(seen).casefold().split())


def _is_unseen(char: str) -> bool:
    # Unicode's Default_Ignorable_Code_Point, which `unicodedata` does not know: formats, fillers, variation selectors.
    return (
        unicodedata.category(char) == "Cf"
        or char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"
        or "\u180b" <= char <= "\u180f"
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0000" <= char <= "\U000e0fff"
    )


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
