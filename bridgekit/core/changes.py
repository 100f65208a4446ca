"""Edits whose message cannot be edited on Matrix: what is shown instead."""

from __future__ import annotations

import msgspec

from bridgekit.model.content import BLOCK_STYLES, Text

EDITED = "(edited)"


def marked_as_edited(text: Text) -> Text:
    """The text with a word behind it which says that it replaces an earlier one."""
    if not text.body.strip():
        return Text(EDITED)
    in_block = any(run.end >= len(text.body) and run.style in BLOCK_STYLES for run in text.runs)
    return msgspec.structs.replace(text, body=f"{text.body}{chr(10) if in_block else ' '}{EDITED}")
