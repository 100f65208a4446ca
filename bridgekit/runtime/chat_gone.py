"""A chat that is no more, or that a login has left: what was said stays on Matrix."""

from __future__ import annotations

import logging

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import event_txn_id
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import RoomAlias, RoomID, UserID
from bridgekit.model.records import Fact, LoginRecord, Portal, PortalLoginRemoved, PortalRemoved, RelayRemoved
from bridgekit.model.remote import RemoteChatDeleted
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts

log = logging.getLogger(__name__)


class ChatGone:
    """Carries out `RemoteChatDeleted`s. May be repeated after a crash: what the rest needs is forgotten last.

    While other logins see the chat, it goes on for them. With the last the room becomes an archive: its ghosts leave,
    its alias is freed, and the portal is forgotten, so that a later message makes a new room.
    """

    def __init__(
        self, books: Books, homeserver: Homeserver, ghosts: Ghosts, *, bot: UserID, network: str, server_name: str
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._bot = bot
        self._network = network
        self._server_name = server_name

    async def handle(self, gone: RemoteChatDeleted, entry: Entry, record: LoginRecord) -> None:
        """Carry it out. Raises `HomeserverError`, `StoreError`."""
        portal = await self._books.portal(gone.portal)
        if portal is None:
            return
        left = [each for each in await self._books.portal_logins(portal.key) if each.login.id != record.login.id]
        if portal.room is not None:
            await self._tell(portal.room, gone, entry, record, is_last=not left)
        facts: list[Fact] = [PortalLoginRemoved(portal.key, record.login.id)]
        relay = self._books.relay(portal.key)
        if relay is not None and relay.login.id == record.login.id:
            facts.append(RelayRemoved(portal.key))
        await self._books.save(*facts)
        if not left:
            await self._close(portal)

    async def _tell(
        self, room: RoomID, gone: RemoteChatDeleted, entry: Entry, record: LoginRecord, *, is_last: bool
    ) -> None:
        name = record.login.name or record.login.id
        reason = f" ({gone.reason})" if gone.reason else ""
        text = f"{name} does not see this chat on {self._network} any more{reason}."
        if is_last:
            text += " Nothing is bridged here from now on; what was said stays."
        key = event_txn_id(
            portal=gone.portal, sender=self._bot, kind="chat gone", remote_id=entry.dedupe, occurrence=0, part=0
        )
        try:
            await self._homeserver.send_event(
                room, "m.room.message", notice_content(text, key), txn_id=key, user=self._bot
            )
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.warning("the room of a chat that is gone could not be told: %s", error, extra={"room_id": room})

    async def _close(self, portal: Portal) -> None:
        if portal.room is not None:
            for user_id in await self._books.directory.members(portal.room):
                ghost = await self._ghosts.by_user(user_id)
                if ghost is not None:
                    await self._ghosts.leave(portal.room, ghost.remote_id)
        # Or the next room of this chat would be taken for the old one.
        await self._homeserver.delete_alias(RoomAlias(f"#{portal.alias_localpart}:{self._server_name}"))
        await self._books.save(PortalRemoved(portal.key))
