"""Files on their way to the network: each goes ahead of its message, so that nobody waits for it but its own room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from bridgekit.adapter.capabilities import CanUploadMedia, capability
from bridgekit.core.media_from_matrix import ReadFile
from bridgekit.core.policy import End, Pause, Retry, Verdict, expired, judge_network
from bridgekit.errors import LeaseLost
from bridgekit.model.entry import Ending
from bridgekit.model.ids import EventID, LoginID, PortalKey
from bridgekit.model.limits import Limits
from bridgekit.model.media import MatrixMedia
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Direction, Fact, MediaJob, MediaJobEnded, MediaJobSaved, MessageRecord
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.lanes import WaitFor, is_being_cancelled
from bridgekit.runtime.media_carrier import JobLater, JobWaits, is_readable
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_note import job_id
from bridgekit.runtime.media_note_out import UploadNote, decode_upload, note_of, noted, payload, upload_id
from bridgekit.runtime.media_open import NOT_YET, HomeserverSays, fitting, media_of, too_large
from bridgekit.runtime.media_orphans import Orphans
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.media_stream import SourceFailed, Watch
from bridgekit.runtime.sessions import Sessions

if TYPE_CHECKING:
    from bridgekit.runtime.sending import Attempt, Connected

log = logging.getLogger(__name__)

NOT_YET_FOR_MS = 10 * 60 * 1000
"""How long is waited for a file that the sender's client has announced, and not uploaded."""

LOOK_AGAIN_S = 60.0
"""How often a head that waits for its file looks whether there is something to say."""

NO_FILES = "files cannot be sent to this network"


