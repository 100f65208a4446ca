"""What people change about a portal's room: who is in it, its name, its topic. The network is told, or it is put
back."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from bridgekit.adapter.capabilities import CanInvite, CanLeave, CanRemove, CanRename, capability
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.rooms import clean
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Ending
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.matrix import MatrixMember
from bridgekit.model.records import MemberSaved, Membership
from bridgekit.runtime.ghosts import MAX_REASON
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lost import Lost
from bridgekit.runtime.portals import MAX_NAME, MAX_TOPIC, Portals, describer_of
from bridgekit.runtime.sending import Attempt, Connected
from bridgekit.runtime.upgrades import Upgrades

log = logging.getLogger(__name__)

KEYS = {"m.room.name": "name", "m.room.topic": "topic", "m.room.avatar": "url"}
"""What people see of the room, and where its content says it."""

NOT_YOURS = 'log in to the network for that: say "login" to the bot in a room of your own'


class _Member(msgspec.Struct):
    membership: str = ""
    reason: Any = ""


class _Unsigned(msgspec.Struct):
    prev_content: _Member = msgspec.field(default_factory=_Member)


class _MemberEvent(msgspec.Struct):
    content: _Member = msgspec.field(default_factory=_Member)
    unsigned: _Unsigned = msgspec.field(default_factory=_Unsigned)


class _State(msgspec.Struct):
    content: dict[str, Any] = {}


_decode_member = msgspec.json.Decoder(_MemberEvent).decode
_decode_state = msgspec.json.Decoder(_State).decode


class RoomChanges:
    """Carries out state events of rooms that are portals. May be repeated after a crash: what the room does not say
    any more is not told, and what the network has already is success there."""

    def __init__(
        self,
        lost: Lost,
        upgrades: Upgrades,
        portals: Portals,
        *,
        leave_with_room: bool,
    ) -> None:
        """`leave_with_room`: who leaves the room of a group leaves the group."""
        self._lost = lost
        self._upgrades = upgrades
        self._portals = portals
        self._leave_with_room = leave_with_room

    async def handle(self, a: Attempt) -> Handled:
        """Carry it out. Raises what `Attempt` raises."""
        if a.event.room_id != a.portal.room:
            return Handled()  # what becomes of a room that was replaced is not the chat's affair
        try:
            if a.event.type == "m.room.member":
                return await _Membership(self, a, _decode_member(a.event.raw)).handle()
            if a.event.type == "m.room.tombstone":
                await self._upgrades.tombstone(a.portal, a.event.room_id)
            if a.event.type in KEYS:
                return await self._look(a, _decode_state(a.event.raw).content)
        except msgspec.DecodeError:
            log.info("a change of a room cannot be read", extra={"event_id": a.event.event_id})
        return Handled()

    # --- name, topic, picture -------------------------------------------------------------------------------------
    async def _look(self, a: Attempt, content: dict[str, Any]) -> Handled:
        said = content.get(KEYS[a.event.type])
        wanted = clean(said) if isinstance(said, str) else ""
        if wanted == _known(a) or await a.o.homeserver.get_state(a.event.room_id, a.event.type) != content:
            return Handled()  # nothing new, or no longer so: the later change has its own turn
        if a.o.relay.ignores(a.event):
            return await put_back(a)
        to = await changer(a)
        if not isinstance(to, Connected):
            return to
        renamer = capability(to.session, CanRename)
        if renamer is None or a.event.type == "m.room.avatar":
            return await refuse(a, a.ending("not_supported", "this network does not let it be changed from here"))
        name = wanted[:MAX_NAME] if a.event.type == "m.room.name" else None
        topic = wanted[:MAX_TOPIC] if a.event.type == "m.room.topic" else None
        outcome = await a.call(lambda: renamer.rename(a.portal.key, name=name, topic=topic), to)
        if isinstance(outcome, Ending):
            return await refuse(a, outcome)
        # What the network then says is so already.
        await self._portals.change(a.portal.key, **({"name": name} if name is not None else {"topic": topic}))
        return a.crossed()

    # --- for memberships ------------------------------------------------------------------------------------------
    async def bot_is_out(self, a: Attempt) -> Handled:
        """Without the bot the room is no portal any more."""
        if not await self._lost.is_member(a.event.room_id):
            log.warning("the bot was removed from a portal, which is forgotten", extra={"room_id": a.event.room_id})
            await self._lost.forget(a.portal)
        return Handled()

    async def person_left(self, a: Attempt, *, was_there: bool) -> Handled:
        """One's own login leaves the chat with the room, if it is a group and the network can. Otherwise the room is
        only out of sight: the next message invites again."""
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
        await self._portals.has_left(a.event.room_id, a.event.sender)
        return Handled()


class _Membership:
    """One member event."""

    def __init__(self, changes: RoomChanges, a: Attempt, event: _MemberEvent) -> None:
        self._changes = changes
        self._a = a
        self._now = event.content.membership
        self._before = event.unsigned.prev_content.membership
        self._reason = event.content.reason[:MAX_REASON] if isinstance(event.content.reason, str) else ""
        self._target = UserID(a.event.state_key or "")

    async def handle(self) -> Handled:
        a = self._a
        if self._target == a.o.status.bot:
            return await self._changes.bot_is_out(a) if self._now in ("leave", "ban") else Handled()
        if not a.o.ghosts.namespace.is_ghost(self._target):
            # Whoever turns an invitation down has never been here, and leaves nothing.
            own_will = self._target == a.event.sender and self._now == "leave" and self._before in ("join", "")
            if not own_will or not await self._is_so("leave"):
                return Handled()
            return await self._changes.person_left(a, was_there=self._before == "join")
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
        return await membership_of(self._a, self._target) == membership

    async def _invite(self, person: RemoteUserID | None) -> Handled:
        a = self._a
        if person is None:
            return await put_back(a)
        to = await changer(a)
        if not isinstance(to, Connected):
            return to
        inviter = capability(to.session, CanInvite)
        if inviter is None:
            return await refuse(a, a.ending("not_supported", "this network does not let people be invited from here"))
        member = MatrixMember(portal=a.portal.key, user=person, reason=self._reason)
        outcome = await a.call(lambda: inviter.invite(member), to)
        if isinstance(outcome, Ending):
            return await refuse(a, outcome)
        ghost = await a.o.ghosts.ensure(person, describer_of(to.session))
        await a.o.ghosts.ensure_joined(a.event.room_id, ghost, again=True)  # the room says that it is not there
        return a.crossed()

    async def _remove(self, person: RemoteUserID | None, *, ban: bool) -> Handled:
        a = self._a
        # Before the network is told: its echo then finds that it is so.
        await a.o.books.save(MemberSaved(a.event.room_id, self._target, Membership.LEFT))
        if person is None or a.o.relay.ignores(a.event):
            return Handled()
        to = await changer(a)
        if not isinstance(to, Connected):
            return to
        remover = capability(to.session, CanRemove)
        if remover is None:
            return await refuse(a, a.ending("not_supported", "this network does not let people be removed from here"))
        member = MatrixMember(portal=a.portal.key, user=person, reason=self._reason)
        outcome = await a.call(lambda: remover.remove(member, ban=ban), to)
        return await refuse(a, outcome) if isinstance(outcome, Ending) else a.crossed()


# --- what both need -----------------------------------------------------------------------------------------------
async def changer(a: Attempt) -> Connected | Handled:
    """The connection of the sender's own login; how it ends if there is none. Raises `WaitFor`."""
    voice = await a.o.relay.changer(a.event, a.portal)
    if voice is None:
        return await refuse(a, a.ending("no_login", NOT_YOURS))
    to = await a.connected(voice)
    if isinstance(to, Handled) and to.dead is not None:
        await put_back(a)
    return to


