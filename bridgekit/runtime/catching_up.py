"""What is done with old messages at the head of their chat's lane: `core.catch_up` with the journal and the disk."""

from __future__ import annotations

import functools
import logging

import msgspec

from bridgekit.core import catch_up
from bridgekit.core.catch_up import OLD_KIND, Progress, Verdict
from bridgekit.core.to_matrix import notice_content, sent_at
from bridgekit.core.txnid import event_txn_id
from bridgekit.model.entry import Entry
from bridgekit.model.ids import LaneKey, RoomID, UserID
from bridgekit.model.records import ValueSaved
from bridgekit.model.remote import RemoteMessage
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.lane import Handled, Lane, WaitFor
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

PAGE = 500
"""Entries that are looked at at once to see how many wait."""


class CatchUpRules(msgspec.Struct, frozen=True, kw_only=True):
    """`older_than_ms`: how old a message is, when its session connects, to count as old. `replay`: how many old ones
    of a chat are bridged at most. `as_notice`: those are sent as ``m.notice``, which notify nobody."""

    older_than_ms: int = 6 * 3_600_000
    replay: int = 50
    as_notice: bool = True


class Turn(msgspec.Struct, frozen=True):
    """What becomes of a message. `ended`: nothing more. Else it is bridged: behind the notice, if there is `told`, and
    as ``m.notice`` if `quiet`."""

    ended: Handled | None = None
    told: Progress | None = None
    quiet: bool = False


class CatchingUp:
    """Decides for every message whether it is bridged. `skipped` counts those that were not."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        homeserver: Homeserver,
        sessions: Sessions,
        rules: CatchUpRules,
        *,
        bot: UserID,
    ) -> None:
        self._books = books
        self._journal = journal
        self._homeserver = homeserver
        self._sessions = sessions
        self._rules = rules
        self._bot = bot
        # What is on disk or on its way there, of the lanes that were asked for: a few bytes for each.
        self._progress: dict[LaneKey, Progress] = {}
        self._skip_through: dict[LaneKey, int] = {}
        self.skipped = 0

    async def turn(self, message: RemoteMessage, entry: Entry, lane: Lane) -> Turn:
        """What becomes of the message at the head. Raises `WaitFor`, `StoreError`."""
        if entry.kind == OLD_KIND:
            return await self._old(message, entry, lane)
        progress = self._progress.get(lane.key)
        if progress is None and lane.may_have_been_tried(entry):
            # A process that ended between skipping and telling has left old messages behind it in this lane.
            progress = await self._load(lane)
        if progress is not None and progress.is_open:
            progress = await self._decide(lane, progress.decide(tell_at=entry.seq, through=entry.seq))
        return Turn(told=_told(progress, entry)) if progress is not None else Turn()

    async def _old(self, message: RemoteMessage, entry: Entry, lane: Lane) -> Turn:
        progress = self._progress.get(lane.key)
        if progress is None:
            progress = await self._load(lane)
        if not progress.is_decided(entry.seq):
            verdict, last = await self._judge(entry, lane.key)
            match verdict:
                case Verdict.WAIT:
                    raise WaitFor(functools.partial(self._sessions.until_caught_up, entry.login))
                case Verdict.SKIP:
                    progress = progress.skip(message.timestamp)
                    self._progress[lane.key] = progress
                    self.skipped += 1
                    return Turn(ended=Handled(facts=(_saved(lane.key, progress),)))
                case Verdict.SKIP_LAST:
                    self.skipped += 1
                    progress = progress.skip(message.timestamp)
                    progress = progress.decide(tell_at=entry.seq, through=entry.seq, replays=False)
                case Verdict.REPLAY:
                    progress = progress.decide(tell_at=entry.seq, through=last)
            progress = await self._decide(lane, progress)
            if progress.skipped:
                log.info("%d older messages of a chat were not bridged", progress.skipped, extra={"lane": lane.key})
        told = _told(progress, entry)
        if not progress.replays:
            return Turn(ended=Handled(), told=told)
        return Turn(told=told, quiet=self._rules.as_notice)

    async def _judge(self, entry: Entry, lane: LaneKey) -> tuple[Verdict, int]:
        """The verdict, and the number of the last old entry that waits."""
        if entry.seq <= self._skip_through.get(lane, 0):
            return Verdict.SKIP, 0
        # Asked before the entries are counted: what comes in between must not be missed.
        complete = self._sessions.catches_up_s(entry.login) == 0
        waiting, live = await self._waiting(entry, lane)
        self._skip_through[lane] = catch_up.skip_through(waiting, at_most=self._rules.replay)
        verdict = catch_up.judge(len(waiting), at_most=self._rules.replay, complete=complete or live)
        return verdict, waiting[-1]

    async def _waiting(self, entry: Entry, lane: LaneKey) -> tuple[list[int], bool]:
        """The numbers of the old entries that wait, the head's first; not all of them if there are very many. And
        whether a newer message waits behind, so that this chat's old ones have all come."""
        waiting, live, after = [entry.seq], False, entry.seq
        while len(waiting) <= self._rules.replay + PAGE:
            page = await self._journal.peek(lane, after=after, limit=PAGE)
            waiting += [each.seq for each in page if each.kind == OLD_KIND]
            live = live or any(each.kind == "message" for each in page)
            if len(page) < PAGE:
                break
            after = page[-1].seq
        return waiting, live

    async def _load(self, lane: Lane) -> Progress:
        await lane.settle()
        progress = catch_up.decode(await self._books.directory.value(catch_up.progress_key(lane.key)))
        self._progress[lane.key] = progress
        return progress

    async def _decide(self, lane: Lane, progress: Progress) -> Progress:
        """On disk before anything is sent, and behind what was skipped: an older state must not be written over it."""
        await lane.settle()
        await self._books.save(_saved(lane.key, progress))
        self._progress[lane.key] = progress
        return progress

    async def tell(self, room: RoomID, message: RemoteMessage, progress: Progress) -> None:
        """Say in the room how many messages are missing there, before this one. Raises `HomeserverError`."""
        key = event_txn_id(
            portal=message.portal,
            sender=self._bot,
            kind="skipped",
            remote_id=message.id,
            occurrence=progress.tell_at,
            part=0,
        )
        await self._homeserver.send_event(
            room,
            "m.room.message",
            notice_content(catch_up.notice(progress), key),
            txn_id=key,
            user=self._bot,
            timestamp=sent_at(progress.last),
        )


def _told(progress: Progress, entry: Entry) -> Progress | None:
    """The notice that belongs before this entry; said again after a crash, which does no harm."""
    return progress if progress.skipped and progress.tell_at == entry.seq else None


def _saved(lane: LaneKey, progress: Progress) -> ValueSaved:
    return ValueSaved(catch_up.progress_key(lane), catch_up.encode(progress))
