"""The homeserver that tests share, with application services registered ahead.

Synapse reads registrations only when it starts, and starting takes longer than most tests. So a Synapse is started
with slots: registrations for bridges that do not exist yet. A test takes a fresh slot and runs its bridge on that
slot's port; no other test ever gets the same one. Synapse asks every application service about every event, though:
with 100 of them that took more of its time than all else. So there are few, and when they are used up the next tests
get the next Synapse.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from bridgekit.testing.client import MatrixClient
from bridgekit.testing.process import free_ports
from bridgekit.testing.synapse import MatrixUser, Synapse

__all__ = ["AppserviceSlot", "Homeserver", "Homeservers"]


class AppserviceSlot(msgspec.Struct, frozen=True):
    """One registration that Synapse knows. Its bridge has to listen on `port`, on 127.0.0.1."""

    id: str
    """Like `as07`."""
    port: int
    as_token: str
    hs_token: str
    server_name: str
    homeserver_url: str
    registration: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Where Synapse sends transactions."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def prefix(self) -> str:
        """What the localparts of ghosts and room aliases begin with: `as07_`."""
        return f"{self.id}_"

    @property
    def sender_localpart(self) -> str:
        return f"{self.id}bot"

    @property
    def bot(self) -> str:
        """The bridge bot's user id."""
        return f"@{self.sender_localpart}:{self.server_name}"

    def ghost(self, name: str) -> str:
        """The user id of a ghost in the exclusive namespace."""
        return f"@{self.prefix}{name}:{self.server_name}"

    def client(self, user_id: str | None = None) -> MatrixClient:
        """A client with the application service's token that acts as the bot, or as a ghost; close it."""
        return MatrixClient(self.homeserver_url, user_id or self.bot, self.as_token, appservice=True)


class Homeserver:
    """A Synapse with a pool of slots, and users with names that never repeat."""

    def __init__(
        self,
        directory: Path,
        *,
        slots: int,
        config: Mapping[str, Any] | None = None,
        database: Mapping[str, Any] | None = None,
        server_name: str = "hs.test",
    ) -> None:
        port, *slot_ports = free_ports(slots + 1)
        self.synapse: Final = Synapse(directory, server_name=server_name, port=port, config=config, database=database)
        self.slots: Final = [
            _slot(f"as{number:02}", slot_port, self.synapse) for number, slot_port in enumerate(slot_ports)
        ]
        self.synapse.registrations = [slot.registration for slot in self.slots]
        self._unused: Final = list(self.slots)
        self._numbers: Final = itertools.count(1)

    @property
    def url(self) -> str:
        return self.synapse.url

    @property
    def server_name(self) -> str:
        return self.synapse.server_name

    @property
    def free_slots(self) -> int:
        return len(self._unused)

    def take_slot(self) -> AppserviceSlot:
        """A slot that nobody had before."""
        if not self._unused:
            raise LookupError(
                f"all {len(self.slots)} slots are used: let SLOTS of this file of tests say how many it takes"
            )
        return self._unused.pop(0)

    async def register_user(self, name: str = "user", *, admin: bool = False) -> MatrixUser:
        """A new account; a number is added to the name, so that tests never meet each other's users."""
        return await self.synapse.register_user(f"{name}{next(self._numbers)}", admin=admin)


class Homeservers:
    """The homeservers of a run, one after the other; all of them stay until the end, for bridges may live that long."""

    def __init__(self, new_directory: Callable[[], Path], *, slots: int) -> None:
        self._new_directory: Final = new_directory
        self._slots: Final = slots
        self._last: Homeserver | None = None
        self._stack: Final = contextlib.AsyncExitStack()

    async def with_slots(self, wanted: int) -> Homeserver:
        """The last one, if that has so many slots left; else a new one."""
        if self._last is None or self._last.free_slots < wanted:
            new = Homeserver(self._new_directory(), slots=max(wanted, self._slots))
            await self._stack.enter_async_context(new.synapse)
            self._last = new
        return self._last

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


def _slot(slot_id: str, port: int, synapse: Synapse) -> AppserviceSlot:
    server = synapse.server_name.replace(".", r"\.")
    as_token, hs_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    registration = {
        "id": slot_id,
        "url": f"http://127.0.0.1:{port}",
        "as_token": as_token,
        "hs_token": hs_token,
        "sender_localpart": f"{slot_id}bot",
        "rate_limited": False,
        "namespaces": {
            "users": [
                {"exclusive": True, "regex": f"^@{slot_id}_.*:{server}$"},
                {"exclusive": True, "regex": f"^@{slot_id}bot:{server}$"},
            ],
            "aliases": [{"exclusive": True, "regex": f"^#{slot_id}_.*:{server}$"}],
            "rooms": [],
        },
        "receive_ephemeral": True,
        "org.matrix.msc3202": True,
        "io.element.msc4190": True,
    }
    return AppserviceSlot(slot_id, port, as_token, hs_token, synapse.server_name, synapse.url, registration)