async def refuse(a: Attempt, ending: Ending) -> Handled:
    """The network does not do that: the room says so again, and its sender is told. The end is on disk before: what
    was put back is not tried again."""
    await a.note(a.entry.marked_at, msgspec.structs.replace(a.progress, ending=ending))
    return await refused(a, ending)


async def refused(a: Attempt, ending: Ending) -> Handled:
    """The rest of `refuse`, again if it was cut short the last time."""
    await put_back(a)
    return await a.finish(ending)


async def put_back(a: Attempt) -> Handled:
    """Undo a change, if it still stands, so far as the bot may. Raises `HomeserverError` where trying again helps."""
    try:
        await _put_back(a)
    except MatrixRequestError as error:
        if not isinstance(judge_homeserver(error), End):
            raise
        log.info("a change could not be put back: %s", error, extra={"room_id": a.event.room_id})
    return Handled()


async def _put_back(a: Attempt) -> None:
    room, type = a.event.room_id, a.event.type
    if type in KEYS:
        if await a.o.homeserver.get_state(room, type) != _decode_state(a.event.raw).content:
            return
        content = {KEYS[type]: _known(a)} if type != "m.room.avatar" or _known(a) else {}
        await a.o.homeserver.send_state(room, type, "", content)
        return
    user = UserID(a.event.state_key or "")
    membership = await membership_of(a, user)
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


async def membership_of(a: Attempt, user: UserID) -> str:
    """What the room says of somebody now."""
    member = await a.o.homeserver.get_state(a.event.room_id, "m.room.member", user)
    membership = (member or {}).get("membership", "leave")
    return membership if isinstance(membership, str) else "leave"


def _known(a: Attempt) -> str:
    """What the network calls the chat, as the room should say it."""
    match a.event.type:
        case "m.room.name":
            return clean(a.portal.name)
        case "m.room.topic":
            return clean(a.portal.topic)
    return a.portal.avatar_mxc or ""
