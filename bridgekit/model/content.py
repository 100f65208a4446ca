"""What a message says: text with formatting and mentions, independent of any network's markup.

Offsets count Unicode code points of `Text.body` (Python's ``str`` indices), half-open ``[start, end)``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bridgekit.model.ids import RemoteUserID


class Style(StrEnum):
    """How a stretch of text is shown. The names are what Matrix clients can render (spec: m.room.message, HTML)."""

    BOLD = "bold"
    ITALIC = "italic"
    UNDERLINE = "underline"
    STRIKE = "strike"
    CODE = "code"  # inline
    SPOILER = "spoiler"  # value: the reason, or ""
    LINK = "link"  # value: the URL
    CODE_BLOCK = "code_block"  # value: the language, or ""; block
    QUOTE = "quote"  # level: depth from 1; block
    HEADING = "heading"  # level: 1 to 6; block
    LIST_ITEM = "list_item"  # level: depth from 1; ordinal: its number, None for a bullet; block


BLOCK_STYLES = frozenset({Style.CODE_BLOCK, Style.QUOTE, Style.HEADING, Style.LIST_ITEM})
"""Styles that cover whole lines; the others lie inside a line or run over several."""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One formatting span. Runs may nest and overlap; a block run starts at a line's start and ends at a line's end.

    The markers of lists, quotes and headings are not part of the body: ``- a`` is the body ``a`` with a LIST_ITEM run.
    """

    start: int
    end: int
    style: Style
    value: str = ""
    level: int = 0
    ordinal: int | None = None


class MentionUser(msgspec.Struct, frozen=True, tag="user"):
    """A remote user."""

    id: RemoteUserID


class MentionRoom(msgspec.Struct, frozen=True, tag="room"):
    """Everyone in the chat (``@room``, ``@everyone``)."""


class MentionRole(msgspec.Struct, frozen=True, tag="role"):
    """A group of members that the network names."""

    id: str
    name: str = ""


MentionTarget = MentionUser | MentionRoom | MentionRole


class Mention(msgspec.Struct, frozen=True):
    """The span of the body that names somebody, and whom."""

    start: int
    end: int
    target: MentionTarget


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body plus spans over it. `runs` and `mentions` are sorted by start, longer first."""

    body: str = ""
    runs: tuple[Run, ...] = ()
    mentions: tuple[Mention, ...] = ()
