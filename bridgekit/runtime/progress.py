"""What is on disk about an entry of a room's lane that is under way."""

from __future__ import annotations

import msgspec

from bridgekit.model.entry import Ending
from bridgekit.model.ids import UserID
from bridgekit.model.records import Fact
from bridgekit.runtime.relay import Voice


class Quote(msgspec.Struct, frozen=True):
    """What a reply quotes where the network has no replies. Kept as the voice is: another one would cut the text
    elsewhere."""

    name: str
    body: str


class RefusedRole(msgspec.Struct, frozen=True):
    """Whose role the network did not change, and why."""

    user: UserID
    code: str
    reason: str


class RolesTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a change of several people's roles: up to whom (in the order of their user ids) the network was told, whom it
    refused, and whether it took any."""

    upto: UserID = UserID("")
    refused: tuple[RefusedRole, ...] = ()
    given: bool = False


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is on disk about an entry under way: how many of its calls the network has taken, how it ended if its sender
    is still to be told, what its sender was told meanwhile, for a relayed one who speaks, what it quotes, and whose
    roles were told."""

    parts: int = 0
    voice: Voice | None = None
    ending: Ending | None = None
    facts: tuple[Fact, ...] = ()
    told: bool = False
    quote: Quote | None = None
    roles: RolesTold = RolesTold()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Progress).decode


def encode_progress(progress: Progress) -> bytes | None:
    """As it is kept; None: there is nothing to keep."""
    return _encode(progress) if progress != Progress() else None


def decode_progress(kept: bytes | None) -> Progress:
    return _decode(kept) if kept else Progress()
