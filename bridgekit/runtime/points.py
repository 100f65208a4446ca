"""Named places in the code where a crash would be most unkind, so that chaos tests can crash there.

In production `hook` is None, and reaching a point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable

INTAKE_STAGED = "intake.staged"  # a whole transaction is on disk as it came, the 200 not written, nothing unpacked
APPEND_BEFORE = "append.before"  # pushed by the homeserver, nothing on disk but perhaps what was staged
APPEND_AFTER = "append.after"  # on disk, nothing else done
ANSWER_BEFORE = "answer.before"  # on disk, staged or offered to the lanes, the 200 not written
NETWORK_SENT = "network.sent"  # the network has taken a message, its completion is not on disk
PARTS_BETWEEN = "parts.between"  # the network has one part of a message, and another is to follow
PULL_BEFORE = "pull.before"  # yielded by the session, nothing on disk
PULL_AFTER = "pull.after"  # on disk, the session not resumed
ROOM_BEFORE = "room.before"  # the portal is on disk as being made, createRoom not called
ROOM_CREATED = "room.created"  # createRoom has answered, the room is not on disk
MATRIX_SENT = "matrix.sent"  # the homeserver has taken an event, its completion is not on disk
MEDIA_RESERVED = "media.reserved"  # a place for a file is reserved and noted, its event not sent
MEDIA_SENT = "media.sent"  # the event of a file is sent, the file's job is not on disk
MEDIA_HALF = "media.half"  # the homeserver has the beginning of a file
MEDIA_UPLOADED = "media.uploaded"  # the homeserver has all of a file, the end of its job is not on disk

POINTS = (
    INTAKE_STAGED,
    APPEND_BEFORE,
    APPEND_AFTER,
    ANSWER_BEFORE,
    NETWORK_SENT,
    PARTS_BETWEEN,
    PULL_BEFORE,
    PULL_AFTER,
    ROOM_BEFORE,
    ROOM_CREATED,
    MATRIX_SENT,
    MEDIA_RESERVED,
    MEDIA_SENT,
    MEDIA_HALF,
    MEDIA_UPLOADED,
)

OF_FILES = (MEDIA_RESERVED, MEDIA_SENT, MEDIA_HALF, MEDIA_UPLOADED)
"""Those that only a message with a file reaches."""

hook: Callable[[str], None] | None = None
"""Called with the name of each point that is reached. For tests."""


def reach(point: str) -> None:
    """The code has come to this point."""
    if hook is not None:
        hook(point)
