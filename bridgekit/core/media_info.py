"""What a Matrix event says of a file: its kind, its name, its numbers; nothing that the network says is trusted."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import msgspec

from bridgekit.core.media_bytes import mimetype
from bridgekit.core.rooms import clean
from bridgekit.model.media import Location, MediaKind, MediaRef, MediaStream

JSON = dict[str, Any]

MAX_FILENAME = 200
"""Characters of a file's name; file systems stop at 255 bytes."""

MAX_WAVEFORM = 120
"""Values of a waveform; clients draw about forty."""

MAX_BLURHASH = 200

MAX_INT = 2**53 - 1
"""Canonical JSON takes no larger number."""

MSGTYPES = {
    MediaKind.FILE: "m.file",
    MediaKind.IMAGE: "m.image",
    MediaKind.VIDEO: "m.video",
    MediaKind.AUDIO: "m.audio",
    MediaKind.VOICE: "m.audio",
}

_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "application/pdf": ".pdf",
}


def kind_of(ref: MediaRef) -> MediaKind:
    """How it is shown: as the network means it, else by its type."""
    if ref.kind is not None:
        return ref.kind
    family, _, kind = mimetype(ref.mimetype).partition("/")
    if family in ("image", "video", "audio") and "svg" not in kind:  # clients draw no SVG: it may run scripts
        return MediaKind(family)
    return MediaKind.FILE


def filename_of(ref: MediaRef) -> str:
    """A name under which it can be saved; made up if the network has none."""
    name = unicodedata.normalize("NFC", clean(ref.name)).replace("\\", "/").rsplit("/", 1)[-1]
    # Cc, Cf: also the marks that turn the direction, with which "gpj.exe" looks like "exe.jpg".
    name = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else c for c in name)
    name = " ".join(name.split()).strip(".") if name.strip(". ") else ""
    if not name:
        return kind_of(ref).value + _SUFFIXES.get(mimetype(ref.mimetype), "")
    if len(name) > MAX_FILENAME:
        stem, dot, suffix = name.rpartition(".")
        keep = dot + suffix if stem and len(suffix) <= 16 else ""
        name = name[: MAX_FILENAME - len(keep)] + keep
    return name


def with_learnt(ref: MediaRef, stream: MediaStream, size: int | None) -> MediaRef:
    """What is known of a file once it was opened, and `size` bytes of it were counted (None: not yet)."""
    known = size if size is not None else stream.size
    return msgspec.structs.replace(
        ref,
        size=known if known is not None else ref.size,
        mimetype=ref.mimetype if mimetype(ref.mimetype) else stream.mimetype,
        name=ref.name or stream.name,
    )


def info_of(ref: MediaRef) -> JSON:
    """The event's ``info``, without its thumbnail."""
    numbers = {"size": ref.size, "w": ref.width, "h": ref.height, "duration": ref.duration_ms}
    info: JSON = {name: value for name, value in numbers.items() if value is not None and 0 <= value <= MAX_INT}
    if type := mimetype(ref.mimetype):
        info["mimetype"] = type
    if ref.blurhash and len(ref.blurhash) <= MAX_BLURHASH:
        info["xyz.amorgan.blurhash"] = clean(ref.blurhash)  # MSC2448
    return info


def file_content(ref: MediaRef, thumbnail: str | None = None) -> JSON:
    """The content of a file's event, all but its ``url`` and its caption; `thumbnail`: the URI of that."""
    kind, name, info = kind_of(ref), filename_of(ref), info_of(ref)
    if thumbnail is not None and ref.thumbnail is not None:
        info["thumbnail_url"] = thumbnail
        info["thumbnail_info"] = info_of(ref.thumbnail)
    if kind is MediaKind.STICKER:
        return {"body": name, "info": info}
    content: JSON = {"msgtype": MSGTYPES[kind], "body": name, "filename": name, "info": info}
    if kind is MediaKind.VOICE:
        content["org.matrix.msc3245.voice"] = {}
    if kind in (MediaKind.VOICE, MediaKind.AUDIO) and "duration" in info:
        audio: JSON = {"duration": info["duration"]}  # MSC1767, as MSC3245 uses it
        if waveform := _waveform(ref.waveform):
            audio["waveform"] = waveform
        content["org.matrix.msc1767.audio"] = audio
    return content


def _waveform(values: tuple[int, ...]) -> list[int]:
    count = min(len(values), MAX_WAVEFORM)
    picked = [values[place * len(values) // count] for place in range(count)]
    return [min(max(value, 0), 1024) for value in picked]


def geo_uri(place: Location) -> str | None:
    """RFC 5870; None for what is no place on earth."""
    if not (abs(place.latitude) <= 90 and abs(place.longitude) <= 180):  # so NaN is none either
        return None
    uri = f"geo:{_degrees(place.latitude)},{_degrees(place.longitude)}"
    if place.uncertainty_m is not None and math.isfinite(place.uncertainty_m) and place.uncertainty_m >= 0:
        uri += f";u={place.uncertainty_m:.0f}"
    return uri


def _degrees(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6f}".rstrip("0").rstrip(".")  # without "-0"


def described(ref: MediaRef) -> str:
    """A file in words: its name, and its size if that is known."""
    size = ref.size
    return f"{filename_of(ref)} ({size_in_words(size)})" if size is not None and size >= 0 else filename_of(ref)


def size_in_words(size: int) -> str:
    """For people: 3.2 MiB."""
    if size < 1024:
        return f"{size} bytes"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1023.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
