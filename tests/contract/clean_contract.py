"""What is deleted when its time is over, and what is kept all the same."""

from __future__ import annotations

import pytest

from bridgekit.model.entry import Anchor, Append, Direction, NewDeadLetter, Repair, Retention
from bridgekit.model.ids import ChatID, DedupeKey, EventID, LaneKey, Nonce, PortalKey, RemoteMessageID, RoomID, UserID
from bridgekit.model.records import (
    AliasSaved,
    MessageRecord,
    MessageSaved,
    ReactionRecord,
    ReactionSaved,
    UncertainSaved,
)
from tests.contract.values import HOUR, LANE, NOW, Opened, new_entry

ROOM = RoomID("!room:example.org")
DAY = 24 * HOUR
KEEP = Retention(seen_ms=7 * DAY, dead_ms=30 * DAY)


async def clean(held: Opened, retention: Retention = KEEP, *, now: int) -> int:
    return await held.store.clean(retention, now=now, epoch=held.epoch)


async def anchor(held: Opened, *, at: int, timeline: tuple[str, ...] = ()) -> None:
    entries = tuple(new_entry(name) for name in timeline)
    await held.store.repair(
        Repair(lane=LANE, timeline=entries, anchor=Anchor(ROOM, EventID("$a"), at)), epoch=held.epoch
    )


