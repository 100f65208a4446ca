"""Files: by reference, never their bytes, except in a stream that somebody has opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bridgekit.model.ids import ContentURI, UserID


class MediaKind(StrEnum):
    """How a file is meant to be shown."""

    FILE = "file"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"  #: recorded in the chat, shown as a voice message (MSC3245)
    STICKER = "sticker"


class MediaRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a message by reference, never its bytes: `id`, by which the network finds it again, `name` and
    `mimetype` (``""``: not known), and `size` in bytes (None: not known).

    `kind` says how it is meant, None: by its type. `width` and `height` are in pixels, `duration_ms` in milliseconds,
    each None where not known or not fitting. `blurhash` is a small blurred picture of it (MSC2448), ``""`` for none;
    `waveform` how loud a voice message is over its length, each value from 0 to 1024. `thumbnail` is a smaller picture
    of it, a file of its own.
    """

    id: str
    name: str = ""
    mimetype: str = ""
    size: int | None = None
    kind: MediaKind | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    blurhash: str = ""
    waveform: tuple[int, ...] = ()
    thumbnail: MediaRef | None = None


@dataclass(frozen=True, slots=True)
class MediaStream:
    """An open file: its bytes in pieces of any size, once. What is only known now: `size` in bytes, `mimetype` and
    `name`, as far as the source says (None and ``""``: it does not)."""

    chunks: AsyncIterator[bytes]
    size: int | None = None
    mimetype: str = ""
    name: str = ""


class MatrixMedia(msgspec.Struct, frozen=True, kw_only=True):
    """A file that somebody on Matrix sent. All but `kind` and `name` are what the sender's client said, and may be
    wrong: `mimetype` (``""``: not said), `size` in bytes, `width`, `height` in pixels, `duration_ms`, `waveform`
    (values from 0 to 1024).

    `remote` is what `CanUploadMedia.reserve` or `CanUploadMedia.upload` returned for it, ``""`` before. `open` gives
    its bytes; `opener` is what it calls.
    """

    kind: MediaKind
    name: str
    opener: Callable[[], AbstractAsyncContextManager[MediaStream]]
    mimetype: str = ""
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    waveform: tuple[int, ...] = ()
    remote: str = ""

    def open(self) -> AbstractAsyncContextManager[MediaStream]:
        """Its bytes as a stream from the homeserver, an async context manager; may be opened again.

        Raises `Transient` (also where the sender's client has not uploaded it yet) or `Rejected`; let both escape.
        """
        return self.opener()


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place on earth (WGS 84): `latitude` and `longitude` in degrees; `uncertainty_m` in metres, None: not known."""

    latitude: float
    longitude: float
    uncertainty_m: float | None = None


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """How a file goes to the homeserver: exactly `size` bytes, as `mimetype` (what is none becomes
    ``application/octet-stream``), as `filename` (``""``: without a name), in the name of `user` (None: the bot)."""

    size: int
    mimetype: str
    filename: str = ""
    user: UserID | None = None


class Reservation(msgspec.Struct, frozen=True):
    """A place for a file at the homeserver (MSC2246): `uri`, and until when it must be filled, in ms since the epoch;
    None where the server does not say."""

    uri: ContentURI
    expires_at: int | None = None
