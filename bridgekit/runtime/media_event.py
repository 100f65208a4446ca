"""The event of a file of the network's: kept true, by edits, on disk before anybody sees them."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.core.media_contents import FileEvent, replacement
from bridgekit.core.media_info import kind_of
from bridgekit.core.policy import Retry, judge_homeserver
from bridgekit.core.versions import KEY
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import RoomID
from bridgekit.model.media import MediaKind
from bridgekit.model.records import Ghost, MediaJob, MediaJobSaved, MessageRecord, MessageSaved
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.media_carrier import JobLater
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_note import FileNote, decode_note, with_note
from bridgekit.runtime.posting import Posting

log = logging.getLogger(__name__)


class FileEvents:
    """Shows what the jobs on disk say. Every method may be repeated after a crash, and raises `StoreError`."""

    def __init__(self, books: Books, ghosts: Ghosts, jobs: MediaJobs, posting: Posting) -> None:
        self._books = books
        self._ghosts = ghosts
        self._jobs = jobs
        self._posting = posting

    async def stored(self, job: MediaJob) -> tuple[MediaJob, FileNote]:
        """What is on disk now: an edit of the caption may have changed it meanwhile."""
        stored = await self._books.directory.media_job(job.id) or job
        return stored, decode_note(stored.payload)

    async def settle(self, job: MediaJob, note: FileNote, event: FileEvent) -> None:
        """What is left to do is to show this; what has failed before does not count against it."""
        note = msgspec.structs.replace(note, event=event, revision=note.revision + 1, announce=True, settled=True)
        job = msgspec.structs.replace(job, attempts=0, failed_since=None)
        await self._books.save(MediaJobSaved(with_note(job, note)))

    async def announce(self, job: MediaJob) -> FileNote:
        """Edit the event, as the job on disk says. Raises `JobLater`."""
        async with self._jobs.locked(job.portal, job.message):
            stored, note = await self.stored(job)
            if not note.announce:
                return note
            record: MessageRecord | None = None
            try:
                record = await self._shown(note)
            except (HomeserverUnreachable, MatrixRequestError) as error:
                verdict = judge_homeserver(error)
                if isinstance(verdict, Retry):
                    raise JobLater(verdict) from error
                log.warning("the event of a file could not be edited: %s", error, extra={"room_id": note.room})
            if record is not None:
                note = msgspec.structs.replace(note, room=record.room, event_id=record.event_id)
            note = msgspec.structs.replace(note, announce=False)
            facts = (MessageSaved(record),) if record is not None else ()
            await self._books.save(MediaJobSaved(with_note(stored, note)), *facts)
            return note

    async def _shown(self, note: FileNote) -> MessageRecord | None:
        """Make it so in the room. Returns what is to be written down of it: another event has taken its place."""
        ghost = await self._ghosts.by_user(note.sender)
        if ghost is None:
            return None
        try:
            return await self._edit(note, ghost)
        except MatrixRequestError as error:
            if isinstance(judge_homeserver(error), Retry):
                raise
            # Who has upgraded a room lets nobody speak in the old one any more.
            portal = await self._books.portal(note.message.portal)
            if portal is None or portal.room in (None, note.room):
                raise
            room = portal.room
            log.info("a file follows its chat to another room: %s", error, extra={"room_id": room})
        await self._ghosts.ensure_joined(room, ghost)
        return await self._anew(note, room, ghost)

    async def _edit(self, note: FileNote, ghost: Ghost) -> MessageRecord | None:
        if "msgtype" in note.event.base or kind_of(note.ref) is not MediaKind.STICKER:
            key = note.edit_key()
            content = replacement(note.event, note.event_id, key)
            # Now, not when the message was sent: clients show the edit that is the latest by its time.
            await self._posting.send(note.room, ghost, note.event.type, content, key, 0)
            return None
        # Clients know no edits of stickers: another event takes its place.
        await self._posting.redact(note.message.portal, note.room, note.event_id, by=note.sender)
        return await self._anew(note, note.room, ghost)

    async def _anew(self, note: FileNote, room: RoomID, ghost: Ghost) -> MessageRecord:
        key, at = note.edit_key(), note.message.timestamp
        event_id = await self._posting.send(room, ghost, note.event.type, note.event.content() | {KEY: key}, key, at)
        return MessageRecord(
            portal=note.message.portal,
            remote_id=note.message.id,
            part=note.part,
            room=room,
            event_id=event_id,
            sender=note.sender,
            timestamp=at,
            file=True,
        )
