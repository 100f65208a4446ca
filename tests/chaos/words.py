"""Texts that say what they are, so that every piece of every message is known again at the far end.

A message is ``TOKEN.0 TOKEN.1 TOKEN.2 ...``; a part of one is a run of these words. Its second edit is
``TOKEN~2.0 TOKEN~2.1 ...``.
"""

from __future__ import annotations

import msgspec


class Piece(msgspec.Struct, frozen=True):
    """The words `first` to `last` of a message, as its edit number `revision` has them (0: as it was sent). `first` is
    -1 for a text that is no piece of any message of ours."""

    token: str
    first: int
    last: int
    revision: int = 0


def spell(token: str, count: int, revision: int = 0) -> str:
    """A message of `count` words, or what it says after so many edits."""
    name = f"{token}~{revision}" if revision else token
    return " ".join(f"{name}.{index}" for index in range(count))


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
    name, first = found[0]
    token, edited, revision = name.partition("~")
    if found != [(name, first + index) for index in range(len(found))] or (edited and not revision.isdecimal()):
        return Piece(body[:80], -1, -1)
    return Piece(token, first, first + len(found) - 1, int(revision or 0))
