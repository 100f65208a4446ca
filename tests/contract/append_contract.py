"""Entries become durable once, in order, and visibly so."""

from __future__ import annotations

import asyncio

from bridgekit.model.entry import Append, Appended, Direction, Entry, NewDeadLetter, NewEntry
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord, LoginSaved, ValueSaved
from bridgekit.model.remote import Cursor, Login
from bridgekit.ports import Store
from tests.contract.values import LANE, NOW, WEIRD, Database, Opened, new_entry, opened


def letter(dedupe: str, lane: LaneKey | None = LANE) -> NewDeadLetter:
    return NewDeadLetter(
        lane=lane,
        direction=Direction.MATRIX,
        kind="?",
        payload=b"\xff not even JSON",
        received_at=NOW,
        code="M_BAD_JSON",
        reason="an event without a type",
        dedupe=DedupeKey(dedupe),
    )


class AppendContract:
    async def test_entries_get_the_next_numbers_of_their_lanes(self, held: Opened) -> None:
        a, b = LaneKey("m:!a"), LaneKey("m:!b")
        result = await held.add([new_entry("1", lane=a), new_entry("2", lane=b), new_entry("3", lane=a)])
        assert [(entry.dedupe, entry.lane, entry.seq) for entry in result.entries] == [
            ("1", a, 1),
            ("2", b, 1),
            ("3", a, 2),
        ]
        assert result.duplicates == 0
        (fourth,) = await held.append("4", lane=a)
        assert fourth.seq == 3

    async def test_what_is_read_is_what_was_written(self, held: Opened) -> None:
        new = NewEntry(
            lane=LANE,
            dedupe=DedupeKey("d"),
            direction=Direction.REMOTE,
            kind="message",
            payload=bytes(range(256)),
            received_at=NOW,
            login=LoginID("login"),
            event_id=None,
        )
        (appended,) = (await held.add([new])).entries
        (read,) = await held.store.peek(LANE)
        assert read == appended
        assert {name: getattr(read, name) for name in new.__struct_fields__} == {
            name: getattr(new, name) for name in new.__struct_fields__
        }
        assert (read.attempts, read.failed_since, read.not_before, read.marked_at, read.progress) == (
            0,
            None,
            0,
            None,
            None,
        )

    async def test_weird_texts_come_back_exactly(self, held: Opened) -> None:
        entries = [
            NewEntry(
                lane=LaneKey(f"m:{text}"),
                dedupe=DedupeKey(text),
                direction=Direction.MATRIX,
                kind=text,
                payload=b"",
                received_at=NOW,
                login=LoginID(text),
                event_id=EventID(text),
            )
            for text in WEIRD
        ]
        appended = await held.add(entries)
        assert appended.duplicates == 0
        for text, entry in zip(WEIRD, appended.entries, strict=True):
            assert await held.store.peek(LaneKey(f"m:{text}")) == [entry]
            assert (entry.dedupe, entry.kind, entry.login, entry.event_id) == (text, text, text, text)
        assert await held.store.lanes() == sorted(LaneKey(f"m:{text}") for text in WEIRD)
        assert await held.add(entries) == Appended((), duplicates=len(WEIRD))

    async def test_nothing_to_append(self, held: Opened) -> None:
        assert await held.add([]) == Appended(())

    # --- once -------------------------------------------------------------------------------------------------------
    async def test_a_repeat_within_one_call_is_left_out(self, held: Opened) -> None:
        result = await held.add([new_entry("1"), new_entry("2"), new_entry("1"), new_entry("1", lane=LaneKey("m:!b"))])
        assert ([entry.dedupe for entry in result.entries], result.duplicates) == (["1", "2"], 2)
        assert await held.store.lanes() == [LANE]

    async def test_a_repeat_is_left_out_whether_pending_done_or_dead(self, held: Opened) -> None:
        pending, done, dead = await held.append("pending", "done", "dead")
        await held.finish(done)
        await held.bury(dead)
        result = await held.add([new_entry(name) for name in ("pending", "done", "new", "dead")])
        assert ([(entry.dedupe, entry.seq) for entry in result.entries], result.duplicates) == ([("new", 4)], 3)
        assert await held.pending() == ["pending", "new"]
        assert pending.seq == 1

    async def test_a_repeat_is_left_out_by_another_process(self, held: Opened, second: Store) -> None:
        await held.append("1")
        result = await second.append(Append(entries=(new_entry("1"), new_entry("2"))), epoch=held.epoch)
        assert ([(entry.dedupe, entry.seq) for entry in result.entries], result.duplicates) == ([("2", 2)], 1)

    async def test_a_repeat_is_left_out_after_a_restart(self, held: Opened, database: Database) -> None:
        first, second = await held.append("1", "2")
        await held.finish(first)
        secret = await held.store.secret()
        await held.store.close()
        async with opened(database.store()) as store:
            lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
            assert lease.epoch > held.epoch
            again = Opened(store, lease.epoch)
            assert await again.append("1", "2") == []
            assert await store.peek(LANE) == [second]
            assert [entry.seq for entry in await again.append("3")] == [3]
            assert await store.secret() == secret

    async def test_a_number_is_never_given_twice(self, held: Opened) -> None:
        for number in range(1, 6):
            (entry,) = await held.append(str(number))
            assert entry.seq == number
            await held.finish(entry)

    async def test_the_same_event_at_once_from_many_sides_is_one_entry(self, held: Opened, second: Store) -> None:
        entries = tuple(new_entry(str(number)) for number in range(20))
        jobs = [
            each.append(Append(entries=entries), epoch=held.epoch) for each in (held.store, second) for _ in range(10)
        ]
        results = await asyncio.gather(*jobs)
        assert sum(len(result.entries) for result in results) == 20
        assert sum(result.duplicates for result in results) == 20 * 19
        assert await held.pending() == [str(number) for number in range(20)]

    async def test_the_same_key_at_once_in_two_lanes_is_one_entry(self, held: Opened, second: Store) -> None:
        lanes = [LaneKey(f"m:!{number}") for number in range(10)]
        jobs = [
            each.append(Append(entries=(new_entry("same", lane=lane),)), epoch=held.epoch)
            for lane in lanes
            for each in (held.store, second)
        ]
        results = await asyncio.gather(*jobs)
        assert sum(len(result.entries) for result in results) == 1
        assert len(await held.store.lanes()) == 1

    # --- in order ---------------------------------------------------------------------------------------------------
    async def test_a_lower_number_never_appears_after_a_higher_one(self, held: Opened, second: Store) -> None:
        """Two processes and many tasks write into the same lanes, while somebody looks at them all the time."""
        lanes = [LaneKey(f"m:!{number}") for number in range(4)]
        rounds, writers = 12, 6

        async def write(store: Store, writer: int) -> list[Entry]:
            kept: list[Entry] = []
            for number in range(rounds):
                # Each call in another order of lanes, which must not make two processes wait for each other for ever.
                order = [lanes[(writer + number + step) % len(lanes)] for step in range(len(lanes))]
                new = tuple(
                    new_entry(f"{writer}.{number}.{lane}.{part}", lane=lane) for lane in order for part in range(2)
                )
                result = await store.append(Append(entries=new), epoch=held.epoch)
                assert [entry.dedupe for entry in result.entries] == [entry.dedupe for entry in new]
                kept.extend(result.entries)
            return kept

        async def watch(store: Store, done: asyncio.Event) -> None:
            before: dict[LaneKey, list[int]] = {lane: [] for lane in lanes}
            while not done.is_set():
                for lane in lanes:
                    numbers = [entry.seq for entry in await store.peek(lane, limit=1000)]
                    assert numbers == list(range(1, len(numbers) + 1))
                    assert len(numbers) >= len(before[lane])
                    before[lane] = numbers

        done = asyncio.Event()
        watchers = [asyncio.create_task(watch(store, done)) for store in (held.store, second)]
        jobs = [write(store, writer) for writer, store in enumerate([held.store, second] * (writers // 2))]
        written = await asyncio.gather(*jobs)
        done.set()
        await asyncio.gather(*watchers)

        for lane in lanes:
            entries = await held.store.peek(lane, limit=1000)
            assert [entry.seq for entry in entries] == list(range(1, writers * rounds * 2 + 1))
            for kept in written:  # each caller's own entries, in the caller's order
                own = [entry for entry in kept if entry.lane == lane]
                assert [entry for entry in entries if entry in own] == own

    async def test_appends_that_wait_together_keep_the_order_of_their_calls(self, held: Opened) -> None:
        names = [str(number) for number in range(200)]
        await asyncio.gather(*(held.append(name) for name in names))
        assert await held.pending() == names

    async def test_peek_pages(self, held: Opened) -> None:
        await held.append(*(str(number) for number in range(1, 8)))
        assert [entry.seq for entry in await held.store.peek(LANE, limit=3)] == [1, 2, 3]
        assert [entry.seq for entry in await held.store.peek(LANE, after=3, limit=3)] == [4, 5, 6]
        assert [entry.seq for entry in await held.store.peek(LANE, after=6)] == [7]
        assert await held.store.peek(LANE, after=7) == []
        assert await held.store.peek(LaneKey("m:!unknown")) == []

    async def test_lanes_pages_and_leaves_out_empty_ones(self, held: Opened) -> None:
        keys = [
            LaneKey(f"m:{name}")
            for name in ("x" * 300 + "b", "x" * 300 + "a", "x", "\ud800", "\U0001f600", "é", "\x00")
        ]
        for key in keys:
            await held.append(f"of {key}", lane=key)
        await held.finish(*await held.append("done", lane=LaneKey("m:!empty")))
        found: list[LaneKey] = []
        while page := await held.store.lanes(after=found[-1] if found else None, limit=2):
            found.extend(page)
        assert found == sorted(keys)

    # --- what goes with them ----------------------------------------------------------------------------------------
    async def test_cursors_state_and_facts_are_written_with_the_entries(self, held: Opened) -> None:
        login = Login(id=LoginID("login"), user=RemoteUserID("me"))
        await held.know(LoginSaved(LoginRecord(login=login, user_id=UserID("@me:example.org"))))
        cursors = (Cursor("a", "1"), Cursor("b", "1"), Cursor("a", "2"))
        append = Append(
            entries=(new_entry("1"),),
            login=login.id,
            cursors=cursors,
            state=b"\x00ratchet",
            facts=(ValueSaved("key", "value"),),
        )
        await held.store.append(append, epoch=held.epoch)
        assert await held.store.cursors(login.id) == {"a": "2", "b": "1"}
        stored = await held.store.login(login.id)
        assert stored is not None and stored.login.state == b"\x00ratchet"
        assert await held.store.value("key") == "value"
        # Without a state the old one stays; a repeat of the entry still moves the cursor.
        again = Append(entries=(new_entry("1"),), login=login.id, cursors=(Cursor("b", "2"),))
        assert (await held.store.append(again, epoch=held.epoch)).duplicates == 1
        assert await held.store.cursors(login.id) == {"a": "2", "b": "2"}
        stored = await held.store.login(login.id)
        assert stored is not None and stored.login.state == b"\x00ratchet"

    async def test_what_could_not_be_read_becomes_a_dead_letter_once(self, held: Opened) -> None:
        append = Append(entries=(new_entry("good"),), dead=(letter("bad"), letter("bad"), letter("lost", lane=None)))
        for _ in range(2):
            await held.store.append(append, epoch=held.epoch)
        first, second = await held.store.dead_letters()
        assert (first.lane, first.payload, first.code, first.reason) == (
            LANE,
            b"\xff not even JSON",
            "M_BAD_JSON",
            "an event without a type",
        )
        assert (first.received_at, first.ended_at, first.dedupe, first.login) == (NOW, NOW, "bad", None)
        assert (second.lane, second.dedupe) == (None, "lost")
        assert await held.pending() == ["good"]
        assert await held.append("bad") == []
