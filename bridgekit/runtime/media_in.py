"""Messages with files at the head of a remote lane: places are reserved, the events go out, and the bytes follow."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import CanFetchMedia, capability
from bridgekit.core.media_contents import (
    MESSAGE,
    FileEvent,
    Part,
    file_event,
    file_parts,
    may_have_caption,
    quietly,
    replacement,
    shown_content,
)
from bridgekit.core.media_info import file_content, kind_of
from bridgekit.core.mentions import Mentions, read_mentions
from bridgekit.core.policy import End
from bridgekit.core.reservation import Answer, Place, judge_create
from bridgekit.core.to_matrix import JSON, Words
from bridgekit.core.versions import kept
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Direction, Entry
from bridgekit.model.ids import DedupeKey, EventID, PortalKey, RemoteMessageID, RoomID, TxnID, UserID
from bridgekit.model.media import MediaKind, MediaRef
from bridgekit.model.records import (
    AliasSaved,
    Fact,
    Ghost,
    MediaJob,
    MediaJobSaved,
    MessageRecord,
)
from bridgekit.model.remote import RemoteMessage
from bridgekit.ports import Clock, Homeserver, Journal
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lane, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.media_carry import FileCarrier
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_note import (
    FileNote,
    Slot,
    decode_note,
    decode_slots,
    encode_note,
    encode_slots,
    job_id,
    with_note,
)
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.media_turns import Turns
from bridgekit.runtime.media_waiting import Waiting
from bridgekit.runtime.media_words import coming_words, failed_words, too_large
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.saved import saved

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""How long a message waits for its turn to reserve. Then its file comes without a reservation, behind words that say
so: a room must not stand still because a ghost has sent many files."""

UNSUPPORTED_S = 600.0
"""How long a homeserver that knows no reservations is not asked for one again."""


def is_with_files(message: RemoteMessage, session: Session | None) -> bool:
    """Whether it has what is no text, and that can cross. A session that is away now may fetch files later."""
    if message.media and session is not None and capability(session, CanFetchMedia) is None:
        return False
    return bool(message.media) or message.location is not None


