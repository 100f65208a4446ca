"""Messages that went to the network ahead of a file that will never come: a placeholder there, for ever."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.adapter.capabilities import CanDelete, capability
from bridgekit.core.policy import End, Pause, Retry, judge_homeserver, judge_network
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Ending
from bridgekit.model.ids import RemoteMessageID
from bridgekit.model.matrix import MatrixDelete, Speaker
from bridgekit.model.records import (
    Fact,
    LoginRecord,
    MediaJob,
    MediaJobEnded,
    MediaJobSaved,
    MessageDeleted,
    MessageRecord,
)
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.media_carrier import JobLater, JobWaits, as_exception
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_note_out import UploadNote, note_of, noted
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.media_stream import SourceFailed, Watch
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.status import Status

log = logging.getLogger(__name__)

TRIES = 3
"""How often is looked what the network called a message: its lane may be about to write that down. One of which nobody
knows whether the network took it has no name."""


class Orphans:
    """Tells their senders, and deletes them at the network where that can be. May be repeated after a crash."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        sessions: Sessions,
        jobs: MediaJobs,
        status: Status,
        clock: Clock,
        rules: MediaRules,
        *,
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._jobs = jobs
        self._status = status
        self._clock = clock
        self._rules = rules
        self._connection_errors = connection_errors

    async def carry(self, job: MediaJob) -> None:
        """Raises `JobLater`, `JobWaits`, `StoreError`."""
        note = await self._told(job)
        record = self._books.login(job.login)
        if record is not None:
            for target in note.targets or await self._forgotten(job, note):
                await self._delete(job, note, target, record)
        async with self._jobs.locked(job.portal, job.message):
            await self._books.save(MediaJobEnded(job.id))

    async def _told(self, job: MediaJob) -> UploadNote:
        async with self._jobs.locked(job.portal, job.message):
            stored = await self._books.directory.media_job(job.id) or job
            note = note_of(stored)
            if not note.told:
                facts = await self._tell(note)
                note = msgspec.structs.replace(note, told=True)
                await self._books.save(MediaJobSaved(noted(stored, note)), *facts)
            return note

    async def _tell(self, note: UploadNote) -> tuple[Fact, ...]:
        try:
            event = await self._homeserver.get_event(note.room, note.event_id)
            if event is None:
                return ()
            await self._status.know(note.room)
            ending = Ending(code=note.code, reason=f"its file could not follow: {note.reason}", at=self._clock.now())
            return await self._status.failed(event, ending, received_at=self._clock.now())
        except (HomeserverUnreachable, MatrixRequestError) as error:
            if isinstance(verdict := judge_homeserver(error), Retry):
                raise JobLater(verdict) from error
            log.warning("a person could not be told: %s", error, extra={"room_id": note.room})
            return ()

    async def _forgotten(self, job: MediaJob, note: UploadNote) -> tuple[RemoteMessageID, ...]:
        """What is to be deleted, on disk. It is forgotten first: else the deletion, when the network tells of it, would
        take the event away on Matrix, with what its sender was told."""
        session = self._sessions.session(job.login)
        if session is None:
            raise JobWaits
        if capability(session, CanDelete) is None:
            return ()
        known = await self._books.messages_by_event(note.room, note.event_id)
        records = [record for record in known if record.portal == job.portal and record.part == 0]
        if not records and job.attempts < TRIES:
            raise JobLater(Retry(code="no_name", reason="what the network calls its message is not known yet"))
        within = session.limits(job.portal).delete_within
        if within is not None and any(self._age_s(record) > within.total_seconds() for record in records):
            return ()
        targets = tuple(record.remote_id for record in records)
        async with self._jobs.locked(job.portal, job.message):
            stored = await self._books.directory.media_job(job.id) or job
            note = msgspec.structs.replace(note_of(stored), targets=targets)
            gone = [MessageDeleted(job.portal, target) for target in targets]
            await self._books.save(MediaJobSaved(noted(stored, note)), *gone)
        return targets

    def _age_s(self, record: MessageRecord) -> float:
        return (self._clock.now() - record.timestamp) / 1000

    async def _delete(self, job: MediaJob, note: UploadNote, target: RemoteMessageID, record: LoginRecord) -> None:
        session = self._sessions.session(job.login)
        if session is None:
            raise JobWaits
        deleter = capability(session, CanDelete)
        if deleter is None:
            return
        delete = MatrixDelete(
            portal=job.portal,
            target=target,
            timestamp=self._clock.now(),
            speaker=Speaker(record.login.name or record.login.id),
            reason=f"its file could not follow: {note.reason}",
        )
        try:
            await Watch(self._clock, self._rules.stall_timeout_s).over(deleter.delete(delete))
        except Exception as error:
            cause = as_exception(error.error) if isinstance(error, SourceFailed) else error
            match verdict := judge_network(cause, connection_errors=self._connection_errors, repeatable=True):
                case Retry():
                    raise JobLater(verdict) from error
                case Pause():
                    await self._sessions.refused(job.login, session, verdict.reason)
                    raise JobWaits from error
                case End():
                    log.warning("a message without its file stays at the network: %s", verdict.reason)
