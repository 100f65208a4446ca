"""Words in the place of a file whose bytes take longer than clients wait for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from bridgekit.core.media_late import words_at
from bridgekit.errors import StoreError
from bridgekit.model.records import MediaJob, MediaJobSaved
from bridgekit.ports import Clock
from bridgekit.runtime.books import Books
from bridgekit.runtime.media_carrier import JobLater
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_note import FileNote, decode_note, with_note
from bridgekit.runtime.media_words import coming_words

log = logging.getLogger(__name__)


class LateWords:
    """`announce` edits a job's event into what is on disk about it, if that is not in the room yet."""

    def __init__(
        self, books: Books, jobs: MediaJobs, clock: Clock, announce: Callable[[MediaJob], Awaitable[FileNote]]
    ) -> None:
        self._books = books
        self._jobs = jobs
        self._clock = clock
        self._announce = announce

    def at(self, job: MediaJob, note: FileNote) -> int | None:
        """When (ms) words must take the file's place; None: never, or they have."""
        return words_at(note.event, note.place, job.created_at) if not note.settled else None

    @asynccontextmanager
    async def meanwhile(self, job: MediaJob, note: FileNote) -> AsyncIterator[None]:
        """While the block brings the file: when it is time, its event becomes words. Raises `JobLater`, `StoreError` if
        that was due already, and cannot be done."""
        at = self.at(job, note)
        if at is None or at <= self._clock.now():
            if at is not None:
                await self._say(job)
            yield
            return
        saying = asyncio.Event()
        task = asyncio.create_task(self._later(job, at, saying), name=f"words for {job.id}")
        try:
            yield
            if saying.is_set():
                await task  # an edit that is on its way is in the room before the next one is sent
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _later(self, job: MediaJob, at: int, saying: asyncio.Event) -> None:
        while (rest := at - self._clock.now()) > 0:
            await self._clock.sleep(rest / 1000)
        saying.set()
        try:
            await self._say(job)
        except (JobLater, StoreError) as error:
            log.info("a file is late, and words in its place are, too: %s", error)

    async def _say(self, job: MediaJob) -> None:
        async with self._jobs.locked(job.portal, job.message):
            stored = await self._books.directory.media_job(job.id) or job
            note = decode_note(stored.payload)
            event = msgspec.structs.replace(note.event, note=coming_words(note.ref))
            note = msgspec.structs.replace(note, event=event, revision=note.revision + 1, announce=True)
            await self._books.save(MediaJobSaved(with_note(stored, note)))
        await self._announce(job)
