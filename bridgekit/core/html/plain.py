"""The plain ``body`` beside a ``formatted_body``."""

from __future__ import annotations

from bridgekit.core.text.downgrade import downgrade
from bridgekit.model.content import Text


def to_plain(text: Text) -> str:
    """The text for people on plain clients, its formatting written out: ``- item``, ``1. item``, ``> quote``, and a
    link's URL in parentheses where the text does not show it. Headings and code stay as they are.
    """
    return downgrade(text, frozenset()).body
