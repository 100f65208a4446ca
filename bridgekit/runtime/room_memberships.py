"""Who is in a portal's room, as people change it."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from bridgekit.adapter.capabilities import CanInvite, CanLeave, CanRemove, capability
from bridgekit.model.entry import Ending
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.matrix import MatrixMember
from bridgekit.model.records import MemberSaved, Membership
from bridgekit.runtime.ghosts import MAX_REASON
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lost import Lost
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.room_change import Change
from bridgekit.runtime.sending import Attempt, Connected
from bridgekit.runtime.upgrades import Upgrades

log = logging.getLogger(__name__)


class _Member(msgspec.Struct):
    membership: str = ""
    reason: Any = ""


class _Unsigned(msgspec.Struct):
    prev_content: _Member = msgspec.field(default_factory=_Member)


class _MemberEvent(msgspec.Struct):
    content: _Member = msgspec.field(default_factory=_Member)
    unsigned: _Unsigned = msgspec.field(default_factory=_Unsigned)


_decode = msgspec.json.Decoder(_MemberEvent).decode


class MembershipChange(Change):
    """One member event. Raises `msgspec.DecodeError` if it is none."""

    def __init__(self, a: Attempt, lost: Lost, upgrades: Upgrades, portals: Portals, *, leave_with_room: bool) -> None:
        super().__init__(a)
        self._lost = lost
        self._upgrades = upgrades
        self._portals = portals
        self._leave_with_room = leave_with_room
        event = _decode(a.event.raw)
        self._now = event.content.membership
        self._before = event.unsigned.prev_content.membership
        self._reason = event.content.reason[:MAX_REASON] if isinstance(event.content.reason, str) else ""
        self._target = UserID(a.event.state_key or "")

    async def handle(self) -> Handled:
        a = self.a
        if self._target == a.o.status.bot:
            return await self._bot_is_out() if self._now in ("leave", "ban") else Handled()
        if not a.o.ghosts.namespace.is_ghost(self._target):
            # Whoever turns an invitation down has never been here, and leaves nothing.
            own_will = self._target == a.event.sender and self._now == "leave" and self._before in ("join", "")
            if not own_will or not await self._is_so("leave"):
                return Handled()
            return await self._person_left(was_there=self._before == "join")
        if not await self._is_so(self._now):
            return Handled()  # somebody has changed that again; that has its own turn
        person = await a.o.ghosts.person(self._target)
        match self._now:
            case "invite":
                return await self._invite(person)
            case "leave" if self._before not in ("ban", "invite", "knock"):
                return await self._remove(person, ban=False)
            case "ban":
                return await self._remove(person, ban=True)
        return Handled()

    async def _is_so(self, membership: str) -> bool:
        return await self._membership() == membership

    async def _membership(self) -> str:
        """What the room says of the target now."""
        member = await self.a.o.homeserver.get_state(self.a.event.room_id, "m.room.member", self._target)
        membership = (member or {}).get("membership", "leave")
        return membership if isinstance(membership, str) else "leave"

    async def _invite(self, person: RemoteUserID | None) -> Handled:
        a = self.a
        if person is None:
            return await self.put_back()
        to = await self.changer()
        if not isinstance(to, Connected):
            return to
        inviter = capability(to.session, CanInvite)
        if inviter is None:
            return await self.refuse(a.ending("not_supported", "this network does not let people be invited from here"))
        member = MatrixMember(portal=a.portal.key, user=person, reason=self._reason)
        outcome = await a.call(lambda: inviter.invite(member), to)
        if isinstance(outcome, Ending):
            return await self.refuse(outcome)
        ghost = await a.o.ghosts.ensure(person, describer_of(to.session))
        await a.o.ghosts.ensure_joined(a.event.room_id, ghost, again=True)  # the room says that it is not there
        return a.crossed()

    async def _remove(self, person: RemoteUserID | None, *, ban: bool) -> Handled:
        a = self.a
        # Before the network is told: its echo then finds that it is so.
        await a.o.books.save(MemberSaved(a.event.room_id, self._target, Membership.LEFT))
        if person is None or a.o.relay.ignores(a.event):
            return Handled()
        to = await self.changer()
        if not isinstance(to, Connected):
            return to
        remover = capability(to.session, CanRemove)
        if remover is None:
            return await self.refuse(a.ending("not_supported", "this network does not let people be removed from here"))
        member = MatrixMember(portal=a.portal.key, user=person, reason=self._reason)
        outcome = await a.call(lambda: remover.remove(member, ban=ban), to)
        return await self.refuse(outcome) if isinstance(outcome, Ending) else a.crossed()

    async def undo(self) -> None:
        a, room, user = self.a, self.a.event.room_id, self._target
        membership = await self._membership()
        if membership == "join":
            return
        if membership == "invite":
            if await a.o.ghosts.is_registered(user):
                await a.o.homeserver.leave(room, user=user)
            else:
                await a.o.homeserver.kick(room, user)
            return
        person = await a.o.ghosts.person(user)
        ghost = await a.o.ghosts.by_user(user) if person is not None else None
        if ghost is not None:
            await a.o.ghosts.ensure_joined(room, ghost, again=True)

    # --- the bot and people -----------------------------------------------------------------------------------------
    async def _bot_is_out(self) -> Handled:
        """Without the bot the room is no portal any more."""
        a = self.a
        if not await self._lost.is_member(a.event.room_id):
            log.warning("the bot was removed from a portal, which is forgotten", extra={"room_id": a.event.room_id})
            await self._lost.forget(a.portal)
        return Handled()

    async def _person_left(self, *, was_there: bool) -> Handled:
        """One's own login leaves the chat with the room, if it is a group and the network can. Otherwise the room is
        only out of sight: the next message invites again."""
        a = self.a
        voice = await a.o.relay.changer(a.event, a.portal)
        if voice is None or await self._upgrades.replacement(a.event.room_id) is not None:
            return Handled()
        if was_there and self._leave_with_room and not a.portal.dm:
            to = await a.connected(voice)
            if not isinstance(to, Connected):
                return to
            if (leaver := capability(to.session, CanLeave)) is not None:
                outcome = await a.call(lambda: leaver.leave(a.portal.key), to)
                if isinstance(outcome, Ending):
                    return await a.end(outcome)
                await self._lost.left(a.portal, to.record)
                return Handled()
        await self._portals.invitations.has_left(a.event.room_id, a.event.sender)
        return Handled()
