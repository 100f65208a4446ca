"""The rooms in which people talk with the bot, and what the bot says there."""

from __future__ import annotations

import logging

from bridgekit.core.namespace import portal_alias_localpart
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.tables import Answer
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import encode_fields, reply_txn_id
from bridgekit.errors import HomeserverError, MatrixRequestError
from bridgekit.model.ids import ChatID, EventID, PortalKey, RoomAlias, RoomID, UserID
from bridgekit.model.records import ManagementRoomSaved
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books

log = logging.getLogger(__name__)


class Talk:
    """Finds, opens and speaks in management rooms."""

    def __init__(
        self, books: Books, homeserver: Homeserver, *, bot: UserID, network: str, alias_prefix: str, server_name: str
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self.bot = bot
        self._network = network
        self._alias_prefix = alias_prefix
        self._server_name = server_name

    async def say(self, room: RoomID, text: Answer | str, *, answers: EventID, index: int = 0) -> None:
        """Say something in answer to an event; the same answer is not said twice. Raises `HomeserverError`."""
        key = reply_txn_id(answers, index)
        answer = Answer(text) if isinstance(text, str) else text
        content = notice_content(answer.body, key, html=answer.html)
        await self._homeserver.send_event(room, "m.room.message", content, txn_id=key, user=self.bot)

    async def tell(self, user: UserID, text: str, *, about: str) -> None:
        """Tell a person something in their management room, which is opened if there is none. Best effort.

        `about` names the occasion, so that it is said once.
        """
        try:
            room = await self._books.directory.management_room(user) or await self.open_room(user)
            await self.say(room, text, answers=EventID(encode_fields("tell", user, about).hex()))
        except HomeserverError as error:
            log.warning("%s could not be told (%s): %s", user, text, error)

    async def open_room(self, user: UserID) -> RoomID:
        """Make an unencrypted room with a person, once: under an alias of our own. Raises `HomeserverError`."""
        # A chat id that no network has; the alias is an HMAC, so nobody can take it before us.
        key = PortalKey(ChatID(f"\x00management\x00{user}"))
        localpart = portal_alias_localpart(self._alias_prefix, self._books.secret, key)
        alias = RoomAlias(f"#{localpart}:{self._server_name}")
        room = await self._homeserver.resolve_alias(alias)
        if room is not None and not await self._can_meet(room, user):
            await self._homeserver.delete_alias(alias)
            room = None
        if room is None:
            room = await self._homeserver.create_room(
                preset="private_chat",
                room_alias_name=localpart,
                name=f"{self._network} bridge",
                invite=[user],
                is_direct=True,
            )
        await self._books.save(ManagementRoomSaved(user, room))
        return room

    async def _can_meet(self, room: RoomID, user: UserID) -> bool:
        """Whether the bot is in the room and the person is, or can be invited again."""
        try:
            await self._homeserver.join(room)
            member = await self._homeserver.get_state(room, "m.room.member", user)
            if member is None or member.get("membership") not in ("join", "invite"):
                await self._homeserver.invite(room, user, is_direct=True)
        except MatrixRequestError as error:
            if error.status in (403, 404):
                return False
            raise
        return not await self.is_encrypted(room)

    async def is_encrypted(self, room: RoomID) -> bool:
        """Whether encryption is switched on in a room. Raises `HomeserverError`."""
        return await self._homeserver.get_state(room, "m.room.encryption") is not None

    async def redact(self, room: RoomID, event: EventID) -> bool:
        """Delete a message that holds a secret. False if the bot may not. Raises `HomeserverError`."""
        try:
            await self._homeserver.redact(
                room, event, txn_id=reply_txn_id(event, 90), reason="login answers are not kept", user=self.bot
            )
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.info("a login answer could not be redacted: %s", error, extra={"room_id": room})
            return False
        return True
