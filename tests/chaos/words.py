"""Texts that say what they are, so that every piece of every message is known again at the far end.

A message is ``TOKEN.0 TOKEN.1 TOKEN.2 ...``; a part of one is a run of these words.
"""

from __future__ import annotations

import msgspec


class Piece(msgspec.Struct, frozen=True):
    """The words `first` to `last` of a message. `first` is -1 for a text that is no piece of any message of ours."""

    token: str
    first: int
    last: int


def spell(token: str, count: int) -> str:
    """A message of `count` words."""
    return " ".join(f"{token}.{index}" for index in range(count))


def read(body: str) -> Piece:
    """What piece of which message this is."""
    found: list[tuple[str, int]] = []
    for word in body.split():
        token, dot, number = word.partition(".")
        if not dot or not number.isdecimal():
            return Piece(body[:80], -1, -1)
        found.append((token, int(number)))
    if not found:
        return Piece("", -1, -1)
    token, first = found[0]
    if found != [(token, first + index) for index in range(len(found))]:
        return Piece(body[:80], -1, -1)
    return Piece(token, first, first + len(found) - 1)
