"""Who the bridge is on the homeserver."""

from __future__ import annotations

import msgspec

from bridgekit.core.namespace import GhostNamespace
from bridgekit.model.ids import UserID


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the bridge is on the homeserver. `bot_localpart` is the registration's ``sender_localpart``."""

    server_name: str
    bot_localpart: str
    ghost_prefix: str
    alias_prefix: str

    @property
    def bot(self) -> UserID:
        """The bot's user id."""
        return UserID(f"@{self.bot_localpart}:{self.server_name}")

    @property
    def ghosts(self) -> GhostNamespace:
        """The ghosts' user ids; the bot is not one of them."""
        return GhostNamespace(self.ghost_prefix, self.server_name, frozenset({self.bot_localpart}))