class CleanContract:
    async def test_old_keys_are_forgotten_once_done(self, held: Opened) -> None:
        done = await held.append("done", at=NOW)
        await held.append("pending", at=NOW)
        await held.finish(*done, *await held.append("newer", at=NOW + 1))
        assert await clean(held, now=NOW + KEEP.seen_ms) == 0
        assert await clean(held, now=NOW + KEEP.seen_ms + 1) == 1
        appended = await held.append("done", "pending", "newer")
        assert [entry.dedupe for entry in appended] == ["done"]

    async def test_many_rows(self, held: Opened) -> None:
        """More than one SQL transaction takes."""
        count = 1300
        new = [new_entry(f"done {number}", at=NOW + number) for number in range(count)]
        await held.finish(*(await held.add(new)).entries)
        kept = await held.append(*(f"pending {number}" for number in range(20)), at=NOW)
        assert await clean(held, now=NOW + count + KEEP.seen_ms) == count
        assert await held.append(*(f"pending {number}" for number in range(20))) == []
        assert [entry.seq for entry in await held.append("done 0")] == [kept[-1].seq + 1]

    async def test_keys_that_an_anchor_needs_are_kept(self, held: Opened) -> None:
        """The next check reads the timeline from the anchor on: what it shows must still be known then."""
        other = LaneKey("m:!other")
        before = await held.append("before", at=NOW)
        await held.finish(*before)
        await anchor(held, at=NOW + 10)
        await held.finish(*await held.append("at once", at=NOW + 10), *await held.append("after", at=NOW + 20))
        await held.finish(*await held.append("elsewhere", lane=other, at=NOW + 20))
        much_later = NOW + 365 * DAY
        assert await clean(held, now=much_later) == 2
        await held.store.repair(
            Repair(
                lane=LANE,
                timeline=(new_entry("at once"), new_entry("after")),
                anchor=Anchor(ROOM, EventID("$after"), much_later),
            ),
            epoch=held.epoch,
        )
        assert await held.pending() == []
        assert [entry.dedupe for entry in await held.append("before", "elsewhere")] == ["before", "elsewhere"]
        # Now the anchor stands behind them.
        assert await clean(held, now=much_later) == 2

    async def test_what_a_check_put_behind_its_anchor_is_kept(self, held: Opened) -> None:
        await held.append("new", "2", at=NOW)
        await anchor(held, at=NOW + 10, timeline=("1", "2"))
        assert await held.pending() == ["1", "2", "new"]
        await held.finish(*await held.store.peek(LANE))
        await clean(held, now=NOW + 365 * DAY)
        assert [entry.dedupe for entry in await held.append("new", "2", "1")] == ["2", "1"]

    async def test_dead_letters(self, held: Opened) -> None:
        old, new = await held.append("old", "new", at=NOW)
        await held.bury(old, at=NOW)
        kept = await held.bury(new, at=NOW + 1)
        without_lane = NewDeadLetter(
            lane=None,
            direction=Direction.MATRIX,
            kind="?",
            payload=b"",
            received_at=NOW,
            code="",
            reason="",
            dedupe=DedupeKey("lost"),
        )
        await held.store.append(Append(dead=(without_lane,)), epoch=held.epoch)
        keep_keys = Retention(seen_ms=90 * DAY, dead_ms=KEEP.dead_ms)
        assert await clean(held, keep_keys, now=NOW + KEEP.dead_ms) == 0
        assert await clean(held, keep_keys, now=NOW + KEEP.dead_ms + 1) == 2
        assert [letter.id for letter in await held.store.dead_letters()] == [kept]

    async def test_retrying_a_letter_whose_key_was_forgotten(self, held: Opened) -> None:
        first, second = await held.append("1", "2", at=NOW)
        one, two = await held.bury(first, at=NOW + 8 * DAY), await held.bury(second, at=NOW + 8 * DAY)
        assert await clean(held, now=NOW + 8 * DAY) == 2
        later = NOW + 9 * DAY
        entry = await held.store.retry_dead(one, now=later, epoch=held.epoch)
        assert entry is not None
        assert await held.append("1", at=later) == []
        # The other one came once more by itself: it must not wait twice.
        (again,) = await held.append("2", at=later)
        assert await held.store.retry_dead(two, now=later, epoch=held.epoch) == again
        assert await held.store.peek(LANE) == [entry, again]
        assert await held.store.dead_letters() == []

    @pytest.mark.parametrize("messages_ms", [None, 10 * DAY])
    async def test_messages_with_their_other_names_and_reactions(self, messages_ms: int | None, held: Opened) -> None:
        portal = PortalKey(ChatID("chat"))

        def message(id: str, part: int, at: int) -> MessageSaved:
            return MessageSaved(
                MessageRecord(
                    portal=portal,
                    remote_id=RemoteMessageID(id),
                    part=part,
                    room=ROOM,
                    event_id=EventID(f"${id}.{part}"),
                    sender=UserID("@a:b"),
                    timestamp=at,
                )
            )

        await held.know(message("old", 0, NOW), message("old", 1, NOW + 2), message("new", 0, NOW + 2))
        for id in ("old", "new"):
            await held.know(AliasSaved(portal, RemoteMessageID(f"also {id}"), RemoteMessageID(id)))
            await held.know(
                ReactionSaved(
                    ReactionRecord(
                        portal=portal,
                        target=RemoteMessageID(id),
                        sender=UserID("@a:b"),
                        emoji="+",
                        room=ROOM,
                        event_id=EventID(f"$on {id}"),
                        timestamp=NOW,
                    )
                )
            )
        retention = Retention(seen_ms=DAY, dead_ms=DAY, messages_ms=messages_ms)

        async def parts(id: str) -> list[int]:
            return [one.part for one in await held.store.message_by_remote(portal, RemoteMessageID(id))]

        async def reacted() -> list[str]:
            events = (EventID(f"$on {id}") for id in ("old", "new"))
            return [one.target for event in events if (one := await held.store.reaction_by_event(ROOM, event))]

        if messages_ms is None:
            assert await clean(held, retention, now=NOW + 9999 * DAY) == 0
            assert await parts("old") == [0, 1]
            assert await reacted() == ["old", "new"]
            return
        assert await clean(held, retention, now=NOW + messages_ms + 1) == 1
        assert await parts("old") == await parts("also old") == [1]
        assert await held.store.message_by_event(ROOM, EventID("$old.0")) is None
        assert await reacted() == ["old", "new"]  # as long as any part of their message
        assert await clean(held, retention, now=NOW + messages_ms + 3) == 2
        assert await reacted() == []
        assert await parts("new") == await parts("also new") == []
        # A name that is used again does not lead to what was forgotten.
        await held.know(message("old", 0, NOW + DAY))
        assert await parts("also old") == []

    async def test_uncertain_sends_as_long_as_dead_letters(self, held: Opened) -> None:
        for number in range(2):
            await held.know(
                UncertainSaved(
                    nonce=Nonce(f"n{number}"),
                    portal=PortalKey(ChatID("chat")),
                    room=ROOM,
                    event_id=EventID("$e"),
                    sender=UserID("@a:b"),
                    part=0,
                    at=NOW + number,
                )
            )
        assert await clean(held, now=NOW + KEEP.dead_ms + 1) == 1
        assert await held.store.uncertain(Nonce("n0")) is None
        assert await held.store.uncertain(Nonce("n1")) is not None
