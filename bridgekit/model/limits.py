"""What a network can carry, per portal."""

from __future__ import annotations

from typing import Literal

import msgspec

from bridgekit.model.content import Style

LengthUnit = Literal["codepoints", "utf16", "utf8"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a portal's network takes. The framework splits and simplifies before the adapter is called.

    `max_text_length` is counted in `text_unit`; None means no limit. `formatting` names the styles that the network
    can show; the others are written into the text as their plain markers, or dropped. `shows_speaker`: the network
    shows a relayed message under `MatrixMessage.speaker`'s name; otherwise the name is written in front of the text.
    """

    max_text_length: int | None = None
    text_unit: LengthUnit = "codepoints"
    formatting: frozenset[Style] = frozenset(Style)
    shows_speaker: bool = False