class MediaOut:
    """The `Carrier` of files from Matrix, and what the head of a lane asks it."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        sessions: Sessions,
        jobs: MediaJobs,
        orphans: Orphans,
        clock: Clock,
        rules: MediaRules,
        counters: Counters,
        *,
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._jobs = jobs
        self._clock = clock
        self._rules = rules
        self._counters = counters
        self._connection_errors = connection_errors
        self._orphans = orphans
        self._arrivals: dict[str, asyncio.Event] = {}

    # --- for the head of a lane -------------------------------------------------------------------------------------
    def refusal(self, file: ReadFile, limits: Limits, uploader: CanUploadMedia | None) -> tuple[str, str] | None:
        """Why the network will not take it, as far as is known before anything was read: (code, reason)."""
        if uploader is None:
            return "not_supported", NO_FILES
        if fitting(file.kind, limits) is None:
            return "not_supported", "this network takes no files of this kind"
        why = too_large(file.size, limits)
        return None if why is None else ("too_large", why)

    async def remote(self, a: Attempt, file: ReadFile, to: Connected, uploader: CanUploadMedia) -> MatrixMedia | Ending:
        """The file as it is sent now, with what the network calls it; or how its message ends. Raises `WaitFor` until
        the network has it."""
        limits = to.session.limits(a.portal.key)
        id, login = upload_id(a.event.event_id), to.record.login.id
        arrival = self._arrivals.setdefault(id, asyncio.Event())  # first of all: it may come while we look
        job = await self._books.directory.media_job(id)
        note = note_of(job) if job is not None else None
        if job is not None and job.login != login:
            await self._jobs.cancel(job.portal, job.message)  # the other login's: of no use here
            job = note = None
        if note is not None and note.code:
            return a.ending(note.code, note.reason)
        known = (note.remote or note.reserved) if note is not None else ""
        if not known and job is None and reserves(uploader):
            media = media_of(file, self._homeserver, limits)
            made = await a.call(lambda: uploader.reserve(a.portal.key, media), to, ahead=True)
            if isinstance(made, Ending):
                return made
            known = made
            if known:
                await self._save(_new(a.event, a.portal.key, login, file, self._clock.now(), reserved=known))
        if known:
            self._arrivals.pop(id, None)
            return media_of(file, self._homeserver, limits, remote=known)
        if job is None:
            await self.begin(a.event, a.portal.key, login, file)
        raise WaitFor(await self._wait(a, arrival, note))

    async def begin(
        self,
        event: RawEvent,
        portal: PortalKey,
        login: LoginID,
        file: ReadFile,
        *,
        ahead: bool = False,
        pending: Callable[[], bool] = lambda: True,
    ) -> None:
        """Give a file to the network as soon as it is its turn, unless it was begun already, or its message is not
        `pending` any more."""
        job = _new(event, portal, login, file, self._clock.now())
        async with self._jobs.locked(portal, job.message):
            stored = await self._books.directory.media_job(job.id)
            if (stored is not None and (ahead or stored.login == login)) or not pending():
                return
            await self._save(job)
        self._jobs.offer(job)

    async def is_known(self, event_id: EventID) -> bool:
        """Whether an event's file is on its way, or there."""
        return await self._books.directory.media_job(upload_id(event_id)) is not None

    async def sent(self, event_id: EventID) -> tuple[Fact, ...]:
        """The network has the message: what to write down. Its file follows, if only a place was reserved."""
        id = upload_id(event_id)
        job = await self._books.directory.media_job(id)
        if job is None:
            return ()
        async with self._jobs.locked(job.portal, job.message):
            job = await self._books.directory.media_job(id) or job
            note = note_of(job)
            if note.settled:
                return (MediaJobEnded(id),)
            job = noted(job, msgspec.structs.replace(note, sent=True))
            await self._save(job)
        points.reach(points.MEDIA_SENT)
        self._jobs.offer(job)
        return ()

    async def forget(self, portal: PortalKey, event_id: EventID) -> tuple[Fact, ...]:
        """The message is deleted: what to write down."""
        self._arrivals.pop(upload_id(event_id), None)
        await self._jobs.cancel(portal, event_id)
        return (MediaJobEnded(upload_id(event_id)),) if await self.is_known(event_id) else ()

    async def unsent(self, event_id: EventID) -> tuple[Fact, ...]:
        """The message will not be sent: what to write down. Nothing, if it may be there and its file is to follow."""
        self._arrivals.pop(upload_id(event_id), None)
        job = await self._books.directory.media_job(upload_id(event_id))
        return () if job is None or note_of(job).sent else await self.forget(job.portal, event_id)

    async def withdrawn(self, records: Sequence[MessageRecord]) -> None:
        """These events of the network's people were redacted on Matrix: what is still to come of their files must not
        bring them back, by an edit. Raises `StoreError`."""
        for record in records:
            if record.file:
                id = job_id(record.portal, record.sender, record.remote_id, record.part)
                await self._jobs.cancel(record.portal, record.remote_id, only=id)

    async def _wait(self, a: Attempt, arrival: asyncio.Event, note: UploadNote | None) -> Callable[[], Awaitable[None]]:
        """What the head waits for: the file's arrival, or the time to say that it waits."""
        rest_s = (a.entry.received_at + a.o.retrying.delivery.tell_after_ms - self._clock.now()) / 1000
        if rest_s <= 0 and note is not None and note.waits:
            await a.tell_waiting(note.waits, at_once=True)
        if rest_s <= 0:
            rest_s = LOOK_AGAIN_S

        async def ready() -> None:
            waits = [asyncio.ensure_future(arrival.wait()), asyncio.ensure_future(self._clock.sleep(rest_s))]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

        return ready

    # --- the carrier ------------------------------------------------------------------------------------------------
    def urgent_at(self, job: MediaJob) -> int | None:
        return None

    def can_read(self, job: MediaJob) -> bool:
        return is_readable(job, decode_upload)

    def reserved(self, job: MediaJob) -> None:
        """Nothing is reserved at the homeserver for it."""

    def ended(self, job: MediaJob) -> None:
        self._arrived(job.id)

    async def carry(self, job: MediaJob) -> None:
        note = note_of(job)
        if note.settled:
            if note.sent:
                await self._orphans.carry(job)
            return  # else its message is still to be sent
        if self._books.login(job.login) is None:
            await self._fail(job, "no_login", "the login that it was to be sent through has logged out")
            return
        session = self._sessions.session(job.login)
        if session is None:
            raise JobWaits
        uploader = capability(session, CanUploadMedia)
        if uploader is None:
            await self._fail(job, "not_supported", NO_FILES)
            return
        limits = session.limits(job.portal)
        try:
            remote = await self._upload(uploader, job, note, limits)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - the policy's table says what it means
            await self._failed(job, error, session)
            return
        points.reach(points.MEDIA_UPLOADED)
        self._counters.media_done[Direction.MATRIX] += 1
        await self._settle(job, remote=remote)

    async def give_up(self, job: MediaJob, reason: str) -> None:
        if note_of(job).code:
            log.warning("a message without its file could not be deleted at the network: %s", reason)
            await self._books.save(MediaJobEnded(job.id))
            return
        try:
            await self._fail(job, "transient", reason)
        except JobWaits:
            raise JobLater(Retry(code="no_session", reason="its account is not connected")) from None

    async def _upload(self, uploader: CanUploadMedia, job: MediaJob, note: UploadNote, limits: Limits) -> str:
        watch = Watch(self._clock, self._rules.stall_timeout_s)

        def moved(size: int) -> None:
            watch.seen(size)
            self._counters.media_bytes[Direction.MATRIX] += size
            points.reach(points.MEDIA_HALF)

        media = media_of(note.file, self._homeserver, limits, remote=note.reserved, moved=moved)
        try:
            remote: object = await watch.over(uploader.upload(job.portal, media))
        except SourceFailed as stalled:
            raise stalled.error from None
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise ConnectionAbortedError("the upload was cancelled") from error
        if note.reserved:
            return note.reserved
        if not isinstance(remote, str) or not remote:
            raise TypeError(f"the adapter's upload returned {remote!r} instead of a reference")
        return remote

    async def _failed(self, job: MediaJob, error: Exception, session: object) -> None:
        match verdict := self._verdict(error):
            case Retry():
                if verdict.code == NOT_YET and expired(
                    now=self._clock.now(), failed_since=job.failed_since, retry_for_ms=NOT_YET_FOR_MS
                ):
                    await self._fail(job, "not_uploaded", "its file was never uploaded to Matrix")
                    return
                await self._change(job, waits=verdict.reason)
                raise JobLater(verdict) from error
            case Pause():
                await self._sessions.refused(job.login, session, verdict.reason)
                self._arrived(job.id)  # the head looks why nothing comes
                raise JobWaits from error
            case End():
                if verdict.bug:
                    log.error("the adapter failed to upload a file", exc_info=error)
                await self._fail(job, verdict.code, verdict.reason)

    def _verdict(self, error: Exception) -> Verdict:
        if isinstance(error, HomeserverSays):
            return error.verdict
        return judge_network(error, connection_errors=self._connection_errors, repeatable=True)

    # --- on disk ----------------------------------------------------------------------------------------------------
    async def _fail(self, job: MediaJob, code: str, reason: str) -> None:
        self._counters.media_failed[Direction.MATRIX] += 1
        log.warning("a file could not be sent: %s", reason, extra={"event_id": note_of(job).event_id})
        await self._settle(job, code=code, reason=reason)

    async def _settle(self, job: MediaJob, **how: str) -> None:
        """It is over. If its message is at the network already, nobody asks any more. Raises `JobLater`, `JobWaits`."""
        async with self._jobs.locked(job.portal, job.message):
            stored = await self._books.directory.media_job(job.id)
            if stored is None or stored.login != job.login:
                return
            note = msgspec.structs.replace(note_of(stored), **how)
            if note.sent and not note.code:
                await self._books.save(MediaJobEnded(job.id))
            else:
                await self._save(noted(stored, note))
        if note.sent and note.code:
            await self._orphans.carry(job)

    async def _change(self, job: MediaJob, **how: str) -> None:
        async with self._jobs.locked(job.portal, job.message):
            stored = await self._books.directory.media_job(job.id)
            if stored is not None and stored.login == job.login:
                await self._save(noted(stored, msgspec.structs.replace(note_of(stored), **how)))

    async def _save(self, job: MediaJob) -> None:
        await self._books.save(MediaJobSaved(job))

    def _arrived(self, id: str) -> None:
        arrival = self._arrivals.pop(id, None)
        if arrival is not None:
            arrival.set()


def _new(
    event: RawEvent, portal: PortalKey, login: LoginID, file: ReadFile, now: int, *, reserved: str = ""
) -> MediaJob:
    note = UploadNote(file=file, room=event.room_id, event_id=event.event_id, reserved=reserved)
    return MediaJob(
        id=upload_id(event.event_id),
        direction=Direction.MATRIX,
        portal=portal,
        message=event.event_id,
        login=login,
        payload=payload(note),
        created_at=now,
    )


def reserves(uploader: CanUploadMedia) -> bool:
    """Whether its network may send a message before its file."""
    return type(uploader).reserve is not CanUploadMedia.reserve
