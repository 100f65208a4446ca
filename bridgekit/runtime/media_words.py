"""What people are told of a file that is not there."""

from __future__ import annotations

from bridgekit.core.media_info import described, size_in_words
from bridgekit.model.media import MediaRef


def too_large(limit: int | None) -> str:
    """Why a file is not there, in words."""
    most = f" of {size_in_words(limit)}" if limit is not None else ""
    return f"it is larger than this homeserver's limit{most}"


def too_large_to_keep(limit: int) -> str:
    """The same of a file that would have to be on the bridge's disk first."""
    return f"the network does not say its size, and it is larger than the {size_in_words(limit)} that this bridge keeps"


def failed_words(ref: MediaRef, reason: str) -> str:
    """What stands in a file's place."""
    return f"{described(ref)} could not be transferred: {reason}"


def coming_words(ref: MediaRef) -> str:
    """What stands in the place of a file that is still to come."""
    return f"{described(ref)} is on its way"
