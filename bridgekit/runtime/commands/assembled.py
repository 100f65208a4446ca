"""All commands, put together: the handler for rooms of one's own with the bot, and the one for portals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridgekit.adapter.base import Network
from bridgekit.model.entry import Entry
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal
from bridgekit.ports import Clock, Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.commands.admin import AdminCommands
from bridgekit.runtime.commands.people import PeopleCommands
from bridgekit.runtime.commands.portal import PortalCommands
from bridgekit.runtime.commands.relays import RelayCommands
from bridgekit.runtime.commands.rooms import Commands
from bridgekit.runtime.commands.said import Command, Table
from bridgekit.runtime.lanes import Handled, Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.logins import Logins
from bridgekit.runtime.permissions import Doors, Told
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.talk import Talk


def assembled(
    *,
    books: Books,
    homeserver: Homeserver,
    journal: Journal,
    lanes: Lanes,
    lease: LeaseKeeper,
    clock: Clock,
    logins: Logins,
    sessions: Sessions,
    doors: Doors,
    told: Told,
    relay: Relay,
    talk: Talk,
    retrying: Retrying,
    network: Network,
    prefix: str,
    more: Sequence[Command],
) -> tuple[
    Callable[[Entry, RawEvent], Awaitable[Handled]],
    Callable[[Entry, RawEvent, Portal], Awaitable[bool]],
]:
    """The two handlers. `prefix`: of commands in portals. `more`: further commands for rooms with the bot."""
    people = PeopleCommands(books, logins, sessions, doors, journal, network)
    admin = AdminCommands(books, journal, lanes, lease, sessions, doors, clock)
    relays = RelayCommands(books, homeserver, sessions, doors, talk, network=network.name)
    rooms = Commands(
        books,
        homeserver,
        logins,
        talk,
        retrying,
        network,
        doors,
        told,
        Table((*people.commands(), *more, *relays.elsewhere(), *admin.commands())),
        journal=journal,
        lease=lease,
    )
    in_portals = Table(relays.in_portals(), prefix=f"{prefix} ")
    portals = PortalCommands(in_portals, prefix, doors, relay, talk, retrying)
    return rooms.handle, portals.handle
