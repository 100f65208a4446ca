"""Where a session has got to in the network's stream."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Cursors = Mapping[str, str]
"""Where a session has got to: scope -> value, exactly as the adapter yielded them."""


class Cursor(msgspec.Struct, frozen=True):
    """A position in the network's stream. `scope` is ``""`` for one stream, or for instance a chat id where the
    network counts per chat; `value` is opaque to the framework."""

    scope: str
    value: str
