"""Each portal's room says what its network can carry, so that clients offer nothing else."""

from __future__ import annotations

import hashlib
import logging
import weakref

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import (
    CanDelete,
    CanEdit,
    CanInvite,
    CanLeave,
    CanMarkRead,
    CanReact,
    CanRemove,
    CanRename,
    CanSetAvatar,
    CanSetRole,
    CanType,
    CanUploadMedia,
)
from bridgekit.core.features import ROOM_FEATURES, Abilities, room_features
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.rooms import JSON, bridge_state_key
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import PortalKey, RoomID
from bridgekit.model.records import ValueSaved
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books

log = logging.getLogger(__name__)


class Features:
    """Looked at once for each connection and room: what a session can do is fixed by its class, and a new version of an
    adapter means a new process. May be repeated after a crash. Raises `HomeserverError`, `StoreError`."""

    def __init__(self, books: Books, homeserver: Homeserver, *, network_id: str) -> None:
        self._books = books
        self._network_id = network_id
        self._homeserver = homeserver
        # Where several logins see a chat, the first one speaks for all while it is connected.
        self._said: weakref.WeakValueDictionary[RoomID, Session] = weakref.WeakValueDictionary()

    async def show(self, key: PortalKey, room: RoomID, session: Session | None) -> None:
        """The room says what this session can do there. What is on disk saves the homeserver the question."""
        if session is None or room in self._said:
            return
        try:
            wanted = of_session(session, key)
        except Exception:
            log.exception("the adapter cannot say what a chat can carry", extra={"room_id": room})
            return
        state_key = bridge_state_key(self._network_id, key)
        known = f"features {room}"
        digest = hashlib.sha256(msgspec.json.encode(wanted, order="deterministic")).hexdigest()
        if await self._books.directory.value(known) != digest and await self._write(room, state_key, wanted):
            await self._books.save(ValueSaved(known, digest))
        self._said[room] = session

    async def _write(self, room: RoomID, state_key: str, wanted: JSON) -> bool:
        try:
            current = await self._homeserver.get_state(room, ROOM_FEATURES, state_key)
            if current != wanted:
                await self._homeserver.send_state(room, ROOM_FEATURES, state_key, wanted)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # In a room that a person made the bridge may not be allowed to; that costs no message.
            log.info("a room cannot say what its network can carry: %s", error, extra={"room_id": room})
            return False
        return True


def of_session(session: Session, key: PortalKey) -> JSON:
    """The content of ``com.beeper.room_features`` for a portal."""
    can = Abilities(
        edits=isinstance(session, CanEdit),
        deletes=isinstance(session, CanDelete),
        reacts=isinstance(session, CanReact),
        files=isinstance(session, CanUploadMedia),
        receipts=isinstance(session, CanMarkRead),
        typing=isinstance(session, CanType),
        renames=isinstance(session, CanRename),
        pictures=isinstance(session, CanSetAvatar),
        roles=isinstance(session, CanSetRole),
        invites=isinstance(session, CanInvite),
        removes=isinstance(session, CanRemove),
        leaves=isinstance(session, CanLeave),
    )
    return room_features(can, session.limits(key))
