"""A homeserver in memory, as far as the runtime needs one, that fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI, EventID, RoomAlias, RoomID, TxnID, UserID
from bridgekit.model.raw import MemberProfile, MessagesPage, RawEvent
from bridgekit.testing.rooms import JSON, FakeRoom, People, bundled, raw

__all__ = ["FakeHomeserver", "FakeRoom", "raw"]

T = TypeVar("T")


@dataclass
class _Fault:
    error: HomeserverError
    times: int
    lost: bool
    when: Callable[[Mapping[str, Any]], bool]


class FakeHomeserver(People):
    """`bridgekit.ports.Homeserver`, and what the tests see of it.

    Transaction ids are unique over the whole application service and remembered until `forget_transactions`. Every
    event goes to `outbox`, from where a harness pushes it to the bridge; `lose_outbox` is a restart that forgets them.
    """

    def __init__(self, bot: UserID, *, server_name: str = "test", yields: Callable[[], int] = lambda: 0) -> None:
        super().__init__(bot)
        self.server_name = server_name
        self.on_recovered: list[Callable[[], None]] = []
        self.aliases: dict[RoomAlias, RoomID] = {}
        self.names: dict[UserID, str] = {}
        self.avatars: dict[UserID, str] = {}
        self.calls: list[str] = []
        self.redacted: list[EventID] = []
        self.typing: dict[tuple[RoomID, UserID], int] = {}
        """Who of ours is writing where, and for how many ms that was said."""
        self.receipts: dict[tuple[RoomID, UserID], EventID] = {}
        """Up to where each of ours has read."""
        self._transactions: dict[str, EventID] = {}
        self._faults: dict[str, list[_Fault]] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._yields = yields
        self._failing = False

    # --- faults -----------------------------------------------------------------------------------------------------
    def fail(
        self,
        call: str,
        error: HomeserverError,
        *,
        times: int = 1,
        lost: bool = False,
        when: Callable[[Mapping[str, Any]], bool] = lambda arguments: True,
    ) -> None:
        """Let the next `times` calls of this method (those for which `when` says so) fail. `lost`: it takes effect,
        and only the answer is lost."""
        self._faults.setdefault(call, []).append(_Fault(error, times, lost, when))

    def mend(self) -> None:
        """No more faults."""
        self._faults.clear()

    def gate(self, call: str) -> asyncio.Event:
        """Let calls of this method wait until the event is set."""
        return self._gates.setdefault(call, asyncio.Event())

    def forget_transactions(self) -> None:
        """As a homeserver does after a day."""
        self._transactions.clear()

    def lose_outbox(self) -> None:
        """A restart: what was to be pushed is forgotten."""
        self.outbox.clear()

    async def _do(self, call: str, effect: Callable[[], T], **arguments: Any) -> T:
        self.calls.append(call)
        if call in self._gates:
            await self._gates[call].wait()
        for _ in range(self._yields()):
            await asyncio.sleep(0)
        fault = next((each for each in self._faults.get(call, ()) if each.times > 0 and each.when(arguments)), None)
        if fault is None:
            result = effect()
            for _ in range(self._yields()):
                await asyncio.sleep(0)
            if self._failing:
                self._failing = False
                for listener in self.on_recovered:
                    listener()
            return result
        fault.times -= 1
        if fault.lost:
            effect()
        if isinstance(fault.error, HomeserverUnreachable):
            self._failing = True
        raise fault.error

    # --- the port: events -------------------------------------------------------------------------------------------
    async def send_event(
        self,
        room: RoomID,
        type: str,
        content: Mapping[str, Any],
        *,
        txn_id: TxnID,
        user: UserID | None = None,
        device_id: str | None = None,
        timestamp: int | None = None,
    ) -> EventID:
        def effect() -> EventID:
            if txn_id not in self._transactions:
                where = self._joined(room, user or self.bot)
                more = {} if timestamp is None else {"origin_server_ts": timestamp}
                self._transactions[txn_id] = self._event(where, user or self.bot, type, dict(content), **more)
            return self._transactions[txn_id]

        return await self._do("send_event", effect, room=room, type=type, content=content, user=user or self.bot)

    async def send_state(
        self, room: RoomID, type: str, state_key: str, content: Mapping[str, Any], *, user: UserID | None = None
    ) -> EventID:
        def effect() -> EventID:
            where = self._joined(room, user or self.bot)
            where.state[type, state_key] = dict(content)
            return self._event(where, user or self.bot, type, dict(content), state_key=state_key)

        return await self._do("send_state", effect, room=room, type=type)

    async def get_state(
        self, room: RoomID, type: str, state_key: str = "", *, user: UserID | None = None
    ) -> JSON | None:
        def effect() -> JSON | None:
            where = self._joined(room, user or self.bot)
            if type == "m.room.member":
                membership = where.members.get(UserID(state_key))
                return None if membership is None else {"membership": membership}
            return where.state.get((type, state_key))

        return await self._do("get_state", effect, room=room, type=type)

    async def redact(
        self,
        room: RoomID,
        event_id: EventID,
        *,
        txn_id: TxnID,
        reason: str | None = None,
        user: UserID | None = None,
        device_id: str | None = None,
    ) -> EventID:
        def effect() -> EventID:
            self._joined(room, user or self.bot)
            self.redacted.append(event_id)
            return event_id

        return await self._do("redact", effect, room=room, event_id=event_id, user=user or self.bot)

    async def set_typing(self, room: RoomID, user: UserID, timeout_ms: int) -> None:
        def effect() -> None:
            self._joined(room, user)
            self.typing.pop((room, user), None)
            if timeout_ms > 0:
                self.typing[room, user] = timeout_ms

        await self._do("set_typing", effect, room=room, user=user, timeout_ms=timeout_ms)

    async def send_receipt(self, room: RoomID, event_id: EventID, *, user: UserID | None = None) -> None:
        def effect() -> None:
            self._room(room)  # Synapse takes it of somebody who is not there, too
            self.receipts[room, user or self.bot] = event_id

        await self._do("send_receipt", effect, room=room, user=user or self.bot, event_id=event_id)

    async def get_event(self, room: RoomID, event_id: EventID) -> RawEvent | None:
        def effect() -> RawEvent | None:
            timeline = self._joined(room, self.bot).timeline
            found = next((event for event in timeline if event["event_id"] == event_id), None)
            return raw(bundled(found, timeline, self.redacted)) if found is not None else None

        return await self._do("get_event", effect, room=room, event_id=event_id)

    async def messages(
        self, room: RoomID, *, from_: str | None = None, dir: Literal["b", "f"] = "b", limit: int = 100
    ) -> MessagesPage:
        def effect() -> MessagesPage:
            timeline = self._joined(room, self.bot).timeline
            end = len(timeline) if from_ is None else int(from_)
            begin = max(0, end - limit)
            chunk = tuple(raw(event) for event in reversed(timeline[begin:end]))
            return MessagesPage(chunk=chunk, start=str(end), end=str(begin) if begin else None)

        return await self._do("messages", effect, room=room)

    # --- the port: rooms --------------------------------------------------------------------------------------------
    async def create_room(self, **body: Any) -> RoomID:
        def effect() -> RoomID:
            alias = RoomAlias(f"#{body.get('room_alias_name')}:{self.server_name}")
            if "room_alias_name" in body and alias in self.aliases:
                raise MatrixRequestError(400, "M_ROOM_IN_USE", "taken")
            room = self._new_room(self.bot)
            for state in body.get("initial_state", ()):
                room.state[state["type"], state["state_key"]] = state["content"]
            room.state["m.room.power_levels", ""] = body.get("power_level_content_override", {})
            for key in ("name", "topic"):
                if key in body:
                    room.state[f"m.room.{key}", ""] = {key: body[key]}
            for user in body.get("invite", ()):
                room.members[user] = "invite"
            if "room_alias_name" in body:
                self.aliases[alias] = room.id
            return room.id

        return await self._do("create_room", effect, **body)

    async def resolve_alias(self, alias: RoomAlias) -> RoomID | None:
        return await self._do("resolve_alias", lambda: self.aliases.get(alias), alias=alias)

    async def create_alias(self, alias: RoomAlias, room: RoomID) -> None:
        await self._do("create_alias", lambda: self.aliases.setdefault(alias, room), alias=alias)

    async def delete_alias(self, alias: RoomAlias) -> None:
        await self._do("delete_alias", lambda: self.aliases.pop(alias, None), alias=alias)

    async def join(self, room: RoomID, *, user: UserID | None = None) -> None:
        def effect() -> None:
            where = self._room(room)
            if where.members.get(user or self.bot) not in ("invite", "join"):
                raise MatrixRequestError(403, "M_FORBIDDEN", "not invited")
            where.members[user or self.bot] = "join"

        await self._do("join", effect, room=room, user=user or self.bot)

    async def invite(self, room: RoomID, target: UserID, *, by: UserID | None = None, is_direct: bool = False) -> None:
        def effect() -> None:
            where = self._joined(room, by or self.bot)
            if where.members.get(target) == "ban":
                raise MatrixRequestError(403, "M_FORBIDDEN", f"{target} is banned")
            if where.members.get(target) != "join":
                where.members[target] = "invite"

        await self._do("invite", effect, room=room, target=target, by=by or self.bot)

    async def leave(self, room: RoomID, *, user: UserID | None = None, reason: str | None = None) -> None:
        def effect() -> None:
            self._room(room).members[user or self.bot] = "leave"

        await self._do("leave", effect, room=room, user=user or self.bot)

    async def kick(self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None) -> None:
        def effect() -> None:
            if self._room(room).members.get(target, "leave") not in ("leave", "ban"):
                self._removed(room, target, by or self.bot, "leave", needs=("kick",), reason=reason)

        await self._do("kick", effect, room=room, target=target, by=by or self.bot)

    async def ban(self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None) -> None:
        def effect() -> None:
            if self._room(room).members.get(target) != "ban":
                self._removed(room, target, by or self.bot, "ban", needs=("ban",), reason=reason)

        await self._do("ban", effect, room=room, target=target, by=by or self.bot)

    async def unban(self, room: RoomID, target: UserID, *, by: UserID | None = None) -> None:
        def effect() -> None:
            if self._room(room).members.get(target) == "ban":
                self._removed(room, target, by or self.bot, "leave", needs=("ban", "kick"), reason=None)

        await self._do("unban", effect, room=room, target=target, by=by or self.bot)

    def _removed(
        self, room: RoomID, target: UserID, by: UserID, membership: str, *, needs: tuple[str, ...], reason: str | None
    ) -> None:
        where = self._joined(room, by)
        if not where.may_remove(by, target, needs):
            raise MatrixRequestError(403, "M_FORBIDDEN", f"{by} has not the power to remove {target}")
        self.set_membership(room, by, target, membership, **({} if reason is None else {"reason": reason}))

    async def joined_members(self, room: RoomID, *, user: UserID | None = None) -> list[UserID]:
        def effect() -> list[UserID]:
            members = self._joined(room, user or self.bot).members
            return [user for user, how in members.items() if how == "join"]

        return await self._do("joined_members", effect, room=room)

    async def member_profiles(self, room: RoomID) -> dict[UserID, MemberProfile]:
        def effect() -> dict[UserID, MemberProfile]:
            members = self._joined(room, self.bot).members
            joined = [user for user, how in members.items() if how == "join"]
            return {user: MemberProfile(self.names.get(user, ""), self.avatars.get(user, "")) for user in joined}

        return await self._do("member_profiles", effect, room=room)

    # --- the port: the server and people ----------------------------------------------------------------------------
    async def capabilities(self) -> JSON:
        return await self._do("capabilities", lambda: {"capabilities": {"m.room_versions": {"default": "12"}}})

    async def register(self, localpart: str) -> UserID:
        user = UserID(f"@{localpart}:{self.server_name}")
        await self._do("register", lambda: self.users.add(user), user=user)
        return user

    async def ensure_device(self, user: UserID, device_id: str | None = None) -> str:
        return await self._do("ensure_device", lambda: device_id or "DEVICE", user=user)

    async def set_displayname(self, user: UserID | None, name: str) -> None:
        await self._do("set_displayname", lambda: self.names.update({user or self.bot: name}), user=user, name=name)

    async def set_avatar_url(self, user: UserID | None, mxc: ContentURI | Literal[""]) -> None:
        await self._do("set_avatar_url", lambda: None, user=user, mxc=mxc)

    async def upload(self, data: bytes, *, mimetype: str, filename: str | None = None) -> ContentURI:
        return await self._do("upload", lambda: ContentURI(f"mxc://{self.server_name}/{len(data)}"), data=data)

    # --- inside -----------------------------------------------------------------------------------------------------
    def _room(self, room: RoomID) -> FakeRoom:
        if room not in self.rooms:
            raise MatrixRequestError(404, "M_NOT_FOUND", "no such room")
        return self.rooms[room]

    def _joined(self, room: RoomID, user: UserID) -> FakeRoom:
        where = self._room(room)
        if where.members.get(user) != "join":
            raise MatrixRequestError(403, "M_FORBIDDEN", f"{user} is not in the room")
        return where
