"""Carries a file of the network's to the homeserver, where its event is already, and keeps that event true."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec

from bridgekit.adapter.capabilities import CanFetchMedia, capability
from bridgekit.core.media_contents import FileEvent, replacement
from bridgekit.core.media_info import file_content, filename_of, kind_of, mimetype_of
from bridgekit.core.policy import End, Pause, Retry, judge_homeserver, judge_network
from bridgekit.core.reservation import MAX_LOST, Answer, Place, judge_create, judge_fill, renew_at
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI, LoginID, UserID
from bridgekit.model.media import MediaKind, MediaRef
from bridgekit.model.records import Direction, MediaJob, MediaJobEnded, MediaJobSaved, MessageRecord, MessageSaved
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.media_carrier import (
    LOST,
    QUOTA,
    Gone,
    JobLater,
    JobWaits,
    Refused,
    as_decided,
    as_exception,
    is_readable,
)
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_late import LateWords
from bridgekit.runtime.media_note import FileNote, decode_note, with_note
from bridgekit.runtime.media_stream import SourceFailed, TooLarge, Transfers
from bridgekit.runtime.media_words import failed_words, too_large
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

NOT_FETCHED = "this bridge cannot fetch files from the network"
LOGGED_OUT = "the account that received it has logged out"
THUMBNAIL_TRIES = 3
"""After so many failures a file goes without its thumbnail, if it is that which fails."""

LOOK_MS = 1_000
"""How long the homeserver may wait for a file that it says to have."""


class FileCarrier:
    """The `Carrier` of files from the network."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        sessions: Sessions,
        ghosts: Ghosts,
        jobs: MediaJobs,
        posting: Posting,
        transfers: Transfers,
        clock: Clock,
        counters: Counters,
        *,
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._ghosts = ghosts
        self._jobs = jobs
        self._posting = posting
        self._transfers = transfers
        self._clock = clock
        self._counters = counters
        self._connection_errors = connection_errors
        self._late = LateWords(books, jobs, clock, self._announce)
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
            note = await self._announce(job)
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
            await self._announce(job)
            raise JobLater(Retry(code="gone", reason="its reservation had expired")) from None
        except Refused as refused:
            await self._refuse(job, str(refused))
            return
        points.reach(points.MEDIA_UPLOADED)
        await self._there(job, uri, thumbnail, ref)
        self._counters.media_done[Direction.REMOTE] += 1

    async def give_up(self, job: MediaJob, reason: str) -> None:
        if not (await self._stored(job))[1].settled:
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
        logins = [record.login.id for record in await self._books.portal_logins(job.portal)]
        if not logins:
            return
        heir = next((login for login in logins if self._sessions.session(login) is not None), logins[0])
        async with self._jobs.locked(job.portal, job.message):
            stored, _ = await self._stored(job)
            await self._books.save(MediaJobSaved(msgspec.structs.replace(stored, login=heir)))
        raise JobWaits

    async def _fetch(self, job: MediaJob, note: FileNote) -> tuple[ContentURI, ContentURI | None, MediaRef]:
        """Bring the bytes over. Raises `Refused`, `Gone`, `JobLater`, `JobWaits`."""
        thumbnail: ContentURI | None = None
        if note.ref.thumbnail is not None:
            try:
                thumbnail, _ = await self.transfer(job.login, note, note.ref.thumbnail, note.thumbnail)
            except (Refused, Gone) as error:
                log.info("a file goes without its thumbnail: %s", error)
            except JobLater as later:
                if job.attempts < THUMBNAIL_TRIES:
                    raise
                log.info("a file goes without its thumbnail: %s", later)
        uri, ref = await self.transfer(job.login, note, note.ref, note.place)
        return uri, thumbnail, ref

    async def transfer(
        self, login: LoginID, note: FileNote, ref: MediaRef, place: Place | None
    ) -> tuple[ContentURI, MediaRef]:
        """Bring one file over, into its place if it has one. Raises `Refused`, `JobLater`, `JobWaits`, and for a place
        that is not ours any more, `Gone`."""
        if self._books.login(login) is None:
            raise Refused(LOGGED_OUT)
        session = self._sessions.session(login)
        if session is None:
            raise JobWaits
        fetcher = capability(session, CanFetchMedia)
        if fetcher is None:
            raise Refused(NOT_FETCHED)
        send = functools.partial(self._send, place=place, user=note.sender)
        limit: int | None = None
        try:
            limit = await self._homeserver.media_limit()
            opener = functools.partial(fetcher.open_media, note.message, ref)
            return await self._transfers.carry(ref, opener, send, limit=limit)
        except TooLarge as error:
            raise Refused(too_large(limit)) from error
        except SourceFailed as failed:
            cause = as_exception(failed.error)
            match verdict := judge_network(cause, connection_errors=self._connection_errors, repeatable=True):
                case Retry():
                    raise JobLater(verdict) from failed
                case Pause():
                    if self._sessions.session(login) is session:
                        await self._sessions.auth_failed(login, verdict.reason)
                        await self._sessions.disconnect(login)
                    raise JobWaits from failed
                case End():
                    if verdict.bug:
                        log.error("the adapter failed to open a file", exc_info=failed.error)
                    raise Refused(verdict.reason) from failed
        except OSError as error:
            # Not of the network's, nor of the homeserver's, which come as the errors above: of the bridge's own disk.
            log.error("a file could not be kept meanwhile: %s", error)
            raise JobLater(Retry(code="disk", reason="the bridge could not keep it on its disk")) from error
        except (HomeserverUnreachable, MatrixRequestError) as refused:
            raise as_decided(judge_fill(refused, reserved=place is not None)) from refused

    async def _send(
        self, chunks: AsyncIterator[bytes], size: int, ref: MediaRef, *, place: Place | None, user: UserID
    ) -> ContentURI:
        mimetype, name = mimetype_of(ref) or "application/octet-stream", filename_of(ref)
        if place is None:
            return await self._homeserver.upload_media(chunks, size=size, mimetype=mimetype, filename=name, user=user)
        try:
            await self._homeserver.fill_media(place.uri, chunks, size=size, mimetype=mimetype, filename=name, user=user)
        except MatrixRequestError as error:
            if judge_fill(error, reserved=True) is not Answer.DONE:
                raise
            await self._look(place.uri)
        return place.uri

    async def _look(self, uri: ContentURI) -> None:
        """Make sure that a file is there which the homeserver does not take because it has it. Synapse says so, too,
        while an earlier upload is still being stored (and for two minutes after it was killed then): that one may come
        to nothing. Raises as a failed upload does, where it is to be tried again."""
        try:
            async with self._homeserver.open_media(uri, timeout_ms=LOOK_MS):
                return
        except MatrixRequestError as error:
            if isinstance(judge_homeserver(error), Retry):
                raise
            log.debug("a file that is there is not shown to the bridge: %s", error)

    # --- the reservation --------------------------------------------------------------------------------------------
    async def _renewed(self, job: MediaJob, note: FileNote) -> FileNote:
        places = [place for place in (note.place, note.thumbnail) if place is not None]
        if not places or min(map(renew_at, places)) > self._clock.now():
            return note
        await self._renew(job, note, lost=False)
        return await self._announce(job)

    async def _renew(self, job: MediaJob, note: FileNote, *, lost: bool) -> None:
        """Other places for the bytes, on disk before anybody is told."""
        place = await self.reserve(note.sender)
        thumbnail = await self.reserve(note.sender) if note.thumbnail is not None else None
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._stored(job)
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

    async def reserve(self, user: UserID) -> Place:
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

    # --- the event --------------------------------------------------------------------------------------------------
    async def _there(self, job: MediaJob, uri: ContentURI, thumbnail: ContentURI | None, ref: MediaRef) -> None:
        """The bytes are at the homeserver; what the event says is made true, if it is not."""
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._stored(job)
            shown = note.event
            if not shown.note and kind_of(note.ref) is not kind_of(ref):
                ref = msgspec.structs.replace(ref, kind=kind_of(note.ref))
            if shown.note and kind_of(ref) is MediaKind.STICKER:
                ref = msgspec.structs.replace(ref, kind=MediaKind.IMAGE)  # an edit keeps the event's type
            event = msgspec.structs.replace(shown, base=file_content(ref, thumbnail), uri=uri, note="")
            if event == shown or (event.type != "m.room.message" and event.uri == shown.uri):
                await self._end(job)
                return
            await self._settle(stored, note, event)
        await self._announce(job)
        await self._end(job)

    async def _settle(self, job: MediaJob, note: FileNote, event: FileEvent) -> None:
        """What is left to do is to show this; what has failed before does not count against it."""
        note = msgspec.structs.replace(note, event=event, revision=note.revision + 1, announce=True, settled=True)
        job = msgspec.structs.replace(job, attempts=0, failed_since=None)
        await self._books.save(MediaJobSaved(with_note(job, note)))

    async def _refuse(self, job: MediaJob, reason: str) -> None:
        """Say in the event's place that the file will not come."""
        self._counters.media_failed[Direction.REMOTE] += 1
        log.warning("a file could not be transferred: %s", reason, extra={"lane": job.portal.chat})
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._stored(job)
            event = msgspec.structs.replace(note.event, note=failed_words(note.ref, reason))
            await self._settle(stored, note, event)
        await self._announce(job)
        await self._end(job)

    async def _announce(self, job: MediaJob) -> FileNote:
        """Edit the event, as the job on disk says. Raises `JobLater`."""
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self._stored(job)
            if not note.announce:
                return note
            facts: tuple[MessageSaved, ...] = ()
            try:
                facts = await self._edit(note)
            except (HomeserverUnreachable, MatrixRequestError) as error:
                verdict = judge_homeserver(error)
                if isinstance(verdict, Retry):
                    raise JobLater(verdict) from error
                log.warning("the event of a file could not be edited: %s", error, extra={"room_id": note.room})
            if facts:
                note = msgspec.structs.replace(note, event_id=facts[0].message.event_id)
            note = msgspec.structs.replace(note, announce=False)
            await self._books.save(MediaJobSaved(with_note(stored, note)), *facts)
            return note

    async def _edit(self, note: FileNote) -> tuple[MessageSaved, ...]:
        """Returns what is to be written down of it."""
        ghost = await self._ghosts.by_user(note.sender)
        if ghost is None:
            return ()
        key = note.edit_key()
        if "msgtype" in note.event.base or kind_of(note.ref) is not MediaKind.STICKER:
            content = replacement(note.event, note.event_id, key)
            # Now, not when the message was sent: clients show the edit that is the latest by its time.
            await self._posting.send(note.room, ghost, note.event.type, content, key, 0)
            return ()
        # Clients know no edits of stickers: another event takes its place.
        await self._posting.redact(note.message.portal, note.room, note.event_id, by=note.sender)
        content = note.event.content() | {"io.bridgekit.key": key}
        event_id = await self._posting.send(note.room, ghost, note.event.type, content, key, note.message.timestamp)
        return (
            MessageSaved(
                MessageRecord(
                    portal=note.message.portal,
                    remote_id=note.message.id,
                    part=note.part,
                    room=note.room,
                    event_id=event_id,
                    sender=note.sender,
                    timestamp=note.message.timestamp,
                    file=True,
                )
            ),
        )

    async def _stored(self, job: MediaJob) -> tuple[MediaJob, FileNote]:
        """What is on disk now: an edit of the caption may have changed it meanwhile."""
        stored = await self._books.directory.media_job(job.id) or job
        return stored, decode_note(stored.payload)

    async def _end(self, job: MediaJob) -> None:
        await self._books.save(MediaJobEnded(job.id))
