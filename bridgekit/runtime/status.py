"""What the sender of a message learns about it, in the portal."""

from __future__ import annotations

import logging

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import reply_txn_id
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Ending
from bridgekit.model.ids import UserID
from bridgekit.model.raw import RawEvent
from bridgekit.ports import Homeserver

log = logging.getLogger(__name__)

# Which of the bot's answers to an event this is: part of the transaction id, so that none is said twice.
WAITING, FAILED = 0, 1


class Status:
    """The bot's words about a message, as replies to it. Each is said once, however often it is tried."""

    def __init__(self, homeserver: Homeserver, bot: UserID) -> None:
        self._homeserver = homeserver
        self._bot = bot

    async def waiting(self, event: RawEvent, reason: str) -> None:
        """It has not crossed yet. Raises `HomeserverError` where saying it again later may help."""
        await self._say(
            event, f"Your message has not been sent yet: {reason}. It will be sent when that is over.", WAITING
        )

    async def failed(self, event: RawEvent, ending: Ending) -> None:
        """It will not cross. Raises `HomeserverError` where saying it again later may help."""
        if ending.code == "uncertain":
            text = f"Your message may not have been sent: {ending.reason}. It is not sent again by itself."
        else:
            text = f"Your message was not sent: {ending.reason}."
        await self._say(event, text, FAILED)

    async def _say(self, event: RawEvent, text: str, which: int) -> None:
        key = reply_txn_id(event.event_id, which)
        content = notice_content(text, key, reply_to=event.event_id)
        try:
            await self._homeserver.send_event(event.room_id, "m.room.message", content, txn_id=key, user=self._bot)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # The bot cannot speak there (any more), and trying again will not change that.
            log.warning("a person could not be told (%s): %s", text, error, extra={"room_id": event.room_id})
