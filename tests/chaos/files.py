"""Files that say what they are: the bytes follow from the message's token, and what is there at either end is compared
by hash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from random import Random

import msgspec

KIB = 1024
MIB = 1024 * KIB

PIECE = 256 * KIB
"""What is given to a network at once."""


class Shown(msgspec.Struct, frozen=True):
    """A file as a message shows it. `sha256` is empty while its bytes are not to be had: a placeholder."""

    name: str
    size: int | None
    sha256: str


class Made(msgspec.Struct, frozen=True):
    """A file that somebody sends."""

    name: str
    mimetype: str
    data: bytes

    @property
    def shown(self) -> Shown:
        """How it must be seen by the others."""
        return Shown(self.name, len(self.data), sha256_of(self.data))

    async def pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), PIECE):
            yield self.data[start : start + PIECE]


def make(token: str, random: Random) -> Made:
    """A small one mostly; one of a few MiB now and then; an empty one seldom. `random` draws what kind of file it is,
    not what is in it."""
    sizes = (0, random.randint(1, 64 * KIB), random.randint(MIB, 4 * MIB))
    (size,) = random.choices(sizes, weights=(1, 14, 5))
    ending, mimetype = random.choice((("bin", "application/octet-stream"), ("png", "image/png"), ("pdf", "")))
    return Made(f"{token}.{ending}", mimetype, Random(token).randbytes(size))


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
