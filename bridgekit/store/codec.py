"""How texts and numbers from outside are kept in a database: the one place that knows.

Ids, names and reasons come from strangers. They may hold ``\\u0000``, which PostgreSQL's text cannot, or lone
surrogates, which SQLite's cannot, so every such text is kept as bytes. They may be longer than an index takes
(PostgreSQL: about 2,700 bytes), so keys are looked up by a digest of fixed length, and the text stands beside it.

Bytes compare as the texts do: by code point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from bridgekit.model.ids import ChatID, LoginID, PortalKey

DIGEST_BYTES = 16
"""128 bits: nobody finds a second text for a given digest, and who makes two of his own collide harms only himself."""

PLACE_BYTES, ORDER_BYTES = 8, 32
"""How much of a chat's digest, and of a message's id, begins the key of a message."""

CHATS_AT_HAND = 1_000
"""What a chat is called in the database is not worked out anew for each message of a chat where much is said."""

MAX_INTEGER = 2**63 - 1


def enc(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def dec(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def enc_optional(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def dec_optional(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogatepass")


def digest(text: str) -> bytes:
    """The key by which a text is looked up."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def digest_of(*parts: bytes) -> bytes:
    """The same for a key of several parts, however they are cut."""
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.blake2b(framed, digest_size=DIGEST_BYTES).digest()


def dedupe_digest(key: str) -> bytes:
    """The key by which a dedupe key is looked up. One that begins with a time (`bridgekit.core.lane.event_key`) keeps
    it in front: what comes in one after the other is written side by side, not all over the table."""
    if key[:1] == "@" and key[13:14] == ":":
        try:
            return bytes.fromhex(key[1:13]) + digest(key)
        except ValueError:
            pass
    return digest(key)


def enc_receiver(receiver: LoginID | None) -> bytes:
    """None and the empty login id are not the same; None sorts first."""
    return b"" if receiver is None else b"=" + enc(receiver)


@lru_cache(CHATS_AT_HAND)
def enc_portal(key: PortalKey) -> tuple[bytes, bytes]:
    """Chat and receiver."""
    return enc(key.chat), enc_receiver(key.receiver)


def dec_portal(chat: bytes, receiver: bytes) -> PortalKey:
    return PortalKey(ChatID(dec(chat)), LoginID(dec(receiver[1:])) if receiver else None)


def portal_digest(key: PortalKey) -> bytes:
    return digest_of(*enc_portal(key))


def message_key(portal: PortalKey, remote_id: str) -> bytes:
    """The key by which a message is looked up."""
    return message_key_of(*enc_portal(portal), enc(remote_id))


def message_key_of(chat: bytes, receiver: bytes, remote_id: bytes) -> bytes:
    """The same. A chat's messages lie together, and most networks count their ids upwards: new messages are written
    side by side, not all over the table. The digest at the end is what makes the key unique."""
    return _place(chat, receiver) + remote_id[:ORDER_BYTES] + digest_of(chat, receiver, remote_id)


@lru_cache(CHATS_AT_HAND)
def _place(chat: bytes, receiver: bytes) -> bytes:
    return digest_of(chat, receiver)[:PLACE_BYTES]


def event_digest(room: str, event_id: str) -> bytes:
    return digest_of(enc(room), enc(event_id))


def reaction_person(sender: str, emoji: str) -> bytes:
    """Which of a message's reactions: there is one of each person with each emoji."""
    return digest_of(enc(sender), enc(emoji))


def reaction_event_key(room: str, event_id: str) -> bytes:
    """The key by which a reaction's event is looked up. Event ids come in no order, but a room's lie together: there
    are seldom more of them than a page holds."""
    return digest(room)[:PLACE_BYTES] + event_digest(room, event_id)


def clamp(number: int) -> int:
    """A network's timestamp, as far as 64 bits hold it: a nonsensical one must not wedge its lane."""
    return max(-MAX_INTEGER, min(number, MAX_INTEGER))


def enc_map(values: Mapping[str, str]) -> bytes:
    return msgspec.msgpack.encode([(enc(key), enc(value)) for key, value in values.items()])


def dec_map(data: bytes) -> dict[str, str]:
    return {dec(key): dec(value) for key, value in msgspec.msgpack.decode(data, type=list[tuple[bytes, bytes]])}
