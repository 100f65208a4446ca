"""What a Matrix event says of a file or a place. Somebody's client wrote it, and it may be wrong."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from bridgekit.core.media_bytes import mimetype
from bridgekit.core.media_info import filename_of
from bridgekit.core.mxc import parse_mxc
from bridgekit.model.ids import ContentURI
from bridgekit.model.media import Location, MediaKind, MediaRef

KINDS = {
    "m.image": MediaKind.IMAGE,
    "m.video": MediaKind.VIDEO,
    "m.audio": MediaKind.AUDIO,
    "m.file": MediaKind.FILE,
}

MAX_SIZE = 2**53 - 1
MAX_PIXELS = 1_000_000
MAX_DURATION_MS = 30 * 24 * 3600 * 1000
MAX_WAVEFORM = 1024
"""Values of a waveform; more are left out."""


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as its event describes it: see `MatrixMedia`. `uri` is an ``mxc://`` URI, `name` fit for a file system;
    `has_caption`: the event's body is one."""

    kind: MediaKind
    uri: ContentURI
    name: str
    has_caption: bool = False
    mimetype: str = ""
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    waveform: tuple[int, ...] = ()


class BadFile(msgspec.Struct, frozen=True):
    """Why it cannot be read: `code` for machines, `reason` a plain sentence."""

    code: str
    reason: str


ENCRYPTED = BadFile("encrypted", "the file is encrypted, and this bridge cannot read encrypted files")
NO_ADDRESS = BadFile("bad_content", "the message does not say where its file is")


def file_kind(type: str, content: dict[str, Any]) -> MediaKind | None:
    """Which kind of file an event is; None: none."""
    if type == "m.sticker":
        return MediaKind.STICKER
    msgtype = content.get("msgtype")
    kind = KINDS.get(msgtype) if isinstance(msgtype, str) else None
    # MSC3245: "the presence of m.voice"; what clients send has the unstable name.
    if kind is MediaKind.AUDIO and ("org.matrix.msc3245.voice" in content or "m.voice" in content):
        return MediaKind.VOICE
    return kind


def read_file(kind: MediaKind, content: dict[str, Any]) -> ReadFile | BadFile:
    """What an event of this kind says of its file. Never raises."""
    if isinstance(content.get("file"), dict):
        return ENCRYPTED  # spec: "Required if the file is encrypted"
    uri = parse_mxc(content.get("url"))
    if uri is None:
        return NO_ADDRESS
    info = _dict(content.get("info"))
    audio = _dict(content.get("org.matrix.msc1767.audio"))
    type = mimetype(info.get("mimetype"))
    body, filename = _text(content.get("body")), _text(content.get("filename"))
    # Spec, "Media captions": body is a caption if filename is there and says something else.
    has_caption = kind is not MediaKind.STICKER and bool(filename) and body != filename and bool(body.strip())
    duration = _number(info.get("duration"), MAX_DURATION_MS)
    return ReadFile(
        kind=kind,
        uri=ContentURI(str(uri)),
        name=filename_of(MediaRef("", name=filename or body, mimetype=type, kind=kind)),
        has_caption=has_caption,
        mimetype=type,
        size=_number(info.get("size"), MAX_SIZE),
        width=_number(info.get("w"), MAX_PIXELS, least=1),
        height=_number(info.get("h"), MAX_PIXELS, least=1),
        duration_ms=duration if duration is not None else _number(audio.get("duration"), MAX_DURATION_MS),
        waveform=_waveform(audio.get("waveform")) if kind in (MediaKind.VOICE, MediaKind.AUDIO) else (),
    )


# RFC 5870: "geo:" coord-a "," coord-b [ "," coord-c ] [";crs=wgs84"] [";u=" uval] parameters
_GEO = re.compile(
    r"geo:(-?\d{1,3}(?:\.\d{1,20})?),(-?\d{1,3}(?:\.\d{1,20})?)(?:,-?\d{1,6}(?:\.\d{1,20})?)?((?:;[A-Za-z0-9=.%_-]*)*)",
    re.IGNORECASE | re.ASCII,
)
_UNCERTAINTY = re.compile(r";u=(\d{1,9}(?:\.\d{1,20})?)(?:;|$)", re.IGNORECASE | re.ASCII)
_OTHER_CRS = re.compile(r";crs=(?!wgs84(?:;|$))", re.IGNORECASE)


def read_location(content: dict[str, Any]) -> Location | None:
    """Where an ``m.location`` event is; None if it does not say so. Never raises."""
    # MSC3488 says it too, in a place of its own, to those who do not know it yet.
    for uri in (content.get("geo_uri"), _dict(content.get("org.matrix.msc3488.location")).get("uri")):
        match = _GEO.fullmatch(uri) if isinstance(uri, str) else None
        if match is None or _OTHER_CRS.search(match[3]):
            continue
        latitude, longitude = float(match[1]), float(match[2])
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            found = _UNCERTAINTY.search(match[3])
            return Location(latitude, longitude, float(found[1]) if found is not None else None)
    return None


def location_words(place: Location, said: str) -> str:
    """A place as a text, for a network without places: what was said of it, and where a map shows it."""
    at = f"{place.latitude:.6f}".rstrip("0").rstrip("."), f"{place.longitude:.6f}".rstrip("0").rstrip(".")
    link = f"https://www.openstreetmap.org/?mlat={at[0]}&mlon={at[1]}"
    return f"{said}\n{link}" if said else link


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object, most: int, *, least: int = 0) -> int | None:
    """A sensible whole number; some clients write 3.0, or a fraction of a millisecond."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if least <= value <= most else None


def _waveform(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    numbers = [_number(each, 1024) for each in value[:MAX_WAVEFORM]]
    return tuple(number for number in numbers if number is not None) if None not in numbers else ()
