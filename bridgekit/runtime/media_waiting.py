"""Files that are brought over before their event is sent (``media.mode: wait``): the lane's head waits for them."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable

import msgspec

from bridgekit.core.backoff import Backoff
from bridgekit.core.media_contents import FileEvent
from bridgekit.core.policy import expired
from bridgekit.core.reservation import Place
from bridgekit.model.entry import Entry
from bridgekit.model.ids import DedupeKey, EventID, LoginID, RoomID, UserID
from bridgekit.model.remote import RemoteMessage
from bridgekit.runtime.lanes import WaitFor
from bridgekit.runtime.media_carrier import JobLater, JobWaits, Refused, is_forever
from bridgekit.runtime.media_fetch import THUMBNAIL_TRIES, Fetcher
from bridgekit.runtime.media_note import FileNote, Slot
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions


class Waiting:
    """What is on its way for the heads of lanes. It is begun anew after a restart."""

    def __init__(
        self,
        fetcher: Fetcher,
        sessions: Sessions,
        retrying: Retrying,
        rules: MediaRules,
        backoff: Backoff,
        *,
        is_away: Callable[[], Awaitable[bool]],
    ) -> None:
        self._is_away = is_away
        self._fetcher = fetcher
        self._sessions = sessions
        self._retrying = retrying
        self._backoff = backoff
        self._all = asyncio.Semaphore(rules.at_once)
        self._of_login: defaultdict[LoginID, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(rules.per_login)
        )
        self._tasks: dict[tuple[DedupeKey, int], asyncio.Task[Slot]] = {}

    def slot(self, message: RemoteMessage, file: int, user: UserID, entry: Entry) -> Slot:
        """How it has come. Raises `WaitFor` until then."""
        assert entry.login is not None
        key = (entry.dedupe, file)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(
                self._bring(message, file, user, entry.login), name=f"file {file} of {entry.dedupe}"
            )
        if not task.done():
            raise WaitFor(functools.partial(asyncio.wait, (task,)))
        del self._tasks[key]
        return task.result()

    async def stop(self) -> None:
        """Break off what is on its way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _bring(self, message: RemoteMessage, file: int, user: UserID, login: LoginID) -> Slot:
        clock, attempt, since = self._retrying.clock, 0, None
        note = FileNote(
            message=message, file=file, part=0, room=RoomID(""), event_id=EventID(""), sender=user, event=FileEvent({})
        )
        while True:
            try:
                async with self._of_login[login], self._all:
                    return await self._once(note, login, attempt)
            except Refused as refused:
                return Slot(failed=str(refused))
            except JobWaits:
                await self._sessions.until_connected(login)
                await clock.sleep(1.0)  # one that was refused may be connected for a moment yet
            except JobLater as later:
                retry_for_ms = self._retrying.delivery.retry_for_ms
                over = expired(now=clock.now(), failed_since=since, retry_for_ms=retry_for_ms)
                if over and not await is_forever(later.verdict, self._is_away):
                    return Slot(failed=later.verdict.reason)
                since = since if since is not None else clock.now()
                await clock.sleep(self._backoff.delay(attempt, self._retrying.random(), later.verdict.retry_after_s))
                attempt += 1

    async def _once(self, note: FileNote, login: LoginID, attempt: int) -> Slot:
        thumbnail = None
        if note.ref.thumbnail is not None:
            try:
                uri, _ = await self._fetcher.transfer(login, note, note.ref.thumbnail, None)
                thumbnail = Place(uri, 0)
            except Refused:
                thumbnail = None  # the file goes without it
            except JobLater:
                if attempt < THUMBNAIL_TRIES:
                    raise
        uri, ref = await self._fetcher.transfer(login, note, note.ref, None)
        return Slot(uri=uri, thumbnail=thumbnail, ref=msgspec.structs.replace(ref))
