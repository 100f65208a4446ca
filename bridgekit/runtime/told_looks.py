"""Which names, topics and pictures of rooms the network is being told: its echo may be quicker than its answer."""

from __future__ import annotations

from bridgekit.core.rooms import JSON
from bridgekit.model.ids import PortalKey


class ToldLooks:
    """In memory, from the call until it has ended. The room has said so before the network was told, and may say
    something else since, which is to be told next: an echo must not be written over that."""

    def __init__(self) -> None:
        self._told: dict[tuple[PortalKey, str], str] = {}

    def begin(self, portal: PortalKey, type: str, value: str) -> None:
        """The network is told what a state event of this type says, ``""`` for nothing. Said again before a repeat."""
        self._told[portal, type] = value

    def end(self, portal: PortalKey, type: str) -> None:
        """It has answered."""
        self._told.pop((portal, type), None)

    def is_told(self, portal: PortalKey, type: str, content: JSON) -> bool:
        """Whether a content that the network asks for is what it is being told."""
        told = self._told.get((portal, type))
        return told is not None and told == next(iter(content.values()), "")
