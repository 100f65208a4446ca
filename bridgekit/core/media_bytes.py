"""The bytes of a file on their way: exactly as many as was said, and labels that can be sent with them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from email.message import Message

from bridgekit.errors import WrongSize

OCTETS = "application/octet-stream"
"""The type of what has none."""

_NAME = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # RFC 6838, "restricted-name-chars"
_TYPE = re.compile(rf"{_NAME}/{_NAME}")


async def exactly(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes, empty pieces left out. Raises `WrongSize` if they are more or fewer than `size`.

    The last piece is given only when the source has ended: else a receiver that has got `size` bytes would take a file
    that is cut off for a whole one.
    """
    got, last = 0, b""
    async for chunk in chunks:
        got += len(chunk)
        if got > size:
            raise WrongSize(size, None)
        if not chunk:
            continue
        if last:
            yield last
        last = chunk
    if got < size:
        raise WrongSize(size, got)
    if last:
        yield last


def mimetype(value: object) -> str:
    """The ``type/subtype`` of what somebody called a MIME type, in lower case; ``""`` for what is none. What comes out
    may stand in a header."""
    if not isinstance(value, str):
        return ""
    named = value.partition(";")[0].strip().lower()
    return named if _TYPE.fullmatch(named) else ""


def filename(disposition: str) -> str:
    """The name in a ``Content-Disposition`` header, as it came; ``""`` if there is none."""
    header = Message()
    try:
        header["Content-Disposition"] = disposition
        return str(header.get_filename(""))
    except ValueError:  # bytes that are none of its charset
        return ""
