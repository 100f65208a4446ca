"""What the bot does when people talk to it: in a room of their own with it (`rooms`), and in portals (`portal`)."""

from bridgekit.runtime.commands.assembled import assembled
from bridgekit.runtime.commands.said import Command, Said

__all__ = ["Command", "Said", "assembled"]
