"""A file on Matrix as the adapter opens it: errors in the adapter's words, and never more bytes than fit.

The words do not hold the file's name: they stay in dead letters, which show the admin nobody's words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from bridgekit.core.media_from_matrix import ReadFile
from bridgekit.core.media_info import filename_of, size_in_words
from bridgekit.core.policy import Retry, judge_homeserver
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, Rejected, Transient
from bridgekit.model.limits import Limits
from bridgekit.model.media import MatrixMedia, MediaKind, MediaRef, MediaStream
from bridgekit.ports import Homeserver

NOT_YET = "M_NOT_YET_UPLOADED"

PLAINER = {
    MediaKind.STICKER: MediaKind.IMAGE,
    MediaKind.VOICE: MediaKind.AUDIO,
    MediaKind.IMAGE: MediaKind.FILE,
    MediaKind.VIDEO: MediaKind.FILE,
    MediaKind.AUDIO: MediaKind.FILE,
}
"""As what a file goes where the network does not take its kind."""


class HomeserverSays(Transient):
    """The file cannot be read now. `verdict`: what that means; `code`: the homeserver's."""

    def __init__(self, verdict: Retry) -> None:
        super().__init__(f"the file cannot be read from the homeserver ({verdict.code})")
        self.verdict = verdict


def fitting(kind: MediaKind, limits: Limits) -> MediaKind | None:
    """As which kind the network takes it; None: not at all."""
    if limits.media is None:
        return kind
    found: MediaKind | None = kind
    while found is not None and found not in limits.media:
        found = PLAINER.get(found)
    return found


def too_large(size: int | None, limits: Limits) -> str | None:
    """Why the network does not take it, in words; None: it does, as far as is known."""
    most = limits.max_media_size
    if most is None or size is None or size <= most:
        return None
    return f"the file has {size_in_words(size)}, and this network takes at most {size_in_words(most)}"


def media_of(
    file: ReadFile,
    homeserver: Homeserver,
    limits: Limits,
    *,
    remote: str = "",
    moved: Callable[[int], None] = lambda size: None,
) -> MatrixMedia:
    """The file as the adapter gets it. `moved` is told how many bytes were read."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[MediaStream]:
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(homeserver.open_media(file.uri))
            except (HomeserverUnreachable, MatrixRequestError) as error:
                raise in_words(error) from error
            if (why := too_large(stream.size, limits)) is not None:
                raise Rejected(why)
            name = filename_of(MediaRef("", name=stream.name)) if stream.name else ""  # the homeserver's word, too
            yield dataclasses.replace(stream, chunks=_read(stream, limits, moved), name=name)

    return MatrixMedia(
        kind=fitting(file.kind, limits) or file.kind,
        name=file.name,
        opener=opener,
        mimetype=file.mimetype,
        size=file.size,
        width=file.width,
        height=file.height,
        duration_ms=file.duration_ms,
        waveform=file.waveform,
        remote=remote,
    )


async def _read(stream: MediaStream, limits: Limits, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
    count = 0
    try:
        async for chunk in stream.chunks:
            count += len(chunk)
            if (why := too_large(count, limits)) is not None:
                raise Rejected(why)
            moved(len(chunk))
            yield chunk
    except (HomeserverUnreachable, MatrixRequestError) as error:
        raise in_words(error) from error


def in_words(error: HomeserverUnreachable | MatrixRequestError) -> Exception:
    """What the adapter sees of a homeserver's error."""
    if isinstance(error, MatrixRequestError):
        if error.errcode == NOT_YET:
            # Not for ever, as other 504s are: the sender's client may never do it.
            return HomeserverSays(Retry(code=NOT_YET, reason="its file has not been uploaded to Matrix yet"))
        if error.status == 404:
            return Rejected("the file is not on the homeserver any more")
        if error.errcode == "BAD_REDIRECT":
            return Rejected("the homeserver says that the file is where the bridge must not go")
    verdict = judge_homeserver(error)
    if isinstance(verdict, Retry):
        return HomeserverSays(msgspec.structs.replace(verdict, reason="the file cannot be read from the homeserver"))
    return Rejected(f"the homeserver does not give out the file ({verdict.code})")
