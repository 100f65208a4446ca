"""The parts of the runtime, put together: the one place of it where they meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.core.lane import is_call_lane, is_copy_lane, room_of
from bridgekit.core.permissions import Level, Permissions, default_permissions
from bridgekit.model.entry import Direction, Entry, Retention
from bridgekit.model.records import LoginRecord
from bridgekit.ports import Clock, Homeserver, Store
from bridgekit.runtime.addresses import decode_call
from bridgekit.runtime.beside import Beside
from bridgekit.runtime.books import Books
from bridgekit.runtime.calls import Calls
from bridgekit.runtime.catching_up import CatchingUp, CatchUpRules
from bridgekit.runtime.chats import ChatRules, Chats
from bridgekit.runtime.commands import assembled
from bridgekit.runtime.completer import Completer
from bridgekit.runtime.copies import Copies
from bridgekit.runtime.counters import Counters, counting
from bridgekit.runtime.ephemeral import Ephemeral
from bridgekit.runtime.files import Files
from bridgekit.runtime.gaps import GapCheck
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.identity import Identity
from bridgekit.runtime.inbox import Inbox
from bridgekit.runtime.incoming import Incoming
from bridgekit.runtime.lanes import Handled, Lane, Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.logins import Logins
from bridgekit.runtime.lost import Lost
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.members import Members
from bridgekit.runtime.outgoing import Outgoing
from bridgekit.runtime.own_changes import OwnChanges
from bridgekit.runtime.permissions import Doors, Told
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.reach import Reach
from bridgekit.runtime.recovered import Recovered
from bridgekit.runtime.relay import Relay, RelaySettings
from bridgekit.runtime.retrying import Delivery, Retrying
from bridgekit.runtime.room_changes import RoomChanges
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.speakers import Speakers
from bridgekit.runtime.starting import Starting
from bridgekit.runtime.status import Status, StatusRules
from bridgekit.runtime.talk import Talk
from bridgekit.runtime.upgrades import Upgrades


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long things are kept and waited for. `drain_s`: how long a stop lets begun work go on."""

    delivery: Delivery = Delivery()
    retention: Retention = Retention(seen_ms=30 * 86_400_000, dead_ms=90 * 86_400_000)
    drain_s: float = 10.0


