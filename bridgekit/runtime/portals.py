"""Portals: one room per remote chat, made once, whatever crashes in between."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

import msgspec

from bridgekit.adapter.base import Network, Session
from bridgekit.adapter.capabilities import CanDescribe, capability
from bridgekit.core.namespace import portal_alias_localpart
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.rooms import JSON, RoomShape, bridge_state, create_body, is_wanted, known_room, wanted_state
from bridgekit.errors import HomeserverError, MatrixRequestError, StoreError
from bridgekit.model.ids import PortalKey, RoomAlias, RoomID, UserID
from bridgekit.model.records import Fact, LoginRecord, Portal, PortalLoginSaved, PortalSaved, PortalState
from bridgekit.model.remote import ChatKind, RemoteChat
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.features import Features
from bridgekit.runtime.ghosts import Ghosts, SingleFlight, ask_network
from bridgekit.runtime.invitations import Invitations
from bridgekit.runtime.lane import WaitFor
from bridgekit.runtime.members import Members
from bridgekit.runtime.roles import Roles
from bridgekit.runtime.told_looks import ToldLooks

log = logging.getLogger(__name__)

ABANDON_AFTER_S = 30.0
"""How long a room that nobody can enter may still be in the making: as long as we wait for any answer."""

LOOK_AGAIN_S = 2.0

MAX_NAME = 250
MAX_TOPIC = 4_000
"""Characters; the homeserver refuses an event over 64 KiB, and a room must not fail by what it is called."""


def describer_of(session: Session | None) -> CanDescribe | None:
    """The session, if it can describe chats and people."""
    return capability(session, CanDescribe)


class Portals:
    """Makes and keeps portals. Every method may be repeated after a crash.

    The order that makes that safe: the portal's row is on disk before createRoom is called; the room is made under an
    alias in our own namespace that only we can compute, so a second attempt finds the first one's room.
    """

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        ghosts: Ghosts,
        members: Members,
        clock: Clock,
        *,
        network: Network,
        bot: UserID,
        alias_prefix: str,
        server_name: str,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._members = members
        self.roles = Roles(books, homeserver, ghosts.namespace.user_id, ghosts.namespace.is_ghost, bot=bot)
        self._features = Features(books, homeserver, network_id=network.id)
        self._clock = clock
        self._network = network
        self._bot = bot
        self._alias_prefix = alias_prefix
        self._server_name = server_name
        self.told = ToldLooks()
        self.invitations = Invitations(books, homeserver)
        self._flight = SingleFlight()
        self._room_version: str | None = None
        self._being_made: set[PortalKey] = set()
        self._unusable_since: dict[RoomID, float] = {}
        self._made = asyncio.Event()

    # --- rooms that are being made --------------------------------------------------------------------------------
    def next_made(self) -> Callable[[], Awaitable[object]] | None:
        """What to wait for until one more of the rooms that are being made is known, or has failed for good; None if
        none is. An event from an unknown room may belong to one of them. Between two tries a room is being made, too:
        it may be there, and only the answer was lost."""
        return self._made.wait if self._being_made else None

    def gave_up(self, key: PortalKey) -> None:
        """Nobody tries any more to make this portal's room."""
        if key in self._being_made:
            self._made_or_not(key)

    def _made_or_not(self, key: PortalKey) -> None:
        self._being_made.discard(key)
        self._made.set()
        self._made = asyncio.Event()

    async def finish_begun(self, will_be_made: Callable[[PortalKey], bool]) -> None:
        """After a crash: learn the rooms of portals whose createRoom may have been answered to nobody.

        Only their rooms are looked up here; the rest is done when the portal is next used. `will_be_made`: whether
        there is something left to do in a portal that makes its room. A createRoom goes on in the homeserver when its
        caller has been killed, so a room that is not there yet may still appear, and its people may speak at once.
        """
        after: PortalKey | None = None
        while page := await self._books.directory.portals(after=after):
            after = page[-1].key
            for portal in page:
                if portal.room is not None:
                    continue
                if room := await self._homeserver.resolve_alias(self._alias(portal)):
                    await self._books.save(PortalSaved(msgspec.structs.replace(portal, room=room)))
                elif will_be_made(portal.key):
                    self._being_made.add(portal.key)

    # --- making ---------------------------------------------------------------------------------------------------
    async def ensure(
        self, key: PortalKey, record: LoginRecord, session: Session | None, *, chat: RemoteChat | None = None
    ) -> Portal:
        """The portal, its room ready, and the login's person invited. Raises `HomeserverError`, `WaitFor`."""
        portal = await self._books.portal(key)
        if portal is None or portal.state is not PortalState.READY:
            portal = await self._flight.run(key, lambda: self._make(key, record, session, chat))
        await self.invitations.let_in(portal, record)
        await self._features.show(key, known_room(portal.room), session)
        return portal

    async def adopt(self, key: PortalKey, room: RoomID, record: LoginRecord) -> bool:
        """Take a room that a person made, and that the bot is in, for the portal's; `ensure` finishes it. False if the
        portal has another. Raises `StoreError`."""
        return await self._flight.run(key, lambda: self._adopt(key, room, record))

    async def _adopt(self, key: PortalKey, room: RoomID, record: LoginRecord) -> bool:
        portal = await self._books.portal(key)
        if portal is not None:
            return portal.room == room
        alias = portal_alias_localpart(self._alias_prefix, self._books.secret, key)
        portal = Portal(key=key, state=PortalState.CREATING, alias_localpart=alias, room=room)
        # In one: from then on what is said in the room has somewhere to go.
        await self._books.save(PortalSaved(portal), PortalLoginSaved(key, record.login.id))
        return True

    async def _make(
        self, key: PortalKey, record: LoginRecord, session: Session | None, chat: RemoteChat | None
    ) -> Portal:
        portal = await self._books.portal(key)
        if portal is not None and portal.state is PortalState.READY:
            return portal
        if portal is None:
            alias = portal_alias_localpart(self._alias_prefix, self._books.secret, key)
            portal = Portal(key=key, state=PortalState.CREATING, alias_localpart=alias)
        chat = await self.describe(key, session, chat)
        portal = await self._with_looks(portal, chat, session)
        # On disk before the call: if we crash in it, the next process knows that there may be a room.
        await self._books.save(PortalSaved(portal))
        self._being_made.add(key)
        try:
            portal = await self._make_room(portal, record)
        except WaitFor:
            raise
        except (HomeserverError, StoreError) as error:
            if isinstance(error, MatrixRequestError) and isinstance(judge_homeserver(error), End):
                self._made_or_not(key)
            raise
        except BaseException:
            self._made_or_not(key)
            raise
        self._made_or_not(key)
        if chat is not None and chat.members is not None:
            await self._members.bring_in(known_room(portal.room), chat.members, describer_of(session))
        if chat is not None and chat.roles is not None:
            await self.roles.follow(key, known_room(portal.room), chat.roles, anew=True)
        portal = msgspec.structs.replace(portal, state=PortalState.READY)
        await self._books.save(PortalSaved(portal))
        return portal

    async def describe(self, key: PortalKey, session: Session | None, chat: RemoteChat | None) -> RemoteChat | None:
        """What is known of a chat, with what the network answers where it can be asked and `chat` says too little."""
        describer = describer_of(session)
        if describer is None or (chat is not None and chat.name is not None and chat.members is not None):
            return chat
        return await ask_network(describer.describe_chat(key), "a chat") or chat

    async def _with_looks(self, portal: Portal, chat: RemoteChat | None, session: Session | None) -> Portal:
        if chat is None:
            return portal
        changes: dict[str, object] = {"dm": chat.kind is ChatKind.DIRECT}
        if chat.name is not None:
            changes["name"] = chat.name[:MAX_NAME]
        if chat.topic is not None:
            changes["topic"] = chat.topic[:MAX_TOPIC]
        if chat.avatar is not None and chat.avatar.id != portal.avatar:
            mxc = await self._ghosts.picture(chat.avatar, describer_of(session))
            if mxc is not None:
                changes |= {"avatar": chat.avatar.id, "avatar_mxc": mxc or None}
        return msgspec.structs.replace(portal, **changes)

    async def _make_room(self, portal: Portal, record: LoginRecord) -> Portal:
        # The login is stored before its person is invited: an answer may be pushed before createRoom returns.
        await self._books.save(PortalLoginSaved(portal.key, record.login.id))
        shape = await self._shape(portal)
        room = portal.room
        if room is not None and not await self._usable(room):
            await self._abandon(room, self._alias(portal))
            room = None
        if room is None:
            room = await self._create(portal, shape, record)
            points.reach(points.ROOM_CREATED)
        portal = msgspec.structs.replace(portal, room=room)
        await self._books.save(PortalSaved(portal))
        await self._finish(shape, room, record)
        return portal

    async def _create(self, portal: Portal, shape: RoomShape, record: LoginRecord) -> RoomID:
        body = create_body(shape, portal.alias_localpart, [record.user_id])
        points.reach(points.ROOM_BEFORE)
        try:
            return await self._homeserver.create_room(**body)
        except MatrixRequestError as error:
            # 409: another createRoom of ours, whose caller is gone, took the alias while this one was at work.
            if error.errcode != "M_ROOM_IN_USE" and error.status != 409:
                raise
        alias = self._alias(portal)
        room = await self._homeserver.resolve_alias(alias)
        if room is not None and await self._usable(room):
            log.info("finishing a room that an earlier attempt began", extra={"room_id": room})
            return room
        if room is not None:
            await self._abandon(room, alias)
        return await self._homeserver.create_room(**body)

    async def _abandon(self, room: RoomID, alias: RoomAlias) -> None:
        """Free the alias of a room that nobody can enter: a crash of the homeserver can leave that.

        But so does a createRoom that is still at work there, though its caller was killed or did not wait for it: the
        bot is not in the room yet. Taken for dead too early, it would invite people to a room that we do not know.
        Raises `WaitFor` until it has had time to end.
        """
        now = self._clock.monotonic()
        if now - self._unusable_since.setdefault(room, now) < ABANDON_AFTER_S:
            raise WaitFor(functools.partial(self._clock.sleep, LOOK_AGAIN_S))
        del self._unusable_since[room]
        log.warning("an alias names a room that cannot be used; making a new one", extra={"room_id": room})
        await self._homeserver.delete_alias(alias)

    async def _usable(self, room: RoomID) -> bool:
        """Whether the bot is, or can get, in the room."""
        try:
            await self._homeserver.join(room)
        except MatrixRequestError as error:
            if error.status in (403, 404) or (error.status == 400 and error.errcode in ("M_UNKNOWN", "M_BAD_STATE")):
                return False
            raise
        return True

    async def _finish(self, shape: RoomShape, room: RoomID, record: LoginRecord) -> None:
        for type, state_key, content in wanted_state(shape):
            if not is_wanted(await self._homeserver.get_state(room, type, state_key), content):
                await self._set_state(room, type, state_key, content)
        await self.invitations.invite(room, record, dm=shape.dm)

    async def furnish(self, portal: Portal) -> None:
        """The portal's room says what it is. Raises `HomeserverError`."""
        room = known_room(portal.room)
        for type, state_key, content in wanted_state(await self._shape(portal)):
            if not is_wanted(await self._homeserver.get_state(room, type, state_key), content):
                await self._set_state(room, type, state_key, content)

    async def move_alias(self, portal: Portal) -> None:
        """The portal's alias names its room, not one before. Raises `HomeserverError`."""
        alias, room = self._alias(portal), known_room(portal.room)
        named = await self._homeserver.resolve_alias(alias)
        if named == room:
            return
        if named is not None:
            await self._homeserver.delete_alias(alias)
        await self._homeserver.create_alias(alias, room)

    async def change(
        self, key: PortalKey, *facts: Fact, unless: Callable[[Portal], bool] | None = None, **changes: object
    ) -> Portal | None:
        """Write down what else is known of a portal, together with `facts`; None if it is no more, or `unless` is true
        of it. Raises `StoreError`."""
        return await self._flight.run(key, lambda: self._change(key, facts, changes, unless))

    async def _change(
        self,
        key: PortalKey,
        facts: tuple[Fact, ...],
        changes: dict[str, object],
        unless: Callable[[Portal], bool] | None,
    ) -> Portal | None:
        portal = await self._books.portal(key)
        if portal is None or (unless is not None and unless(portal)):
            return None
        portal = msgspec.structs.replace(portal, **changes)
        await self._books.save(PortalSaved(portal), *facts)
        return portal

    async def now_says(self, key: PortalKey, *, unless: Callable[[Portal], bool], **changes: object) -> None:
        """The network was told of a change of the room's, and says so now; not if `unless` is true of what is known by
        then. The bridge state says it, too. Raises `HomeserverError`, `StoreError`."""
        await self._flight.run(key, lambda: self._now_says(key, unless, changes))

    async def _now_says(self, key: PortalKey, unless: Callable[[Portal], bool], changes: dict[str, object]) -> None:
        portal = await self._books.portal(key)
        if portal is None or portal.room is None or unless(portal):
            return
        portal = msgspec.structs.replace(portal, **changes)
        await self._books.save(PortalSaved(portal))
        await self.show_which(portal)

    async def show_which(self, portal: Portal) -> None:
        """The room says which chat it is, by the name and picture that the chat has. Raises `HomeserverError`."""
        room = known_room(portal.room)
        for type, state_key, content in bridge_state(await self._shape(portal)):
            if not is_wanted(await self._homeserver.get_state(room, type, state_key), content):
                await self._set_state(room, type, state_key, content)

    # --- keeping --------------------------------------------------------------------------------------------------
    async def update(self, chat: RemoteChat, record: LoginRecord, session: Session | None) -> Portal:
        """The chat looks like this now: name, topic, picture, members. Raises `HomeserverError`."""
        portal = await self.ensure(chat.portal, record, session, chat=chat)
        return await self._flight.run(chat.portal, lambda: self._update(portal.key, chat, session))

    async def _update(self, key: PortalKey, chat: RemoteChat, session: Session | None) -> Portal:
        before = await self._books.portal(key)
        assert before is not None
        portal = await self._with_looks(before, chat, session)
        room = known_room(portal.room)
        if portal != before:
            old = {(t, k): c for t, k, c in wanted_state(await self._shape(before))}
            new = [each for each in wanted_state(await self._shape(portal)) if old.get(each[:2]) != each[2]]
            if before.topic and not portal.topic:
                new.append(("m.room.topic", "", {"topic": ""}))
            if before.name and not portal.name:
                new.append(("m.room.name", "", {"name": ""}))
            if before.avatar_mxc and not portal.avatar_mxc:
                new.append(("m.room.avatar", "", {}))
            for type, state_key, content in new:
                if not self.told.is_told(key, type, content):
                    await self._set_state(room, type, state_key, content)
            await self._books.save(PortalSaved(portal))
        if chat.members is not None:
            await self._members.follow(room, chat.members, describer_of(session))
        if chat.roles is not None:
            await self.roles.follow(key, room, chat.roles)
        return portal

    async def _set_state(self, room: RoomID, type: str, state_key: str, content: JSON) -> None:
        try:
            await self._homeserver.send_state(room, type, state_key, content)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # In a room that a person made the bridge may not be allowed to; what a room is called costs no message.
            log.warning("a room's %s could not be set: %s", type, error, extra={"room_id": room})

    async def _shape(self, portal: Portal) -> RoomShape:
        if self._room_version is None:
            # createRoom takes the server's default, and which that is decides whether the creator may be named in the
            # power levels.
            versions = (await self._homeserver.capabilities()).get("capabilities", {}).get("m.room_versions", {})
            self._room_version = str(versions.get("default", ""))
        network = self._network
        return RoomShape(
            key=portal.key,
            bot=self._bot,
            network_id=network.id,
            network_name=network.name,
            network_url=network.url,
            network_icon=network.icon,
            name=portal.name,
            topic=portal.topic,
            avatar_mxc=portal.avatar_mxc,
            dm=portal.dm,
            room_version=self._room_version,
        )

    def _alias(self, portal: Portal) -> RoomAlias:
        return RoomAlias(f"#{portal.alias_localpart}:{self._server_name}")
