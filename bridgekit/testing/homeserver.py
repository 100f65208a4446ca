"""A homeserver in memory, as far as the runtime needs one, that fails on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import ContentURI, EventID, RoomAlias, RoomID, TxnID, UserID
from bridgekit.model.raw import MemberProfile, MessagesPage, RawEvent
from bridgekit.ports import Clock
from bridgekit.testing.clock import ManualClock
from bridgekit.testing.media import FakeMedia
from bridgekit.testing.rooms import JSON, FakeRoom, People, bundled, raw

__all__ = ["FakeHomeserver", "FakeRoom", "raw"]


class FakeHomeserver(People, FakeMedia):
    """`bridgekit.ports.Homeserver`, and what the tests see of it.

    Transaction ids are unique over the whole application service and remembered until `forget_transactions`. Every
    event goes to `outbox`, from where a harness pushes it to the bridge; `lose_outbox` is a restart that forgets them.
    """

    def __init__(
        self,
        bot: UserID,
        *,
        server_name: str = "test",
        yields: Callable[[], int] = lambda: 0,
        clock: Clock | None = None,
    ) -> None:
        People.__init__(self, bot)
        FakeMedia.__init__(self, server_name, yields, clock or ManualClock())
        self.aliases: dict[RoomAlias, RoomID] = {}
        self.names: dict[UserID, str] = {}
        self.avatars: dict[UserID, str] = {}
        self.redacted: list[EventID] = []
        self.typing: dict[tuple[RoomID, UserID], int] = {}
        """Who of ours is writing where, and for how many ms that was said."""
        self.receipts: dict[tuple[RoomID, UserID], EventID] = {}
        """Up to where each of ours has read."""
        self._transactions: dict[str, EventID] = {}

    def forget_transactions(self) -> None:
        """As a homeserver does after a day."""
        self._transactions.clear()

    def lose_outbox(self) -> None:
        """A restart: what was to be pushed is forgotten."""
        self.outbox.clear()

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
                if timestamp is not None and not 0 <= timestamp < 2**53:
                    raise MatrixRequestError(400, "M_BAD_JSON", "JSON integer out of range")
                more = {} if timestamp is None else {"origin_server_ts": timestamp}
                self._transactions[txn_id] = self._event(where, user or self.bot, type, dict(content), **more)
            return self._transactions[txn_id]

        return await self._do("send_event", effect, room=room, type=type, content=content, user=user or self.bot)

    async def send_state(
        self, room: RoomID, type: str, state_key: str, content: Mapping[str, Any], *, user: UserID | None = None
    ) -> EventID:
        def effect() -> EventID:
            where = self._joined(room, user or self.bot)
            if not where.may_set(user or self.bot, type):
                raise MatrixRequestError(403, "M_FORBIDDEN", f"{user or self.bot} has not the power to set {type}")
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
            where = self._joined(room, user or self.bot)
            if not where.redact(event_id, user or self.bot):
                raise MatrixRequestError(403, "M_FORBIDDEN", f"{user or self.bot} has not the power to redact it")
            self.redacted.append(event_id)
            if txn_id not in self._transactions:
                content = {"redacts": event_id} | ({} if reason is None else {"reason": reason})
                more = {"redacts": event_id}
                redaction = self._event(where, user or self.bot, "m.room.redaction", content, **more)
                self._transactions[txn_id] = redaction
            return self._transactions[txn_id]

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
        def effect() -> None:
            if self.aliases.setdefault(alias, room) != room:
                raise MatrixRequestError(409, "M_UNKNOWN", "the alias names another room")

        await self._do("create_alias", effect, alias=alias)

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
        await self._do("set_avatar_url", lambda: self.avatars.update({user or self.bot: mxc}), user=user, mxc=mxc)

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
