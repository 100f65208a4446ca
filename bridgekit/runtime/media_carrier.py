"""What carries the files of one direction, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from bridgekit.core.policy import INTERNAL_ERROR, End, Retry
from bridgekit.core.reservation import Answer
from bridgekit.model.records import MediaJob
from bridgekit.runtime.media_words import too_large

QUOTA = "reserve"
"""`Retry.code`: as many places are reserved as the homeserver gives."""

NO_ROOM = "no_room"
"""`Retry.code`: other files have the room on the bridge's disk."""

_ITS_OWN = frozenset({"M_LIMIT_EXCEEDED", QUOTA, NO_ROOM})
"""What passes by itself, and says nothing of the file."""


LOST = "the homeserver did not keep the place that was reserved for it"


class Refused(Exception):
    """The file will never be there; why, in words."""


class Gone(Exception):
    """The place is not ours any more."""


class JobLater(Exception):
    """The file could not be carried this time."""

    def __init__(self, verdict: Retry) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class JobWaits(Exception):
    """There is no session to carry it with. No failure."""


class Carrier(Protocol):
    """Carries the files of one direction. Every method may be repeated after a crash."""

    async def carry(self, job: MediaJob) -> None:
        """Carry it, and write down that it has ended. Raises `JobLater`, `JobWaits`, `StoreError`."""

    async def give_up(self, job: MediaJob, reason: str) -> None:
        """It has been tried for as long as it may be: say so, and end it. Raises `JobLater`, `StoreError`."""

    def urgent_at(self, job: MediaJob) -> int | None:
        """From when on (ms) something must be done for it though there is no session; None: never."""

    def can_read(self, job: MediaJob) -> bool:
        """Whether what is on disk about it makes sense."""

    def reserved(self, job: MediaJob) -> None:
        """A job was found on disk."""

    def ended(self, job: MediaJob) -> None:
        """It is no more: carried, given up or cancelled."""


async def is_forever(verdict: Retry, is_away: Callable[[], Awaitable[bool]]) -> bool:
    """Whether a file is tried on, however long it has failed: the homeserver is away. Where that answers everything but
    this file's calls (it, or a proxy before it, hangs up on them each time), it is the file."""
    return verdict.forever and (verdict.code in _ITS_OWN or await is_away())


def is_readable(job: MediaJob, decode: Callable[[bytes], object]) -> bool:
    """Whether `decode` takes what is on disk about it: a broken disk or another version may have written it."""
    try:
        decode(job.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def as_exception(error: BaseException) -> Exception:
    """What an adapter has raised, as something to judge."""
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def as_decided(verdict: Answer | Retry | End) -> Exception:
    """What to raise where an upload has failed so."""
    match verdict:
        case Answer.TOO_LARGE:
            return Refused(too_large(None))
        case Answer.GONE:
            return Gone(LOST)
        case Retry():
            return JobLater(verdict)
        case End():
            return Refused(f"the homeserver refused it ({verdict.code})")
    return Refused(INTERNAL_ERROR)
