"""What the sender of a message learns about it, in the portal: notices, status events, receipts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable

import msgspec

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.send_status import STATUS_TYPE, SendState, about, failed_state, status_content
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import reply_txn_id
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Ending
from bridgekit.model.ids import EventID, RoomID, TxnID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Fact, ValueSaved
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import CACHE_SIZE, Books
from bridgekit.runtime.crossed import Crossed

log = logging.getLogger(__name__)

# Which of the bot's answers to an event this is: part of the transaction id, so that none is said twice.
WAITING, FAILED, PENDING_EVENT, FAILED_EVENT, SUCCESS_EVENT, WITHDRAWN, TAKEN_BACK = range(7)
ANSWERS = 8

REMEMBERED = 50
"""So many failures of each room are remembered, for the case that they are retried."""

PARTLY = "; what comes behind that part of it was not sent"
"""The end of the reason where a message of several parts ended with a doubtful one that is not the last."""

STAYS = frozenset({"uncertain", "no_login", "forbidden"})
"""Ends after which a reaction stays in the room: it may be on the network, or is of somebody whom only Matrix sees."""


class StatusRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is said. `receipts`: the bot's read receipts on what has crossed. `events`: status events about what
    waits or has failed. `notices`: the same in words, as answers."""

    receipts: bool = True
    events: bool = True
    notices: bool = True


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[EventID, EventID | None]).decode


