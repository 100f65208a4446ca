"""Which events a remote message is, as facts."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.model.ids import EventID, PortalKey, RemoteMessageID, RoomID
from bridgekit.model.records import Fact, Ghost, MessageRecord, MessageSaved


def saved(
    portal: PortalKey,
    remote_id: RemoteMessageID,
    room: RoomID,
    ghost: Ghost,
    events: Sequence[EventID],
    *,
    timestamp: int,
    first_part: int = 0,
    files: int = 0,
) -> tuple[Fact, ...]:
    """These events are the parts of a remote message, from `first_part` on. `files`: so many of them, the first, are
    files."""
    return tuple(
        MessageSaved(
            MessageRecord(
                portal=portal,
                remote_id=remote_id,
                part=part,
                room=room,
                event_id=event_id,
                sender=ghost.user_id,
                timestamp=timestamp,
                file=part - first_part < files,
            )
        )
        for part, event_id in enumerate(events, first_part)
    )
