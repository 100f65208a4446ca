"""Which links may pass, in both directions, and which of them name a Matrix user."""

from __future__ import annotations

import re
from urllib.parse import unquote

from bridgekit.model.ids import UserID

# Spec, m.room.message msgtypes: "a: ... href (provided the value is not relative and has a scheme matching one of:
# https, http, ftp, mailto, magnet)"; `matrix` is the spec's own (Appendices, matrix: URI scheme).
_SCHEMES = frozenset({"http", "https", "mailto", "magnet", "ftp", "matrix"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_MAX_URL = 8192
# Browsers drop these wherever they are, so that "java\nscript:" is a scheme.
_IGNORED = str.maketrans("", "", "\t\n\r")
_UNENCODED = re.compile("[\x00-\x20\x7f-\x9f\ud800-\udfff]")

_MATRIX_TO = re.compile(r"https?://(?:www\.)?matrix\.to/#/([^/?#]+)/?(?:\?.*)?", re.IGNORECASE)
_MATRIX_URI = re.compile(r"matrix:(?:u|user)/([^/?#]+)/?(?:[?#].*)?", re.IGNORECASE)


def safe_url(url: str) -> str | None:
    """The URL as it may go into an ``href``, or None if its scheme is not allowed, or it is relative or too long.

    Whitespace and control characters are removed as browsers do, or percent-encoded. Idempotent.
    """
    url = url.strip("".join(map(chr, range(0x21)))).translate(_IGNORED)
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() not in _SCHEMES or len(url) > _MAX_URL:
        return None
    return _UNENCODED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), url)


def pilled_user(url: str) -> UserID | None:
    """The user whom a matrix.to or ``matrix:`` link names (spec: Appendices, URIs), None for every other link.

    What comes back starts with ``@`` and has a server name; nothing else about it is checked.
    """
    if found := _MATRIX_TO.fullmatch(url):
        user_id = unquote(found[1])
    elif found := _MATRIX_URI.fullmatch(url):
        user_id = "@" + unquote(found[1])
    else:
        return None
    return UserID(user_id) if user_id.startswith("@") and ":" in user_id[1:] else None