class Parts:
    """The parts of one bridge, and who handles what. `inbox` takes what the homeserver pushes; `ping` is MSC2659's, and
    raises `PingFailed`."""

    def __init__(
        self,
        adapter: Adapter,
        store: Store,
        homeserver: Homeserver,
        clock: Clock,
        identity: Identity,
        *,
        ping: Callable[[], Awaitable[object]],
        random: Callable[[], float],
        times: Times | None = None,
        chats: ChatRules | None = None,
        catch_up: CatchUpRules | None = None,
        direct_events: int | None = None,
        permissions: Permissions | None = None,
        relay: RelaySettings | None = None,
        status: StatusRules | None = None,
        call_notices: bool = True,
        media: MediaRules | None = None,
        connection_errors: tuple[type[BaseException], ...] = (OSError, EOFError),
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._clock = clock
        self._identity = identity
        self._times = times = times or Times()
        bot = identity.bot
        network = self._network = adapter.network
        self.lease = LeaseKeeper(store, clock)
        self._completer = Completer(store, self.lease, clock)
        self.counters = Counters()
        self._lanes = Lanes(store, self._completer, self.lease, clock, counting(self._handle, self.counters))
        self.books = Books(store, self.lease)
        self._reach = Reach(
            self.books, homeserver, self.lease, clock, identity, network=network, ping=ping, random=random
        )
        namespace = msgspec.structs.replace(identity.ghosts, identities=self.books.identities)
        self.doors = Doors(permissions or Permissions(default_permissions(identity.server_name)))
        """Who may do what."""
        self._ghosts = Ghosts(self.books, homeserver, namespace, clock)
        retrying = Retrying(clock, times.delivery, random)
        chats, catch_up = chats or ChatRules(), catch_up or CatchUpRules()
        members = Members(self.books, self._ghosts, at_most=chats.max_members)
        self.portals = Portals(
            self.books,
            homeserver,
            self._ghosts,
            members,
            clock,
            network=network,
            bot=bot,
            alias_prefix=identity.alias_prefix,
            server_name=identity.server_name,
        )
        self.talk = Talk(
            self.books,
            homeserver,
            bot=bot,
            network=network.name,
            alias_prefix=identity.alias_prefix,
            server_name=identity.server_name,
        )
        self.sessions = Sessions(
            adapter,
            self.books,
            store,
            self._lanes,
            self.lease,
            clock,
            random=random,
            connection_errors=(*connection_errors, OSError, EOFError),
            on_auth_failed=self._auth_failed,
            older_than_ms=catch_up.older_than_ms,
        )
        self.sessions.may_connect = self.doors.may_connect
        relay = relay or RelaySettings()
        told = Told(self.books)
        speakers = Speakers(homeserver, clock, avatar_template=relay.avatar_url)
        self._status = Status(homeserver, bot, self.books, clock, status or StatusRules(), network=network.id)
        voices = Relay(
            self.books,
            self.sessions,
            self.doors,
            told,
            speakers,
            clock,
            relay,
            network=network.name,
        )
        self.logins = Logins(adapter, self.books, self.sessions, self.talk)
        self.starting = Starting(
            self.books,
            homeserver,
            self.portals,
            self._ghosts,
            self.sessions,
            retrying,
            network,
            bot=bot,
            may_start=lambda user: self.doors.may(user, Level.USER),
            connection_errors=(*connection_errors, OSError, EOFError),
        )
        commands, portal_commands = assembled(
            books=self.books,
            homeserver=homeserver,
            journal=store,
            lanes=self._lanes,
            lease=self.lease,
            clock=clock,
            logins=self.logins,
            sessions=self.sessions,
            doors=self.doors,
            told=told,
            relay=voices,
            talk=self.talk,
            retrying=retrying,
            network=network,
            prefix=relay.command_prefix or f"!{network.id}",
            more=self.starting.commands(),
        )
        self.inbox = Inbox(
            store,
            self._lanes,
            self.lease,
            clock,
            bot=bot,
            is_ours=lambda user: user == bot or namespace.is_ghost(user),
            direct_events=direct_events,
        )
        self.gaps = GapCheck(
            self.books,
            store,
            homeserver,
            self._lanes,
            self.lease,
            clock,
            entry=self.inbox.entry,
            settled=self.inbox.intake.settled,
            append=self.inbox.take,
            is_ours=self.inbox.is_ours,
            random=random,
        )
        self._copies = Copies(
            self.sessions.addresses, self.books, store, self._lanes, self.lease, self.portals, retrying
        )
        self.catching_up = CatchingUp(self.books, store, homeserver, self.sessions, catch_up, bot=bot)
        own_changes = OwnChanges(self.books, clock)
        lost = Lost(self.books, homeserver, self._ghosts, bot=bot, server_name=identity.server_name)
        upgrades = Upgrades(self.books, homeserver, self.portals, self._ghosts, bot=bot)
        connection_errors = (*connection_errors, OSError, EOFError)
        posting = Posting(homeserver, self._ghosts, store, self.lease, retrying, bot=bot)
        self.files = Files(
            self.books,
            store,
            self.lease,
            homeserver,
            self.sessions,
            self._ghosts,
            posting,
            retrying,
            self._status,
            voices,
            self._lanes,
            self.counters,
            media or MediaRules(),
            event=self.inbox.event,
            connection_errors=connection_errors,
        )
        """Files, both ways."""
        self._incoming = Incoming(
            self.books,
            store,
            self.lease,
            homeserver,
            self.portals,
            self._ghosts,
            self.sessions,
            self._lanes,
            retrying,
            Chats(self.books, self.portals, members, chats, clock),
            self.catching_up,
            own_changes,
            self._status,
            lost,
            upgrades,
            posting,
            self.files.incoming,
            bot=bot,
            network=network.name,
            server_name=identity.server_name,
        )
        self._outgoing = Outgoing(
            self.books,
            homeserver,
            store,
            self.lease,
            self.portals,
            self._ghosts,
            self.sessions,
            self._lanes,
            retrying,
            self._status,
            voices,
            speakers,
            own_changes,
            RoomChanges(lost, upgrades, self.portals, leave_with_room=chats.leave_with_room),
            upgrades,
            self.files.outgoing,
            command=portal_commands,
            event=self.inbox.event,
            elsewhere=self.starting.before(commands),
            checked=self.gaps.until_checked,
            connection_errors=(*connection_errors, OSError, EOFError),
        )
        self.calls = Calls(
            self.books,
            homeserver,
            self._ghosts,
            self.portals,
            self.sessions,
            retrying,
            clock,
            self.lease,
            bot=bot,
            event=self.inbox.event,
            connection_errors=(*connection_errors, OSError, EOFError),
            notices=call_notices,
            gateway=adapter.media_gateway,
        )
        self.inbox.on_member = self.calls.member
        self.logins.on_logout = self.calls.logging_out
        self.inbox.counters = self.sessions.counters = self.counters
        self.starting.on_adopted = self.gaps.want
        upgrades.on_moved += [self.gaps.want, self.calls.room_replaced]
        self.inbox.on_activity = self.gaps.note_activity
        self.inbox.on_transaction = self.gaps.note_transaction
        self.inbox.on_own_event = self._reach.own_event
        self._ephemeral = Ephemeral(self.books, homeserver, self.sessions, self._lanes, clock)
        self.inbox.on_ephemeral = self._ephemeral.pushed
        self.sessions.on_stored = self._ephemeral.yielded
        # What the network said waits for the homeserver alone; nobody should wait for the rest of a backoff.
        self._recovered = Recovered(clock, lambda: self._lanes.retry_now(lambda key: room_of(key) is None))
        homeserver.on_recovered += [self.gaps.want_all, self._recovered]
        self._beside = Beside(store, self._lanes, self.lease)
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = asyncio.Event()
        """Set once the homeserver has answered the start-up ping."""

    # --- handling -------------------------------------------------------------------------------------------------
    async def _handle(self, entry: Entry, lane: Lane) -> Handled:
        if is_call_lane(lane.key):
            event = decode_call(entry.payload) if entry.direction is Direction.REMOTE else None
            return await self.calls.handle(entry, event, behind=tuple(lane.buffer)[1:])
        if room_of(lane.key) is not None:
            return await self._outgoing.handle(entry, lane)
        if is_copy_lane(lane.key):
            return await self._copies.handle(entry, lane)
        return await self._incoming.handle(entry, lane)

    async def _auth_failed(self, record: LoginRecord, reason: str) -> None:
        await self.calls.logged_out(record.login.id)
        name = record.login.name or record.login.id
        text = (
            f'{name}: the login is no longer valid ({reason or "the network refused it"}). Say "login" to log in again.'
        )
        await self.talk.tell(record.user_id, text, about=f"auth failed {record.login.id} {self._clock.now()}")
