"""Identifiers as named types, each with the scope in which it is unique.

No bare ``str`` crosses a module boundary: a function that takes a ``RoomID`` cannot be handed a ``ChatID``
without mypy saying so. At run time they are plain strings and cost nothing.
"""

from __future__ import annotations

from typing import NewType

import msgspec

# --- Matrix -----------------------------------------------------------------------------------------------------
RoomID = NewType("RoomID", str)
"""``!opaque:server`` or, from room version 12, ``!opaque``. Unique over the federation."""

EventID = NewType("EventID", str)
"""``$opaque``. Unique over the federation."""

UserID = NewType("UserID", str)
"""``@localpart:server``. Unique over the federation."""

RoomAlias = NewType("RoomAlias", str)
"""``#localpart:server``. Names at most one room at a time."""

ContentURI = NewType("ContentURI", str)
"""``mxc://server/media``. Unique over the federation."""

TxnID = NewType("TxnID", str)
"""A client-server transaction id; bridgekit keeps them unique over the whole application service (MSC3970)."""

# --- the remote network -----------------------------------------------------------------------------------------
ChatID = NewType("ChatID", str)
"""A chat as the network names it. Unique in the network, or per login where `PortalKey.receiver` is set."""

RemoteUserID = NewType("RemoteUserID", str)
"""A person as the network names them. Unique in the network."""

RemoteMessageID = NewType("RemoteMessageID", str)
"""A message as the network names it. Unique in its chat, and the same whenever it is told again; any characters."""

LoginID = NewType("LoginID", str)
"""A `Login`: one remote account of one Matrix user. Unique in the bridge; usually the account's remote user id."""

Nonce = NewType("Nonce", str)
"""Given to the network with each message we send, so that it can drop a repeat. Unique in the bridge."""

CallID = NewType("CallID", str)
"""A call, named by the network or by the Matrix client that began it (by the bridge, if a call of the network's has
that name). Unique in its portal."""

LegID = NewType("LegID", str)
"""One of the devices that a network rings for one call; ``""`` where it names none. Unique in its call."""

# --- the journal ------------------------------------------------------------------------------------------------
LaneKey = NewType("LaneKey", str)
"""The key of a lane (`core.lane`): of a room, of a remote chat, or of a remote user. Unique in the journal."""

DedupeKey = NewType("DedupeKey", str)
"""What makes a repeat of an entry recognisable: an event id, a content hash, a remote id. Unique in the journal."""


class PortalKey(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """Which remote chat a portal mirrors: `chat`, as the network names it.

    `receiver` is set for chats that only one login sees (a one-to-one conversation, in networks that number those
    per account); it is None where every login sees the same chat under the same id.
    """

    chat: ChatID
    receiver: LoginID | None = None
