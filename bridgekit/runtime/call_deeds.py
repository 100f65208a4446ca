"""What calls want done, done: an event into the room, a call into the adapter. Each tries once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bridgekit.adapter.calls import CanCall
from bridgekit.adapter.capabilities import capability
from bridgekit.core.call import words
from bridgekit.core.call.effects import CallRemote, InviteToRoom, Note, SendMatrix
from bridgekit.core.call.memory import Setup
from bridgekit.core.policy import End, Pause, Retry, judge_homeserver, judge_network
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import event_txn_id
from bridgekit.core.versions import KEY
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.calls import (
    CallEnd,
    MatrixCall,
    MatrixCallAnswer,
    MatrixCallCandidates,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    MatrixCallUpdate,
    SDPType,
)
from bridgekit.model.ids import LegID, LoginID, PortalKey, RoomID, TxnID
from bridgekit.ports import Homeserver, MediaGateway
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.errands import CallKey, Errand, GiveUp, Refused, TryAgain
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

ADAPTER_S = 10.0
"""So long a method of `CanCall` may take."""

GATEWAY_S = 5.0

NOT_CONNECTED_S = 0.5
"""A session that is not there is looked for again after so long."""


class CallDeeds:
    """Does one errand. Raises `TryAgain` or `GiveUp`, and nothing else that is foreseen."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        ghosts: Ghosts,
        sessions: Sessions,
        *,
        login_of: Callable[[CallKey], LoginID | None],
        setup_of: Callable[[CallKey], Setup | None],
        connection_errors: tuple[type[BaseException], ...],
        gateway: MediaGateway | None,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._sessions = sessions
        self._login_of = login_of
        self._setup_of = setup_of
        self._connection_errors = connection_errors
        self._gateway = gateway

    # --- Matrix ---------------------------------------------------------------------------------------------------
    async def on_matrix(self, errand: Errand) -> None:
        """An event, a line or an invitation into the portal's room."""
        task = errand.task
        portal = await self._books.portal(errand.key[0])
        if portal is None or portal.room is None:
            raise GiveUp(CallEnd.ERROR, "the chat has no room")
        try:
            match task:
                case SendMatrix():
                    setup = self._setup_of(errand.key)
                    room = portal.room if setup is None or setup.room is None else setup.room
                    await self._send(errand.key, room, task.type, task.content, task.key, left=room != portal.room)
                case Note():
                    key = self._txn_id(errand.key, "", "note")
                    content = notice_content(words.line(task), key)
                    await self._send(errand.key, portal.room, "m.room.message", content, "note")
                case InviteToRoom():
                    await self._homeserver.invite(portal.room, task.user, is_direct=portal.dm)
                case CallRemote():
                    raise AssertionError("the network's")
        except (HomeserverUnreachable, MatrixRequestError) as error:
            verdict = judge_homeserver(error)
            if isinstance(verdict, Retry):
                raise TryAgain(verdict.reason, verdict.retry_after_s) from error
            reason = CallEnd.UNREACHABLE if isinstance(task, InviteToRoom) else CallEnd.ERROR
            raise GiveUp(reason, verdict.reason) from error

    def _txn_id(self, key: CallKey, sender: str, which: str) -> TxnID:
        portal, call = key
        # By the whole of the key: two calls may send events of the same number.
        return event_txn_id(portal=portal, sender=sender, kind=f"call {which}", remote_id=call, occurrence=0, part=0)

    async def _send(
        self, key: CallKey, room: RoomID, type: str, content: dict[str, Any], which: str, *, left: bool = False
    ) -> None:
        """`left`: the portal has left this room for another one."""
        setup = self._setup_of(key)
        user = setup.ghost if setup is not None else None
        ghost = await self._ghosts.by_user(user) if user is not None else None
        txn_id = self._txn_id(key, user or "", which)
        send: dict[str, Any] = {"txn_id": txn_id}
        if ghost is not None:
            send |= {"user": ghost.user_id, "device_id": ghost.device_id}
        content = {**content, KEY: txn_id}
        try:
            await self._homeserver.send_event(room, type, content, **send)
        except MatrixRequestError as error:
            if error.status != 403 or ghost is None:
                raise
            if left:
                # Spec, "Room Upgrades": people may not speak in the old room any more. Clients heed the bot, too, as
                # they look at the party that it names.
                await self._homeserver.send_event(room, type, content, txn_id=txn_id)
                return
            # It was removed, or has not been here: bring it, once.
            await self._ghosts.ensure_joined(room, ghost, again=True)
            await self._homeserver.send_event(room, type, content, **send)
        points.reach(points.MATRIX_SENT)

    # --- the network ----------------------------------------------------------------------------------------------
    async def on_network(self, errand: Errand) -> None:
        """A call into the adapter."""
        task = errand.task
        assert isinstance(task, CallRemote)
        value = task.value
        must = errand.final or errand.vital or isinstance(value, MatrixCallHangUp)
        login = self._login_of(errand.key)
        record = self._books.login(login) if login is not None else None
        if record is None:
            raise GiveUp(CallEnd.UNREACHABLE, "the login is no more")
        session = self._sessions.session(record.login.id)
        if session is None:
            raise TryAgain("the network is not connected", NOT_CONNECTED_S)
        can = capability(session, CanCall)
        if can is None:
            raise GiveUp(CallEnd.NOT_SUPPORTED, "this network has no calls")
        value = await self._through_gateway(value)
        try:
            async with asyncio.timeout(ADAPTER_S):
                await _method(can, value)(value)
        except Exception as error:
            verdict = judge_network(error, connection_errors=(*self._connection_errors, TimeoutError), repeatable=True)
            if isinstance(verdict, Pause):
                raise Refused(session, verdict.reason) from error
            if isinstance(verdict, End) and verdict.bug:
                log.error("the adapter failed in a call", exc_info=error)
            if not must:
                log.info("the network did not take a call's %s: %s", type(value).__name__, verdict.reason)
                return
            if isinstance(verdict, Retry):
                raise TryAgain(verdict.reason, verdict.retry_after_s) from error
            raise GiveUp(_reason(verdict), verdict.reason) from error

    async def refused(self, key: CallKey, why: Refused) -> None:
        """The credentials of the call's login are no good any more. Raises `StoreError`."""
        login = self._login_of(key)
        if login is not None:
            await self._sessions.refused(login, why.session, why.words)

    async def _through_gateway(self, value: MatrixCall) -> MatrixCall:
        match value:
            case MatrixCallOffer() if value.sdp:
                sdp = await self.rewritten(value.portal, value.call, LegID(""), "offer", value.sdp, to_matrix=False)
            case MatrixCallAnswer():
                sdp = await self.rewritten(value.portal, value.call, value.leg, "answer", value.sdp, to_matrix=False)
            case MatrixCallUpdate():
                sdp = await self.rewritten(
                    value.portal, value.call, value.leg, value.sdp_type, value.sdp, to_matrix=False
                )
            case _:
                return value
        return value if sdp == value.sdp else msgspec.structs.replace(value, sdp=sdp)

    async def rewritten(
        self, portal: PortalKey, call: Any, leg: LegID, type: SDPType, sdp: str, *, to_matrix: bool
    ) -> str:
        """The description as the gateway wants it at the other end. Raises `GiveUp`."""
        if self._gateway is None:
            return sdp
        rewrite = self._gateway.to_matrix if to_matrix else self._gateway.to_remote
        try:
            async with asyncio.timeout(GATEWAY_S):
                return await rewrite(portal, call, leg, type, sdp)
        except Exception as error:
            log.error("the media gateway failed", exc_info=error)
            raise GiveUp(CallEnd.MEDIA_FAILED, "the media gateway failed") from error

    async def ended(self, key: CallKey) -> None:
        """The gateway may let go of a call."""
        if self._gateway is None:
            return
        try:
            async with asyncio.timeout(GATEWAY_S):
                await self._gateway.ended(*key)
        except Exception:
            log.exception("the media gateway failed to end a call")


def _reason(verdict: End) -> CallEnd:
    if verdict.code == "not_supported":
        return CallEnd.NOT_SUPPORTED
    return CallEnd.ERROR if verdict.bug else CallEnd.UNREACHABLE


def _method(can: CanCall, value: MatrixCall) -> Callable[[Any], Awaitable[None]]:
    match value:
        case MatrixCallOffer():
            return can.offer if value.sdp else can.ring
        case MatrixCallAnswer():
            return can.answer
        case MatrixCallCandidates():
            return can.candidates
        case MatrixCallUpdate():
            return can.update
        case MatrixCallMute():
            return can.mute
        case MatrixCallProgress():
            return can.progress
        case MatrixCallReject():
            return can.reject
        case MatrixCallHangUp():
            return can.hang_up
