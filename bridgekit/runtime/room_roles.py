"""Who may do what in a portal's room, as people change it: who has another role by that, the network is told."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from bridgekit.adapter.capabilities import CanSetRole, capability
from bridgekit.core.role_changes import RoleChange, role_changes, stands, undone
from bridgekit.model.entry import Ending
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.remote import Role
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.progress import RefusedRole
from bridgekit.runtime.roles import Roles
from bridgekit.runtime.room_change import Change
from bridgekit.runtime.sending import Attempt, Connected

POWER = "m.room.power_levels"

MAX_NAMED = 5
"""So many are named of those who stay as they were."""


class _Event(msgspec.Struct):
    content: dict[str, Any] = {}
    unsigned: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class RolesChange(Change):
    """One ``m.room.power_levels``. People are told to the network in the order of their user ids; up to whom is on disk
    as soon as more follow, so that a crash repeats one call at most. Raises `msgspec.DecodeError` if it cannot be read.
    """

    def __init__(self, a: Attempt, roles: Roles) -> None:
        super().__init__(a)
        self._roles = roles
        event = _decode(a.event.raw)
        self._content = event.content
        self._before = event.unsigned.get("prev_content") if isinstance(event.unsigned, dict) else None

    async def handle(self) -> Handled:
        a = self.a
        told = a.progress.roles
        changes = [change for change in await self._changes() if change.user > told.upto]
        now = await self._now() if changes else None
        changes = [change for change in changes if stands(now, change)]  # else a later change has its own turn
        if changes:
            if a.o.relay.ignores(a.event):
                return await self.put_back()
            to = await self.changer()
            if not isinstance(to, Connected):
                return to
            able = capability(to.session, CanSetRole)
            if able is None:
                why = "this network does not let roles be given from here"
                return await self.refuse(a.ending("not_supported", why))
            for change in changes:
                await self._tell(change, able, to, last=change is changes[-1])
        elif not told.upto:
            return Handled()
        if refused := a.progress.roles.refused:
            return await self.refuse(a.ending(refused[0].code, await self._words()))
        return a.crossed()

    async def _tell(self, change: RoleChange, able: CanSetRole, to: Connected, *, last: bool) -> None:
        a, key = self.a, self.a.portal.key
        ending: Ending | None = None
        self._roles.tells(a.event.room_id, change.user, change.role)
        for remote in await self._people(change.user):
            outcome = await a.call(functools.partial(able.set_role, key, remote, change.role), to)
            ending = outcome if isinstance(outcome, Ending) else ending
        told = a.progress.roles
        if ending is None:
            # What the network then says is so already.
            await self._roles.given(a.event.room_id, change.user, change.role)
            self._roles.has_told(a.event.room_id, change.user)
            told = msgspec.structs.replace(told, upto=change.user, given=True)
        else:
            self._roles.has_told(a.event.room_id, change.user)
            reason = ending.reason if len(told.refused) < MAX_NAMED else ""
            refused = (*told.refused, RefusedRole(change.user, ending.code, reason))
            told = msgspec.structs.replace(told, upto=change.user, refused=refused)
        if not last or told.refused:
            await a.note(a.entry.marked_at, msgspec.structs.replace(a.progress, roles=told))

    async def _changes(self) -> list[RoleChange]:
        """Those about people whom the network knows."""
        a, is_ghost = self.a, self.a.o.ghosts.namespace.is_ghost
        known = await self._roles.of(a.event.room_id)
        found = role_changes(
            self._content,
            self._before,
            bot=a.o.status.bot,
            is_ghost=is_ghost,
            known=lambda user: known.get(user, Role.MEMBER),
        )
        return [change for change in found if await self._people(change.user)]

    async def _people(self, user: UserID) -> list[RemoteUserID]:
        """Who this is in the chat: the ghost's person, or a person's accounts there."""
        o = self.a.o
        if o.ghosts.namespace.is_ghost(user):
            person = await o.ghosts.person(user) if await o.ghosts.is_registered(user) else None
            return [] if person is None else [person]
        seen = await o.books.portal_logins(self.a.portal.key)
        return [record.login.user for record in seen if record.user_id == user]

    async def _now(self) -> dict[str, Any] | None:
        return await self.a.o.homeserver.get_state(self.a.event.room_id, POWER)

    async def undo(self) -> None:
        """Of those whom the network refused, and of those whom it was not told of. The others stay."""
        a, told = self.a, self.a.progress.roles
        refused = {each.user for each in told.refused}
        changes = [change for change in await self._changes() if change.user > told.upto or change.user in refused]
        await self._roles.change(a.event.room_id, lambda now: undone(now, changes, bot=a.o.status.bot))

    async def _words(self) -> str:
        told = self.a.progress.roles
        said = [f"{await self._name(each.user)} stays as before ({each.reason})" for each in told.refused[:MAX_NAMED]]
        if more := len(told.refused) - len(said):
            said.append(f"{more} more stay as before, too")
        return "; ".join(said) + (". The others have their new roles" if told.given else "")

    async def _name(self, user: UserID) -> str:
        ghost = await self.a.o.ghosts.by_user(user)
        return ghost.name if ghost is not None and ghost.name else user
