"""What the bot does when people talk to it: in a room of their own with it (`rooms`), and in portals (`portal`)."""

from bridgekit.runtime.commands.admin import AdminCommands
from bridgekit.runtime.commands.people import PeopleCommands
from bridgekit.runtime.commands.portal import PortalCommands
from bridgekit.runtime.commands.relays import RelayCommands
from bridgekit.runtime.commands.rooms import Commands
from bridgekit.runtime.commands.said import Command, Said, Table

__all__ = [
    "AdminCommands",
    "Command",
    "Commands",
    "PeopleCommands",
    "PortalCommands",
    "RelayCommands",
    "Said",
    "Table",
]