class MediaIn:
    """Posts messages with files, and edits their captions. Every method may be repeated after a crash, and raises
    `HomeserverError`, `StoreError`, `WaitFor`."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lease: LeaseKeeper,
        homeserver: Homeserver,
        posting: Posting,
        jobs: MediaJobs,
        carrier: FileCarrier,
        waiting: Waiting,
        clock: Clock,
        rules: MediaRules,
        *,
        is_away: Callable[[], Awaitable[bool]],
    ) -> None:
        """`is_away`: whether the homeserver answers nothing at all now."""
        self._books = books
        self._journal = journal
        self._lease = lease
        self._homeserver = homeserver
        self._posting = posting
        self._jobs = jobs
        self._carrier = carrier
        self._waiting = waiting
        self._clock = clock
        self._rules = rules
        self._is_away = is_away
        self._turns = Turns(clock)
        self._full_since: dict[DedupeKey, float] = {}
        self._failing_since: dict[DedupeKey, float] = {}
        self._unsupported_until = 0.0
        self._before_jobs: Counter[UserID] = Counter()  # places of files whose jobs are not on disk yet
        carrier.on_freed = self._turns.freed

    # --- messages ---------------------------------------------------------------------------------------------------
    async def post(
        self,
        message: RemoteMessage,
        room: RoomID,
        ghost: Ghost,
        entry: Entry,
        lane: Lane,
        words: Words,
        *,
        quiet: bool,
    ) -> tuple[Fact, ...]:
        """Put a message with files into its room: what to write down; `begun` must be told when that is on disk.
        `quiet`: without notifying anybody."""
        slots = await self._arranged(message, ghost, entry, lane)
        files = [_shown(ref, slots[number]) for number, ref in enumerate(message.media)]
        events = files
        if quiet:
            events = [quietly(file, coming_words(ref)) for file, ref in zip(files, message.media, strict=True)]
        parts = file_parts(message, events, words, quiet=quiet)
        contents = [(part.key, part.content) for part in parts]
        types = [part.type for part in parts]
        aliases = [AliasSaved(message.portal, alias, message.id) for alias in message.aliases]
        no_texts = sum(not part.is_text for part in parts)

        def facts(sent: Sequence[EventID]) -> tuple[Fact, ...]:
            at = message.timestamp
            return (*aliases, *saved(message.portal, message.id, room, ghost, sent, timestamp=at, files=no_texts))

        sent = await self._posting.post(
            room, ghost, contents, entry, lane, timestamp=message.timestamp, types=types, facts=facts
        )
        points.reach(points.MEDIA_SENT)
        jobs = [
            MediaJobSaved(
                self._job(
                    message, entry, part, number, slots[part.file], files[part.file], room, event_id, ghost.user_id
                )
            )
            for number, (part, event_id) in enumerate(zip(parts, sent, strict=True))
            if part.file is not None and (slots[part.file].is_open or events[part.file] != files[part.file])
        ]
        return (*facts(sent), *jobs)

    def begun(self, jobs: Sequence[MediaJob]) -> None:
        """These jobs are on disk now."""
        for job in jobs:
            self._carrier.reserved(job)
            note = decode_note(job.payload)
            if note.place is not None and self._before_jobs[note.sender] > 0:
                self._before_jobs[note.sender] -= 1
            self._jobs.offer(job)

    def _job(
        self,
        message: RemoteMessage,
        entry: Entry,
        part: Part,
        number: int,
        slot: Slot,
        file: FileEvent,
        room: RoomID,
        event_id: EventID,
        sender: UserID,
    ) -> MediaJob:
        assert part.file is not None
        assert part.event is not None
        assert entry.login is not None
        is_there = not slot.is_open  # then words stand in its place, and nothing is left but to edit it in
        note = FileNote(
            message=msgspec.structs.replace(message, cursor=None),
            file=part.file,
            part=number,
            room=room,
            event_id=event_id,
            sender=sender,
            event=msgspec.structs.replace(file, caption=part.event.caption) if is_there else part.event,
            place=slot.place,
            thumbnail=slot.thumbnail,
            revision=int(is_there),
            announce=is_there,
            settled=is_there,
        )
        return MediaJob(
            id=part.key,
            direction=Direction.REMOTE,
            portal=message.portal,
            message=message.id,
            login=entry.login,
            payload=encode_note(note),
            created_at=self._clock.now(),
        )

    # --- reserving --------------------------------------------------------------------------------------------------
    async def _arranged(self, message: RemoteMessage, ghost: Ghost, entry: Entry, lane: Lane) -> dict[int, Slot]:
        """How each file comes, on disk: after a crash the event's content must be the same."""
        slots = decode_slots(entry.progress) if entry.progress else {}
        known = len(slots)
        try:
            for number in range(len(message.media)):
                if number not in slots:
                    slots[number] = await self._arrange(message, number, ghost, entry, slots)
        except BaseException:
            if len(slots) > known:
                await self._note(slots, entry, lane)
            raise
        if len(slots) > known:
            await self._note(slots, entry, lane)
        self._full_since.pop(entry.dedupe, None)
        self._failing_since.pop(entry.dedupe, None)
        if message.media:
            points.reach(points.MEDIA_RESERVED)
        return slots

    async def _note(self, slots: dict[int, Slot], entry: Entry, lane: Lane) -> None:
        progress = encode_slots(slots)
        await self._journal.mark(entry.lane, entry.seq, at=entry.marked_at, progress=progress, epoch=self._lease.epoch)
        lane.noted(msgspec.structs.replace(entry, progress=progress))

    async def _arrange(
        self, message: RemoteMessage, number: int, ghost: Ghost, entry: Entry, slots: dict[int, Slot]
    ) -> Slot:
        ref, user = message.media[number], ghost.user_id
        limit = await self._limit(entry)
        if ref.size is not None and limit is not None and ref.size > limit:
            return Slot(failed=too_large(limit))
        if self._rules.mode == "wait":
            return self._waiting.slot(message, number, user, entry)
        has_some = any(slot.place is not None for slot in slots.values())
        place = await self._reserve(user, entry, has_some=has_some)
        if place is None or ref.thumbnail is None:
            return Slot(place=place)
        return Slot(place=place, thumbnail=await self._reserve(user, entry, has_some=True, thumbnail=True))

    async def _limit(self, entry: Entry) -> int | None:
        try:
            return await self._homeserver.media_limit()
        except (HomeserverUnreachable, MatrixRequestError) as error:
            if not await self._is_enough(entry):
                raise
            log.warning("the homeserver does not say how large files may be, and answers otherwise: %s", error)
            return None

    async def _is_enough(self, entry: Entry) -> bool:
        """Whether this message has waited long enough for what the homeserver does not do, though it answers: its room
        must not stand still for that."""
        now = self._clock.monotonic()
        since = self._failing_since.setdefault(entry.dedupe, now)
        return now - since >= PATIENCE_S and not await self._is_away()

    async def _reserve(self, user: UserID, entry: Entry, *, has_some: bool, thumbnail: bool = False) -> Place | None:
        """A place for a file of this message, of which some may have theirs already; None: it comes without one."""
        now = self._clock.monotonic()
        if now < self._unsupported_until:
            return None
        if not has_some and not self._turns.may_ask(user, entry.dedupe):
            raise WaitFor(functools.partial(self._turns.wait, user, entry.dedupe))
        try:
            made = await self._homeserver.reserve_media(user=user)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            match judge_create(error):
                case Answer.FULL:
                    since = self._full_since.setdefault(entry.dedupe, now)
                    # Only what is under way can make room; and this message itself may hold what it waits for.
                    under_way = self._carrier.reserved_by(user) + self._before_jobs[user]
                    if has_some or not under_way or now - since >= PATIENCE_S:
                        return None
                    raise WaitFor(functools.partial(self._turns.wait, user, entry.dedupe)) from None
                case Answer.UNSUPPORTED:
                    log.info("the homeserver knows no reservations of files (MSC2246)")
                    self._unsupported_until = now + UNSUPPORTED_S
                    return None
                case End() as verdict:
                    log.warning("the homeserver lets a ghost reserve nothing: %s", verdict.reason)
                    return None
            if await self._is_enough(entry):
                log.warning("the homeserver reserves nothing, and answers otherwise: %s", error)
                return None
            raise
        if not thumbnail:
            self._before_jobs[user] += 1
        return Place(made.uri, self._clock.now(), made.expires_at)

    # --- changes ----------------------------------------------------------------------------------------------------
    async def edit_caption(
        self,
        record: MessageRecord,
        ghost: Ghost,
        key: TxnID,
        caption: JSON | None,
        already: Mentions | None,
        *,
        timestamp: int,
    ) -> bool:
        """Give a file another caption, or none; `caption` is a text's content, `already`: whom any version before
        mentioned (None: not known), `timestamp`: when the network says that was (ms, 0: it does not). The file stays
        what it is now. False if it cannot have one, or had none and gets none."""
        async with self._jobs.locked(record.portal, record.remote_id):
            job, event = await self._now(record)
            if event is None or not may_have_caption(event) or caption is event.caption is None:
                return False
            at = max(event.captioned_at, timestamp)
            event = msgspec.structs.replace(event, caption=caption, captioned_at=at)
            now = read_mentions(caption or {}) or Mentions()
            newly = now.without(already) if already is not None else Mentions()
            content = replacement(event, record.event_id, key, newly=newly, more=kept(already, now))
            # With the present time: clients show the latest edit, and there may be one of the file itself.
            await self._posting.send(record.room, ghost, MESSAGE, content, key, 0)
            if job is not None:
                note = msgspec.structs.replace(decode_note(job.payload), event=event)
                await self._books.save(MediaJobSaved(with_note(job, note)))
        return True

    async def captioned_at(self, record: MessageRecord) -> int:
        """The network's time (ms) of the last edit of a file's caption; 0: there was none, or it is not known."""
        _, event = await self._now(record)
        return event.captioned_at if event is not None else 0

    async def _now(self, record: MessageRecord) -> tuple[MediaJob | None, FileEvent | None]:
        job = await self._books.directory.media_job(job_id(record.portal, record.sender, record.remote_id, record.part))
        return job, decode_note(job.payload).event if job is not None else await self._current(record)

    async def _current(self, record: MessageRecord) -> FileEvent | None:
        """What a file's event shows now."""
        event = await self._homeserver.get_event(record.room, record.event_id)
        return file_event(shown_content(event.raw)) if event is not None else None

    async def cancel(self, portal: PortalKey, remote_id: RemoteMessageID) -> None:
        """The message was deleted."""
        await self._jobs.cancel(portal, remote_id)


def _shown(ref: MediaRef, slot: Slot) -> FileEvent:
    ref = slot.ref or ref
    if slot.uri or slot.place is not None:
        thumbnail = slot.thumbnail.uri if slot.thumbnail is not None else None
        uri = slot.place.uri if slot.place is not None else slot.uri
        return FileEvent(base=file_content(ref, thumbnail), uri=uri)
    note = failed_words(ref, slot.failed) if slot.failed else coming_words(ref)
    if kind_of(ref) is MediaKind.STICKER:
        ref = msgspec.structs.replace(ref, kind=MediaKind.IMAGE)  # an edit keeps the event's type
    return FileEvent(base=file_content(ref), note=note)
