"""The homeserver that tests share, with application services registered ahead.

Synapse reads registrations only when it starts, and starting takes longer than most tests. So one Synapse is started
for the whole run with a pool of slots: registrations for bridges that do not exist yet. A test takes a fresh slot and
runs its bridge on that slot's port; no other test ever gets the same one.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from bridgekit.testing.client import MatrixClient
from bridgekit.testing.process import free_ports
from bridgekit.testing.synapse import MatrixUser, Synapse

__all__ = ["AppserviceSlot", "Homeserver"]


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
        self._unused: Final[Iterator[AppserviceSlot]] = iter(self.slots)
        self._numbers: Final = itertools.count(1)

    @property
    def url(self) -> str:
        return self.synapse.url

    @property
    def server_name(self) -> str:
        return self.synapse.server_name

    def take_slot(self) -> AppserviceSlot:
        """A slot that nobody had before."""
        slot = next(self._unused, None)
        if slot is None:
            raise LookupError(f"all {len(self.slots)} slots are used: raise SLOTS in tests/conftest.py")
        return slot

    async def register_user(self, name: str = "user", *, admin: bool = False) -> MatrixUser:
        """A new account; a number is added to the name, so that tests never meet each other's users."""
        return await self.synapse.register_user(f"{name}{next(self._numbers)}", admin=admin)


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
