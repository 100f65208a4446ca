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
    CODE = "code"  #: inline
    SPOILER = "spoiler"  #: value: the reason, or ""
    LINK = "link"  #: value: the URL
    CODE_BLOCK = "code_block"  #: value: the language, or ""; block
    QUOTE = "quote"  #: level: depth from 1; block
    HEADING = "heading"  #: level: 1 to 6; block
    LIST_ITEM = "list_item"  #: level: depth from 1; ordinal: its number, None for a bullet; block


BLOCK_STYLES = frozenset({Style.CODE_BLOCK, Style.QUOTE, Style.HEADING, Style.LIST_ITEM})
"""Styles that cover whole lines; the others lie inside a line or run over several."""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One formatting span, from offset `start` to `end` in code points. Runs may nest and overlap in any way.

    `style` says how it looks. What a style needs more: `value` (a link's URL, a code block's language, a spoiler's
    reason), `level` (depth of a quote or list item from 1, of a heading from 1 to 6), `ordinal` (a list item's number,
    None for a bullet). A block style covers the whole lines that it touches. The markers of lists, quotes and headings
    are not part of the body: ``- a`` is the body ``a`` with a LIST_ITEM run.
    """

    start: int
    end: int
    style: Style
    value: str = ""
    level: int = 0
    ordinal: int | None = None


class MentionUser(msgspec.Struct, frozen=True, tag="user"):
    """A remote user; `id` as in `RemoteMessage.sender`. On Matrix a link to the ghost, or to their own account."""

    id: RemoteUserID


class MentionRoom(msgspec.Struct, frozen=True, tag="room"):
    """Everyone in the chat (``@room``, ``@everyone``). On Matrix it stays text, and notifies nobody."""


class MentionRole(msgspec.Struct, frozen=True, tag="role"):
    """A group of members that the network names: by `id`, and `name` for people. On Matrix it stays text."""

    id: str
    name: str = ""


MentionTarget = MentionUser | MentionRoom | MentionRole
"""Whom a `Mention` names: one person, everybody, or a role."""


class Mention(msgspec.Struct, frozen=True):
    """The span of the body that names somebody, from offset `start` to `end` in code points, and whom: `target`."""

    start: int
    end: int
    target: MentionTarget


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plain `body` plus spans over it: `runs` of formatting, and `mentions`.

    The framework gives them sorted by start, longer first, and not overlapping where they mean the same; an adapter may
    give them in any order, and what is out of range is dropped.
    """

    body: str = ""
    runs: tuple[Run, ...] = ()
    mentions: tuple[Mention, ...] = ()
