"""Which streams a description sends, for clients that read of each what it is (MSC3077).

matrix-js-sdk takes a stream that is not listed for none, and ends a call in which a section that sends names none
(``a=msid:-``) without a word.
"""

from __future__ import annotations

import re
from typing import Final

from bridgekit.core.call.sdp import Section, parse, tidy

USERMEDIA: Final = "m.usermedia"
SCREENSHARE: Final = "m.screenshare"

_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`{|}~-]{1,64}")  # RFC 8830: msid-id = 1*64token-char


def with_streams(text: str, stream: str) -> tuple[str, dict[str, str]]:
    """The description with every sending section in a named stream, and what each stream is for.

    The first sound and the first picture belong to `stream`, whatever the network called theirs: MSC2746, "the stream
    must be the same for both audio and video track"; and it stays the same over a whole call. Raises `BadSDP`.
    """
    description = parse(tidy(text))
    seen: set[str] = set()
    streams: dict[str, str] = {}
    for number, section in enumerate(description.sections):
        if section.kind not in ("audio", "video") or not description.sends(section):
            continue
        own, track = _named(section)
        main = section.kind not in seen or own is None
        seen.add(section.kind)
        name = stream if main or own is None else own
        track = track or f"{stream[:48]}-{section.value('mid') or number}"[:64]
        if not _NAME.fullmatch(track):
            track = f"{stream[:48]}-{number}"
        _name(section, f"{name} {track}")
        streams.setdefault(name, USERMEDIA if name == stream else SCREENSHARE)
    return description.render(), streams


def _named(section: Section) -> tuple[str | None, str]:
    """(stream, track) that a section names, as far as they can be used."""
    candidates = [*section.values("msid")]
    # Older: "a=ssrc:<id> msid:<stream> <track>" (RFC 8830's predecessor).
    candidates += [value.partition(" msid:")[2] for value in section.values("ssrc") if " msid:" in value]
    for value in candidates:
        stream, _, track = value.partition(" ")
        if _NAME.fullmatch(stream) and stream != "-":
            return stream, track.strip()
        if track.strip():
            return None, track.strip()
    return None, ""


def _name(section: Section, msid: str) -> None:
    first = next(
        (number for number, line in enumerate(section.lines) if line.startswith(("a=msid:", "a=msid\r"))),
        len(section.lines),
    )
    before = len([line for line in section.lines[:first] if not line.startswith("a=msid:")])
    section.without("msid")
    section.lines.insert(min(before, len(section.lines)), f"a=msid:{msid}\r\n")
