"""Carries a file of the network's to the homeserver, where its event is already, in a place that is kept for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from bridgekit.core.media_info import file_content, kind_of
from bridgekit.core.policy import Retry
from bridgekit.core.reservation import MAX_LOST, Answer, Place, judge_create, renew_at
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI, UserID
from bridgekit.model.media import MediaKind, MediaRef
from bridgekit.model.records import Direction, LoginRecord, LoginState, MediaJob, MediaJobEnded, MediaJobSaved
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.media_carrier import LOST, QUOTA, Gone, JobLater, JobWaits, Refused, is_readable
from bridgekit.runtime.media_event import FileEvents
from bridgekit.runtime.media_fetch import THUMBNAIL_TRIES, Fetcher
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_late import LateWords
from bridgekit.runtime.media_note import FileNote, decode_note, with_note
from bridgekit.runtime.media_words import failed_words
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)


class FileCarrier:
    """The `Carrier` of files from the network."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        sessions: Sessions,
        jobs: MediaJobs,
        fetcher: Fetcher,
        events: FileEvents,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._jobs = jobs
        self._fetcher = fetcher
        self._events = events
        self._clock = clock
        self._counters = counters
        self._late = LateWords(books, jobs, clock, self._events.announce)
        self._reserved: Counter[UserID] = Counter()
        self.on_freed: Callable[[UserID], None] = lambda user: None

    # --- for the jobs' order ----------------------------------------------------------------------------------------
    def urgent_at(self, job: MediaJob) -> int | None:
        note = decode_note(job.payload)
        return min((at for at in (note.urgent_at, self._late.at(job, note)) if at is not None), default=None)

    def can_read(self, job: MediaJob) -> bool:
        return is_readable(job, decode_note)

    def reserved(self, job: MediaJob) -> None:
        """A job has begun to exist, or was found on disk."""
        note = decode_note(job.payload)
        if note.place is not None:
            self._reserved[note.sender] += 1

    def reserved_by(self, user: UserID) -> int:
        """How many files of jobs this user has reserved places for, which will be free again."""
        return self._reserved[user]

    def ended(self, job: MediaJob) -> None:
        note = decode_note(job.payload)
        if note.place is not None:
            self._reserved[note.sender] -= 1
            self.on_freed(note.sender)

    # --- carrying ---------------------------------------------------------------------------------------------------
    async def carry(self, job: MediaJob) -> None:
        note = decode_note(job.payload)
        if note.announce:
            note = await self._events.announce(job)
        if note.settled:
            await self._end(job)
            return
        await self._inherit(job)
        try:
            note = await self._renewed(job, note)
            async with self._late.meanwhile(job, note):
                uri, thumbnail, ref = await self._fetch(job, note)
        except Gone:
            if note.lost >= MAX_LOST:
                await self._refuse(job, LOST)
                return
            await self._renew(job, note, lost=True)
            await self._events.announce(job)
            raise JobLater(Retry(code="gone", reason="its reservation had expired")) from None
        except Refused as refused:
            await self._refuse(job, str(refused))
            return
        points.reach(points.MEDIA_UPLOADED)
        await self._there(job, uri, thumbnail, ref)
        self._counters.media_done[Direction.REMOTE] += 1

    async def give_up(self, job: MediaJob, reason: str) -> None:
        if not (await self._events.stored(job))[1].settled:
            await self._refuse(job, reason)
            return
        # The bytes are there, or known not to come; it is the event that cannot be edited.
        log.error("the event of a file could not be edited: %s", reason, extra={"lane": job.portal.chat})
        await self._end(job)

    async def _inherit(self, job: MediaJob) -> None:
        """Where the account that received it has logged out, another one that sees the chat fetches it. Raises
        `JobWaits` for its turn."""
        if self._books.login(job.login) is not None:
            return
        seen = await self._books.portal_logins(job.portal)
        if not seen:
            return

        def is_further(record: LoginRecord) -> tuple[bool, bool]:
            # Who has to log in again may never do so.
            return self._sessions.session(record.login.id) is None, record.state is not LoginState.ACTIVE

        heir = min(seen, key=is_further).login.id
        async with self._jobs.locked(job.portal, job.message):
            stored, _ = await self._events.stored(job)
            await self._books.save(MediaJobSaved(msgspec.structs.replace(stored, login=heir)))
        raise JobWaits

    async def _fetch(self, job: MediaJob, note: FileNote) -> tuple[ContentURI, ContentURI | None, MediaRef]:
        """Bring the bytes over. Raises `Refused`, `Gone`, `JobLater`, `JobWaits`."""
        thumbnail: ContentURI | None = None
        if note.ref.thumbnail is not None:
            try:
                thumbnail, _ = await self._fetcher.transfer(job.login, note, note.ref.thumbnail, note.thumbnail)
            except (Refused, Gone) as error:
                log.info("a file goes without its thumbnail: %s", error)
            except JobLater as later:
                if job.attempts < THUMBNAIL_TRIES:
                    raise
                log.info("a file goes without its thumbnail: %s", later)
        uri, ref = await self._fetcher.transfer(job.login, note, note.ref, note.place)
        return uri, thumbnail, ref

    # --- the reservation --------------------------------------------------------------------------------------------
    async def _renewed(self, job: MediaJob, note: FileNote) -> FileNote:
        places = [place for place in (note.place, note.thumbnail) if place is not None]
        if not places or min(map(renew_at, places)) > self._clock.now():
            return note
        await self._renew(job, note, lost=False)
        return await self._events.announce(job)

    async def _renew(self, job: MediaJob, note: FileNote, *, lost: bool) -> None:
        """Other places for the bytes, on disk before anybody is told."""
        place = await self._reserve(note.sender)
        thumbnail = await self._reserve(note.sender) if note.thumbnail is not None else None
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._events.stored(job)
            ref = note.ref
            base = file_content(ref, thumbnail.uri if thumbnail is not None else None)
            event = msgspec.structs.replace(note.event, base=base, uri=place.uri)
            changed = msgspec.structs.replace(
                note,
                place=place,
                thumbnail=thumbnail,
                event=event,
                revision=note.revision + 1,
                announce=note.announce or not event.note,  # words stay what they are
                lost=note.lost + lost,
            )
            await self._books.save(MediaJobSaved(with_note(stored, changed)))

    async def _reserve(self, user: UserID) -> Place:
        """A place for a job's file. Raises `JobLater`."""
        now = self._clock.now()
        try:
            made = await self._homeserver.reserve_media(user=user)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            verdict = judge_create(error)
            if isinstance(verdict, Retry):
                raise JobLater(verdict) from error
            # Whatever it is, the old place has some time left yet.
            raise JobLater(Retry(code=QUOTA, reason=str(error), forever=verdict is Answer.FULL)) from error
        return Place(made.uri, now, made.expires_at)

    # --- how it ends ------------------------------------------------------------------------------------------------
    async def _there(self, job: MediaJob, uri: ContentURI, thumbnail: ContentURI | None, ref: MediaRef) -> None:
        """The bytes are at the homeserver; what the event says is made true, if it is not."""
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._events.stored(job)
            shown = note.event
            if not shown.note and kind_of(note.ref) is not kind_of(ref):
                ref = msgspec.structs.replace(ref, kind=kind_of(note.ref))
            if shown.note and kind_of(ref) is MediaKind.STICKER:
                ref = msgspec.structs.replace(ref, kind=MediaKind.IMAGE)  # an edit keeps the event's type
            event = msgspec.structs.replace(shown, base=file_content(ref, thumbnail), uri=uri, note="")
            is_true = event == shown or (event.type != "m.room.message" and event.uri == shown.uri)
            if not is_true:
                await self._events.settle(stored, note, event)
        await self._events.announce(job)
        await self._end(job)

    async def _refuse(self, job: MediaJob, reason: str) -> None:
        """Say in the event's place that the file will not come."""
        self._counters.media_failed[Direction.REMOTE] += 1
        log.warning("a file could not be transferred: %s", reason, extra={"lane": job.portal.chat})
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._events.stored(job)
            event = msgspec.structs.replace(note.event, note=failed_words(note.ref, reason))
            await self._events.settle(stored, note, event)
        await self._events.announce(job)
        await self._end(job)

    async def _end(self, job: MediaJob) -> None:
        async with self._jobs.locked(job.portal, job.message):  # or who edits the caption would write it down once more
            await self._books.save(MediaJobEnded(job.id))
