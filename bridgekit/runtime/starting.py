"""Conversations that begin on Matrix: ``pm`` in a management room, and invitations of ghosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from bridgekit.adapter.base import Network, Session
from bridgekit.adapter.capabilities import CanResolve, capability
from bridgekit.core.fresh import is_for_two, is_unused
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.rooms import known_room
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import reply_txn_id
from bridgekit.errors import AdapterError, HomeserverUnreachable, LeaseLost, MatrixRequestError, StoreError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Ghost, LoginRecord, Portal
from bridgekit.model.remote import RemoteChat
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.said import Command, Said
from bridgekit.runtime.ghosts import ASK_S, Ghosts
from bridgekit.runtime.lane import Handled
from bridgekit.runtime.lanes import is_being_cancelled
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

V = TypeVar("V")

Handler = Callable[[Entry, RawEvent], Awaitable[Handled]]

POWER: Final = 100

NOT_FOR_TWO = "I can talk with you in a direct chat only, where nobody else is. Start a new one and invite me there."
USED = "Something was said here before I was invited. Start a new direct chat and invite me there."
MANAGEMENT = "Here you talk with the bridge's bot. Start a new direct chat and invite me there."
NO_BOT = (
    "The bridge's bot cannot be invited here, and without it this room cannot be bridged. Your chat is here: {link}"
)
ENCRYPTED = "This bridge cannot read encrypted messages, and this room is encrypted. Your chat is here: {link}"
ELSEWHERE = "You have a room for this chat already: {link}"


class _Refused(Exception):
    """It cannot be done; the reason is for the person."""


class _Content(msgspec.Struct):
    membership: str = ""


class _Event(msgspec.Struct):
    content: _Content = msgspec.field(default_factory=_Content)


_decode = msgspec.json.Decoder(_Event).decode


class Starting:
    """Begins conversations. Every method may be repeated after a crash: the network gives the same chat for the same
    person, and a chat has one portal.

    `may_start`: whether a Matrix user may use the bridge with an own account.
    """

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        portals: Portals,
        ghosts: Ghosts,
        sessions: Sessions,
        retrying: Retrying,
        network: Network,
        *,
        bot: UserID,
        may_start: Callable[[UserID], bool],
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._portals = portals
        self._ghosts = ghosts
        self._sessions = sessions
        self._retrying = retrying
        self._network = network
        self._bot = bot
        self._may_start = may_start
        self._silence: tuple[type[BaseException], ...] = (*connection_errors, TimeoutError)
        # By what was asked for, so long as it is to be tried again: portals whose room may be in the making.
        self._begun: dict[tuple[UserID, str], PortalKey] = {}
        self.on_adopted: Callable[[Portal], None] = lambda portal: None

    def commands(self) -> Sequence[Command]:
        """Those that begin conversations, for the table."""
        return (Command(usage="pm NAME", help="write to somebody, by name, number or id", run=self._said_pm),)

    async def _said_pm(self, said: Said) -> str:
        return await self.pm(said.user, " ".join(said.words))

    # --- pm ---------------------------------------------------------------------------------------------------------
    async def pm(self, user: UserID, identifier: str) -> str:
        """Open the direct chat with whoever `identifier` means; what to answer. Raises `HomeserverError`, `WaitFor`,
        `StoreError`."""
        if not identifier:
            return 'Whom do you want to write to? Say "pm" and the name or number.'
        wish = (user, identifier)
        try:
            record, session, resolver = self._account(user)
            profile = await self._ask(resolver.resolve(identifier))
            if profile is None:
                raise _Refused(f"Nobody at {self._network.name} is known by that name.")
            chat = await self._ask(resolver.open_chat(profile.user))
        except _Refused as refused:
            self._gave_up(wish)
            return str(refused)
        portal = await self._open(wish, chat, record, session)
        name = profile.name or profile.user
        return f"Your chat with {name}: {link_to(known_room(portal.room), self._bot)}"

    def _account(self, user: UserID) -> tuple[LoginRecord, Session, CanResolve]:
        """The person's account to begin a chat with: the first that is connected and can. Raises `_Refused`."""
        records = self._books.logins(user)
        if not records:
            raise _Refused(f'You are not logged in to {self._network.name}. Say "login" to {self._bot}.')
        connected = [(record, self._sessions.session(record.login.id)) for record in records]
        for record, session in connected:
            if session is not None and (resolver := capability(session, CanResolve)) is not None:
                return record, session, resolver
        if any(session is not None for _, session in connected):
            raise _Refused(f"A chat cannot be begun from here; begin it at {self._network.name}, and it comes here.")
        raise _Refused(f"There is no connection to {self._network.name} now. Try again later.")

    async def _ask(self, question: Awaitable[V]) -> V:
        """The adapter's answer. Raises `_Refused` with what its failure means."""
        try:
            async with asyncio.timeout(ASK_S):
                return await question
        except AdapterError as error:
            raise _Refused(f"That did not work: {error.reason or 'the network refused it'}.") from error
        except self._silence as error:
            raise _Refused(f"{self._network.name} does not answer. Try again later.") from error
        except (LeaseLost, StoreError):
            raise
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            raise _Refused(f"{self._network.name} does not answer. Try again later.") from None
        except Exception as error:
            log.exception("the adapter failed to begin a chat")
            raise _Refused("Internal error in the bridge; the admin can see it in the log.") from error

    async def _open(self, wish: tuple[UserID, str], chat: RemoteChat, record: LoginRecord, session: Session) -> Portal:
        self._begun[wish] = chat.portal
        portal = await self._portals.ensure(chat.portal, record, session, chat=chat)
        await self._portals.invitations.invite_again(portal, record)
        del self._begun[wish]
        return portal

    def _gave_up(self, wish: tuple[UserID, str]) -> None:
        """This will not be tried again: if an earlier try has left a room in the making, nobody must wait for it."""
        key = self._begun.pop(wish, None)
        if key is not None:
            self._portals.gave_up(key)

    # --- invitations of ghosts --------------------------------------------------------------------------------------
    def before(self, others: Handler) -> Handler:
        """A handler for what happens in rooms that are no portals: invitations of ghosts here, the rest by `others`."""

        async def handle(entry: Entry, event: RawEvent) -> Handled:
            if not self._concerns_us(event):
                return Handled()
            handled = await self.invited(entry, event)
            return handled if handled is not None else await others(entry, event)

        return handle

    def _concerns_us(self, event: RawEvent) -> bool:
        """Outside of portals it matters what people write, and what becomes of our own users; nothing else of a room is
        the bridge's business."""
        if event.state_key is None:
            return event.type != "m.reaction"
        target = UserID(event.state_key)
        return event.type == "m.room.member" and (target == self._bot or self._ghosts.namespace.is_ghost(target))

    async def invited(self, entry: Entry, event: RawEvent) -> Handled | None:
        """Follow an invitation of a ghost; None if the event is none. Raises `RetryLater`, `WaitFor`, `StoreError`."""
        if event.type != "m.room.member" or not event.state_key or event.state_key == self._bot:
            return None
        try:
            if _decode(event.raw).content.membership != "invite":
                return Handled()
        except msgspec.DecodeError:
            return Handled()
        try:
            await self._follow(event, UserID(event.state_key))
        except (HomeserverUnreachable, MatrixRequestError) as error:
            self._retrying.homeserver_failed(entry, error)
            self._gave_up(_wish(event))
            # No dead letter: nobody wants an invitation to be followed days later.
            log.warning("an invitation could not be followed: %s", error, extra={"room_id": event.room_id})
        return Handled()

    async def _follow(self, event: RawEvent, user: UserID) -> None:
        room = RoomID(event.room_id)
        person = await self._ghosts.person(user)
        if person is None or not self._may_start(event.sender):
            await self._quietly(self._homeserver.leave(room, user=user))
            return
        session = next((s for r in self._books.logins(event.sender) if (s := self._sessions.session(r.login.id))), None)
        ghost = await self._ghosts.ensure(person, describer_of(session))
        if not await self._quietly(self._homeserver.join(room, user=ghost.user_id)):
            return  # taken back, or this was done before
        had_bot = self._bot in await self._homeserver.joined_members(room, user=ghost.user_id)
        try:
            await self._begin(event, room, person, ghost)
        except _Refused as refused:
            self._gave_up(_wish(event))
            key = reply_txn_id(event.event_id, 0)
            await self._homeserver.send_event(
                room,
                "m.room.message",
                notice_content(str(refused), key),
                txn_id=key,
                user=ghost.user_id,
                device_id=ghost.device_id,
            )
            if not had_bot:
                await self._quietly(self._homeserver.leave(room))
            await self._homeserver.leave(room, user=ghost.user_id)

    async def _begin(self, event: RawEvent, room: RoomID, person: RemoteUserID, ghost: Ghost) -> None:
        """Make the room the portal of the direct chat with this person. Raises `_Refused`."""
        members = await self._homeserver.joined_members(room, user=ghost.user_id)
        if not is_for_two(members, inviter=event.sender, ghost=ghost.user_id, bot=self._bot):
            raise _Refused(NOT_FOR_TWO)
        if await self._books.directory.management_user(room) is not None:
            raise _Refused(MANAGEMENT)
        record, session, resolver = self._account(event.sender)
        if await self._homeserver.get_state(room, "m.room.encryption", user=ghost.user_id) is not None:
            raise _Refused(ENCRYPTED.format(link=await self._elsewhere(event, person, record, session, resolver)))
        if not await self._bring_bot(room, ghost):
            raise _Refused(NO_BOT.format(link=await self._elsewhere(event, person, record, session, resolver)))
        if not is_unused((await self._homeserver.messages(room)).chunk, invitation=event.event_id):
            raise _Refused(USED)
        chat = await self._ask(resolver.open_chat(person))
        if not await self._portals.adopt(chat.portal, room, record):
            portal = await self._open(_wish(event), chat, record, session)
            raise _Refused(ELSEWHERE.format(link=link_to(known_room(portal.room), self._bot)))
        # What was said here before the ghost came in was pushed to nobody.
        self.on_adopted(await self._portals.ensure(chat.portal, record, session, chat=chat))

    async def _elsewhere(
        self, event: RawEvent, person: RemoteUserID, record: LoginRecord, session: Session, resolver: CanResolve
    ) -> str:
        portal = await self._open(_wish(event), await self._ask(resolver.open_chat(person)), record, session)
        return link_to(known_room(portal.room), self._bot)

    async def _bring_bot(self, room: RoomID, ghost: Ghost) -> bool:
        """The bot is in the room, with power if the ghost has it to give: clients begin direct chats so. Whether it is;
        without power the network's name for the chat cannot be shown, which in a chat of two is no loss."""
        await self._quietly(self._homeserver.invite(room, self._bot, by=ghost.user_id))
        if not await self._quietly(self._homeserver.join(room)):
            return False
        levels = await self._homeserver.get_state(room, "m.room.power_levels", user=ghost.user_id) or {}
        users = levels.get("users")
        if isinstance(users, dict) and users.get(self._bot) != POWER:
            levels = {**levels, "users": {**users, self._bot: POWER}}
            await self._quietly(
                self._homeserver.send_state(room, "m.room.power_levels", "", levels, user=ghost.user_id)
            )
        return True

    async def _quietly(self, request: Awaitable[object]) -> bool:
        """Whether the homeserver did not refuse it for good. Raises `HomeserverError` for what may be tried again."""
        try:
            await request
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.info("the homeserver refuses: %s", error)
            return False
        return True


def _wish(event: RawEvent) -> tuple[UserID, str]:
    return event.sender, event.event_id


def link_to(room: RoomID, user: UserID) -> str:
    """A link to a room that clients open; `user` is of a server that is in it."""
    return f"https://matrix.to/#/{quote(room, safe='!:')}?via={quote(user.partition(':')[2], safe=':')}"