class Status:
    """The bot's words about a message. Each is said once, however often it is tried; a message that is retried by a
    person may fail, and be reported, again."""

    def __init__(
        self,
        homeserver: Homeserver,
        bot: UserID,
        books: Books,
        clock: Clock,
        rules: StatusRules,
        *,
        network: str,
    ) -> None:
        """`network`: its id."""
        self._homeserver = homeserver
        self.bot = bot
        self._books = books
        self._rules = rules
        self._network = network
        self._beside = Crossed(homeserver, clock)
        self._failed: dict[RoomID, dict[EventID, EventID | None]] = {}

    async def stop(self) -> None:
        """Say nothing more."""
        await self._beside.stop()

    async def know(self, room: RoomID) -> None:
        """Read what has failed in this room, before anything of it is reported. Raises `StoreError`."""
        known = self._failed.pop(room, None)
        if known is None:
            stored = await self._books.directory.value(_key(room))
            known = _decode(stored) if stored else {}
        self._failed[room] = known
        if len(self._failed) > CACHE_SIZE:
            del self._failed[next(iter(self._failed))]

    # --- while it is under way --------------------------------------------------------------------------------------
    async def waiting(self, event: RawEvent, reason: str, *, received_at: int) -> None:
        """It has not crossed yet. Raises `HomeserverError` where saying it again later may help."""
        what = self._what(event)
        done = "carried out" if what == "deletion" or what.startswith("change of") else "sent"
        text = f"Your {what} has not been {done} yet: {reason}. It will be {done} when that is over."
        turn = self._turn(event, received_at)
        await self._event(event, SendState.PENDING, PENDING_EVENT + turn, words=text)
        await self._notice(event, text, WAITING + turn)

    # --- when it has ended ------------------------------------------------------------------------------------------
    async def failed(self, event: RawEvent, ending: Ending, *, received_at: int) -> tuple[Fact, ...]:
        """It will not cross. Returns what to write down with its end. Raises `HomeserverError` where saying it again
        later may help."""
        what = self._what(event)
        done = "carried out" if what == "deletion" or what.startswith("change of") else "sent"
        text = f"Your {what} was not {done}: {ending.reason}."
        if ending.code == "uncertain":
            text = f"Your {what} may not have been {done}: {ending.reason}. It is not {done} again by itself."
        turn = self._turn(event, received_at)
        await self._event(event, failed_state(ending.code), FAILED_EVENT + turn, code=ending.code, words=text)
        notice = await self._notice(event, text, FAILED + turn)
        if event.type == "m.reaction" and ending.code not in STAYS:
            # Who reacted sees that it is not there.
            await self.withdraw(event.room_id, event.event_id, reason=ending.reason)
        if ending.reason.endswith(PARTLY):
            notice = EventID("")  # stays, even if the doubtful part shows itself: the rest was not sent
        known = self._failed.get(event.room_id, {})
        return self._remember(event.room_id, {**known, event.event_id: notice})

    def crossed(self, event: RawEvent, *, told: bool) -> tuple[Fact, ...]:
        """It has crossed; `told`: its sender was told that it waits. Returns what to write down with its end. Waits for
        nothing, and never fails: what has crossed must not be sent again because of the homeserver."""
        if self._rules.receipts and event.type != "m.room.redaction":
            self._beside.receipt(event.room_id, event.event_id)
        known = self._failed.get(event.room_id, {})
        if not told and event.event_id not in known:
            return ()
        self._beside.say(functools.partial(self._event, event, SendState.SUCCESS, SUCCESS_EVENT))
        return self._corrected(event.room_id, event.event_id)

    def arrived_after_all(self, room: RoomID, event_id: EventID) -> tuple[Fact, ...]:
        """What was reported as uncertain has shown itself on the network. As `crossed`; call `know` before."""
        if self._failed.get(room, {}).get(event_id, "") == "":
            return ()
        content = status_content(event_id, SendState.SUCCESS, network=self._network)
        if self._rules.events:
            self._beside.say(functools.partial(self._send, room, STATUS_TYPE, content, event_id, SUCCESS_EVENT))
        return self._corrected(room, event_id)

    def _corrected(self, room: RoomID, event_id: EventID) -> tuple[Fact, ...]:
        known = self._failed.get(room, {})
        notice = known.get(event_id)
        if notice:
            key = reply_txn_id(notice, TAKEN_BACK)
            reason = "It was sent after all."
            self._beside.say(functools.partial(self._homeserver.redact, room, notice, txn_id=key, reason=reason))
        if event_id not in known:
            return ()
        return self._remember(room, {id: words for id, words in known.items() if id != event_id})

    async def withdraw(self, room: RoomID, event_id: EventID, *, reason: str | None = None) -> None:
        """Redact a reaction that is not there on the network. Raises `HomeserverError` where trying again may help."""
        redaction = self._homeserver.redact(
            room, event_id, txn_id=reply_txn_id(event_id, WITHDRAWN), reason=reason, user=self.bot
        )
        await self._unless_forbidden(redaction, room)

    # --- saying it --------------------------------------------------------------------------------------------------
    def _what(self, event: RawEvent) -> str:
        return about(event.type, event.event_id, event.raw, redacts=event.redacts).word

    def _turn(self, event: RawEvent, received_at: int) -> int:
        """What was retried by a person is told of anew: for the homeserver that is another transaction."""
        again = event.event_id in self._failed.get(event.room_id, {})
        return ANSWERS * (received_at if again else 0)

    async def _notice(self, event: RawEvent, text: str, which: int) -> EventID | None:
        if not self._rules.notices:
            return None
        to = about(event.type, event.event_id, event.raw, redacts=event.redacts).event_id
        key = reply_txn_id(event.event_id, which)
        content = notice_content(text, key, reply_to=to)
        return await self._send(event.room_id, "m.room.message", content, event.event_id, which)

    async def _event(self, event: RawEvent, state: SendState, which: int, *, code: str = "", words: str = "") -> None:
        if self._rules.events:
            content = status_content(event.event_id, state, network=self._network, code=code, words=words)
            await self._send(event.room_id, STATUS_TYPE, content, event.event_id, which)

    async def _send(
        self, room: RoomID, type: str, content: dict[str, object], event_id: EventID, which: int
    ) -> EventID | None:
        key: TxnID = reply_txn_id(event_id, which)
        return await self._unless_forbidden(
            self._homeserver.send_event(room, type, content, txn_id=key, user=self.bot), room
        )

    async def _unless_forbidden(self, call: Awaitable[EventID], room: RoomID) -> EventID | None:
        try:
            return await call
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # The bot cannot speak there (any more), and trying again will not change that.
            log.warning("a person could not be told: %s", error, extra={"room_id": room})
            return None

    def _remember(self, room: RoomID, failed: dict[EventID, EventID | None]) -> tuple[Fact, ...]:
        kept = dict(list(failed.items())[-REMEMBERED:])
        self._failed[room] = kept
        return (ValueSaved(_key(room), _encode(kept).decode()),)


def _key(room: RoomID) -> str:
    return f"failed {room}"
