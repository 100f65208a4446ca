"""Whether a room that a person made may become a portal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bridgekit.core.from_matrix import BRIDGED_TYPES
from bridgekit.model.ids import EventID, UserID
from bridgekit.model.raw import RawEvent


def is_for_two(members: Collection[UserID], *, inviter: UserID, ghost: UserID, bot: UserID) -> bool:
    """Whether nobody but the inviter and the ghost (and the bot) is in the room."""
    return inviter in members and set(members) <= {inviter, ghost, bot}


def is_unused(newest_first: Iterable[RawEvent], *, invitation: EventID) -> bool:
    """Whether nothing was said in the room before the invitation. What was said to somebody else, or to oneself, must
    not be shown to the person who is invited now, and would be, because a portal's room is bridged from its start.

    `newest_first`: the latest events of the room. False also if the invitation is not among them: then nothing tells.
    """
    is_before = False
    for event in newest_first:
        if is_before and event.type in BRIDGED_TYPES:
            return False
        is_before = is_before or event.event_id == invitation
    return is_before


def without_making(oldest_first: Iterable[RawEvent], is_ours: Callable[[UserID], bool]) -> list[RawEvent]:
    """A room's events, without the state from before any of our users was there, or was invited: that is how the room
    came to be, and no change that the other side would miss. What was said stays.
    """
    kept: list[RawEvent] = []
    came = False
    for event in oldest_first:
        came = came or is_ours(event.sender) or (bool(event.state_key) and is_ours(UserID(event.state_key or "")))
        if came or event.state_key is None:
            kept.append(event)
    return kept
