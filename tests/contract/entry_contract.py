"""From the head of a lane to the end: attempts, marks, completions, dead letters."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bridgekit.model.entry import (
    RETRIED_BESIDE,
    Append,
    Completion,
    DeadLetter,
    Direction,
    Ending,
    NewDeadLetter,
    Stats,
    retried_kind,
)
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID
from bridgekit.model.records import ValueSaved
from tests.contract.values import LANE, NOW, WEIRD, Opened, new_entry


class EntryContract:
    async def test_completing_ends_the_entry_and_writes_its_facts(self, held: Opened) -> None:
        first, second, third = await held.append("1", "2", "3")
        ends = [
            Completion(lane=LANE, seq=second.seq, facts=(ValueSaved("a", "2"), ValueSaved("b", "2"))),
            Completion(lane=LANE, seq=first.seq, facts=(ValueSaved("a", "1"),)),
        ]
        await held.store.complete(ends, epoch=held.epoch)
        assert await held.store.peek(LANE) == [third]
        # In the order given: the later one has the last word.
        assert (await held.store.value("a"), await held.store.value("b")) == ("1", "2")

    async def test_completing_what_is_not_pending_only_writes_the_facts(self, held: Opened) -> None:
        (entry,) = await held.append("1")
        await held.finish(entry)
        ending = Ending("code", "reason", NOW)
        for number, (lane, seq) in enumerate([(LANE, 1), (LANE, 99), (LaneKey("m:!unknown"), 1)]):
            fact = ValueSaved(f"key {number}", "value")
            end = Completion(lane=lane, seq=seq, facts=(fact,), dead=ending)
            await held.store.complete([end], epoch=held.epoch)
            assert await held.store.value(fact.key) == "value"
        assert await held.store.dead_letters() == []
        await held.store.complete([], epoch=held.epoch)

    async def test_what_waits_is_found_by_its_key(self, held: Opened) -> None:
        """Across whatever is pending before it, and only as long as it waits, and only in its own lane."""
        keys = [*map(str, range(50)), *WEIRD]
        entries = await held.append(*keys)
        assert [await held.store.waiting(LANE, DedupeKey(key)) for key in keys] == entries
        assert await held.store.waiting(LaneKey("m:!other"), DedupeKey("1")) is None
        assert await held.store.waiting(LANE, DedupeKey("never")) is None
        await held.store.defer(LANE, 2, attempts=3, failed_since=NOW, not_before=NOW, epoch=held.epoch)
        deferred = msgspec.structs.replace(entries[1], attempts=3, failed_since=NOW, not_before=NOW)
        assert await held.store.waiting(LANE, DedupeKey("1")) == deferred
        await held.finish(entries[0])
        id = await held.bury(entries[1])
        assert await held.store.waiting(LANE, DedupeKey("0")) is None
        assert await held.store.waiting(LANE, DedupeKey("1")) is None
        again = await held.store.retry_dead(id, now=NOW)
        assert again is not None and await held.store.waiting(LANE, DedupeKey("1")) == again

    async def test_completions_at_once(self, held: Opened) -> None:
        entries = await held.append(*(str(number) for number in range(100)))
        await asyncio.gather(*(held.finish(entry) for entry in entries[:-1]))
        assert await held.store.peek(LANE) == [entries[-1]]

    async def test_defer_remembers_the_failures(self, held: Opened) -> None:
        entry, other = await held.append("1", "2")
        await held.store.defer(LANE, 1, attempts=3, failed_since=NOW, not_before=NOW + 5000, epoch=held.epoch)
        expected = msgspec.structs.replace(entry, attempts=3, failed_since=NOW, not_before=NOW + 5000)
        assert await held.store.peek(LANE) == [expected, other]
        # One that has ended meanwhile, and one that never was.
        await held.store.defer(LANE, 9, attempts=1, failed_since=NOW, not_before=NOW, epoch=held.epoch)

    async def test_mark_remembers_that_a_call_may_have_begun(self, held: Opened) -> None:
        entry, other = await held.append("1", "2")
        fact = ValueSaved("key", "value")
        await held.store.mark(LANE, 1, at=NOW, progress=b"\x00part 0", epoch=held.epoch, facts=[fact])
        marked = msgspec.structs.replace(entry, marked_at=NOW, progress=b"\x00part 0")
        assert await held.store.peek(LANE) == [marked, other]
        assert await held.store.value("key") == "value"
        # Taken back; progress that is not said stays, for parts that were sent stay sent.
        await held.store.mark(LANE, 1, at=None, epoch=held.epoch)
        assert await held.store.peek(LANE) == [msgspec.structs.replace(marked, marked_at=None), other]

    # --- redacted before its turn -----------------------------------------------------------------------------------
    async def test_cancel_forgets_a_pending_entry(self, held: Opened) -> None:
        await held.append("1", "2")
        assert await held.store.cancel(LANE, EventID("$1"), epoch=held.epoch)
        assert await held.pending() == ["2"]
        assert not await held.store.cancel(LANE, EventID("$1"), epoch=held.epoch)
        assert await held.append("1") == []  # it is still known

    async def test_cancel_leaves_what_is_done_or_unknown(self, held: Opened) -> None:
        (entry,) = await held.append("1")
        await held.finish(entry)
        assert not await held.store.cancel(LANE, EventID("$1"), epoch=held.epoch)
        assert not await held.store.cancel(LANE, EventID("$unknown"), epoch=held.epoch)

    @pytest.mark.parametrize("begun", ["marked", "progress", "attempted"])
    async def test_cancel_leaves_what_may_have_been_sent(self, begun: str, held: Opened) -> None:
        await held.append("1")
        if begun == "attempted":
            await held.store.defer(LANE, 1, attempts=1, failed_since=NOW, not_before=NOW, epoch=held.epoch)
        else:
            at, progress = (NOW, None) if begun == "marked" else (None, b"part 0")
            await held.store.mark(LANE, 1, at=at, progress=progress, epoch=held.epoch)
        assert not await held.store.cancel(LANE, EventID("$1"), epoch=held.epoch)
        assert await held.pending() == ["1"]

    # --- dead letters -----------------------------------------------------------------------------------------------
    async def test_a_dead_letter_keeps_everything(self, held: Opened) -> None:
        new = new_entry("1", direction=Direction.REMOTE, payload=b"\x00raw", login=LoginID("login"))
        (entry,) = (await held.add([new])).entries
        id = await held.bury(entry, at=NOW + 7)
        expected = DeadLetter(
            id=id,
            lane=LANE,
            direction=Direction.REMOTE,
            kind=new.kind,
            payload=b"\x00raw",
            dedupe=new.dedupe,
            received_at=NOW,
            ended_at=NOW + 7,
            code="code",
            reason="the reason",
            login=LoginID("login"),
            event_id=new.event_id,
        )
        assert await held.store.dead_letter(id) == expected
        assert await held.store.dead_letters() == [expected]
        assert await held.pending() == []
        assert await held.store.dead_letter(id + 1) is None

    async def test_dead_letters_with_weird_texts(self, held: Opened) -> None:
        letters = tuple(
            NewDeadLetter(
                lane=LaneKey(text),
                direction=Direction.MATRIX,
                kind=text,
                payload=b"",
                received_at=NOW,
                code=text,
                reason=text,
                dedupe=DedupeKey(text),
                event_id=EventID(text),
            )
            for text in WEIRD
        )
        await held.store.append(Append(dead=letters), epoch=held.epoch)
        read = await held.store.dead_letters()
        assert [(one.lane, one.kind, one.code, one.reason, one.dedupe, one.event_id) for one in read] == [
            (text,) * 6 for text in WEIRD
        ]

    async def test_dead_letters_pages_and_chooses_a_direction(self, held: Opened) -> None:
        sides = [Direction.MATRIX, Direction.REMOTE] * 3
        new = [new_entry(str(number), direction=side) for number, side in enumerate(sides)]
        for entry in (await held.add(new)).entries:
            await held.bury(entry)
        everything = await held.store.dead_letters()
        assert [letter.dedupe for letter in everything] == ["0", "1", "2", "3", "4", "5"]
        assert await held.store.dead_letters(after=everything[1].id, limit=2) == everything[2:4]
        remote = await held.store.dead_letters(direction=Direction.REMOTE)
        assert [letter.dedupe for letter in remote] == ["1", "3", "5"]
        assert await held.store.dead_letters(after=remote[0].id, limit=1, direction=Direction.REMOTE) == remote[1:2]

    @pytest.mark.parametrize("beside", [False, True], ids=["by the holder", "beside the holder"])
    async def test_retry_appends_at_the_end_of_the_lane(self, beside: bool, held: Opened) -> None:
        first, _ = await held.append("1", "2")
        id = await held.bury(first)
        later = NOW + 9000
        entry = await held.store.retry_dead(id, now=later, epoch=None if beside else held.epoch)
        assert entry == msgspec.structs.replace(first, seq=3, received_at=later, kind=retried_kind(first.kind))
        assert (entry.is_retried, entry.first_kind, first.is_retried) == (True, first.kind, False)
        assert await held.pending() == ["2", "1"]
        assert await held.store.dead_letters() == []
        assert await held.append("1") == []
        assert await held.store.retry_dead(id, now=later, epoch=held.epoch) is None
        # The holder does not tell itself.
        assert await held.store.value(RETRIED_BESIDE) == (str(id) if beside else None)
        # Having failed again, it is a dead letter again; its number is not reused.
        again = await held.bury(entry)
        assert again > id
        assert await held.store.retry_dead(again, now=later, epoch=held.epoch) == msgspec.structs.replace(entry, seq=4)

    async def test_retry_of_a_letter_without_a_lane_leaves_it(self, held: Opened) -> None:
        letter = NewDeadLetter(
            lane=None,
            direction=Direction.MATRIX,
            kind="?",
            payload=b"",
            received_at=NOW,
            code="",
            reason="",
            dedupe=DedupeKey("1"),
        )
        await held.store.append(Append(dead=(letter,)), epoch=held.epoch)
        (kept,) = await held.store.dead_letters()
        assert await held.store.retry_dead(kept.id, now=NOW, epoch=held.epoch) is None
        assert await held.store.dead_letters() == [kept]

    async def test_of_two_who_retry_one_gets_it(self, held: Opened) -> None:
        (entry,) = await held.append("1")
        id = await held.bury(entry)
        results = await asyncio.gather(*(held.store.retry_dead(id, now=NOW) for _ in range(5)))
        assert sum(result is not None for result in results) == 1
        assert await held.pending() == ["1"]

    @pytest.mark.parametrize("beside", [False, True], ids=["by the holder", "beside the holder"])
    async def test_drop_lets_go_of_it(self, beside: bool, held: Opened) -> None:
        (entry,) = await held.append("1")
        id = await held.bury(entry)
        epoch = None if beside else held.epoch
        assert await held.store.drop_dead(id, epoch=epoch)
        assert not await held.store.drop_dead(id, epoch=epoch)
        assert await held.store.dead_letters() == []
        assert await held.append("1") == []

    async def test_stats(self, held: Opened) -> None:
        assert await held.store.stats() == Stats(0, 0, None, None, 0)
        await held.add([new_entry("1", at=NOW + 5), new_entry("2", at=NOW + 3), new_entry("3", at=NOW + 9)])
        remote = await held.add([new_entry("4", direction=Direction.REMOTE, lane=LaneKey("r:"), at=NOW)])
        await held.bury(remote.entries[0])
        assert await held.store.stats() == Stats(
            pending_matrix=3, pending_remote=0, oldest_matrix_ms=NOW + 3, oldest_remote_ms=None, dead=1
        )

    async def test_stats_know_the_next_oldest(self, held: Opened) -> None:
        """Whatever becomes of an entry: the age is always that of the oldest that still waits."""
        first, second, third, fourth = await held.append("1", "2", "3", "4")
        (retried,) = await held.append("5", lane=LaneKey("m:!other"), at=NOW - 7)
        assert (await held.store.stats()).oldest_matrix_ms == NOW - 7
        id = await held.bury(retried)
        assert (await held.store.stats()).oldest_matrix_ms == NOW
        await held.store.retry_dead(id, now=NOW + 50, epoch=held.epoch)
        await held.finish(first, second, third)
        await held.store.defer(LANE, 4, attempts=1, failed_since=NOW, not_before=NOW + 60, epoch=held.epoch)
        stats = await held.store.stats()
        assert (stats.oldest_matrix_ms, stats.pending_matrix, stats.dead) == (NOW, 2, 0)
        await held.finish(fourth)
        stats = await held.store.stats()
        assert (stats.oldest_matrix_ms, stats.pending_matrix) == (NOW + 50, 1)
