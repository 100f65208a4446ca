"""JSON of which only the outermost layer matters: taken apart without decoding what lies inside.

What comes from a homeserver may hold what decoders refuse as a whole, and one event's author must not be able to make
a whole answer unreadable: lone surrogates, and nesting deeper than a recursive decoder can go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_str = msgspec.json.Decoder(str).decode

_ESCAPE = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def mend_surrogates(json: bytes) -> bytes:
    r"""Replace each lone surrogate (``\ud800`` without its other half) by U+FFFD.

    JSON's grammar allows them but no Unicode text can hold one, so decoders refuse the whole document; and no network
    could be given one.
    """
    if rb"\ud" not in json and rb"\uD" not in json:
        return json
    return _ESCAPE.sub(lambda m: rb"\ufffd" if m[2] else m[0], json)


def members(json: bytes) -> dict[str, bytes]:
    """The members of a JSON object, each value as raw bytes. Raises ValueError if it is no object."""
    json = mend_surrogates(json)
    try:
        return {key: bytes(value) for key, value in decode_members(json).items()}
    except RecursionError:
        return deep_members(json)


def elements(json: bytes) -> list[bytes]:
    """The elements of a JSON array, each as raw bytes. Raises ValueError if it is no array."""
    json = mend_surrogates(json)
    try:
        return [bytes(item) for item in decode_elements(json)]
    except RecursionError:
        return deep_elements(json)


# --- without recursion ------------------------------------------------------------------------------------------
class NotJSON(ValueError):
    """What stands there is not the object or array that was asked for."""


# A whole string, a row of brackets, a separator; a quote alone is a string that does not end.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]+|[\]}]+|[,:"]', re.DOTALL)


def _pieces(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """The parts of an array or object that commas part: (start, the position of the first colon or -1, end).

    Only the nesting is checked, not the grammar of what lies inside: that is decoded by itself later.
    """
    depth = 0
    start = 0
    colon = -1
    end = len(raw)
    for match in _TOKEN.finditer(raw):
        token = match[0]
        first = token[:1]
        if first in b"[{":
            if depth == 0:
                if start:
                    raise NotJSON("something stands behind the end")
                start = match.start() + 1
            depth += len(token)
        elif first in b"]}":
            depth -= len(token)
            if depth <= 0:
                end = match.end() - 1
                if depth < 0 or raw[end + 1 :].strip():
                    raise NotJSON("something stands behind the end")
                break
        elif token == b'"':
            raise NotJSON("a string does not end")
        elif depth == 1 and token == b",":
            yield start, colon, match.start()
            start, colon = match.end(), -1
        elif depth == 1 and token == b":" and colon < 0:
            colon = match.start()
    else:
        raise NotJSON("it ends too early")
    if raw[start:end].strip():
        yield start, colon, end


def deep_members(raw: bytes) -> dict[str, bytes]:
    """As `members`, for any depth; what is inside the members is not checked."""
    raw = raw.strip()
    if raw[:1] != b"{":
        raise NotJSON("it is not an object")
    found: dict[str, bytes] = {}
    for start, colon, end in _pieces(raw):
        try:
            key = _decode_str(raw[start:colon].strip() if colon >= 0 else b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise NotJSON("a key is not a string") from None
        found[key] = raw[colon + 1 : end].strip()
    return found


def deep_elements(raw: bytes) -> list[bytes]:
    """As `elements`, for any depth; what is inside the elements is not checked."""
    raw = raw.strip()
    if raw[:1] != b"[":
        raise NotJSON("it is not an array")
    return [raw[start:end].strip() for start, _, end in _pieces(raw)]
