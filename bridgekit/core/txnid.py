"""Names that make a repeat harmless: Matrix transaction ids and the nonces that go to the network.

All are functions of what they name, so that after a crash the same thing gets the same name. They are hashes over an
encoding in which no two different tuples look alike; two names are equal only if what they name is equal.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from bridgekit.model.ids import EventID, Nonce, PortalKey, TxnID

_PREFIX = "bk_"
_NONCE_PREFIX = "bk"
_NONCE_ID_BYTES = 18  # 144 bits
_NONCE_MAC_BYTES = 12  # 96 bits; 30 bytes together, a multiple of 3, leave no spare bits in the last character
_NONCE = re.compile(r"bk[A-Za-z0-9_-]{40}", re.ASCII)


def encode_fields(*fields: str | int | None) -> bytes:
    """The fields as bytes, injectively: each is a tag, its length and its content, so none can run into the next.

    None, "" and 0 differ. Lone surrogates, which JSON can carry into an id, are kept (`surrogatepass`).
    """
    out = bytearray()
    for field in fields:
        if field is None:
            tag, raw = b"n", b""
        elif isinstance(field, str):
            tag, raw = b"s", field.encode("utf-8", "surrogatepass")
        else:
            tag, raw = b"i", hex(field).encode("ascii")
        out += tag + len(raw).to_bytes(8, "big") + raw
    return bytes(out)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def event_txn_id(*, portal: PortalKey, sender: str, kind: str, remote_id: str, occurrence: int, part: int) -> TxnID:
    """The transaction id under which one part of one remote event goes into a portal's room.

    `sender`: the Matrix user that sends. `kind`: message, reaction, edit, ... `remote_id`: the network's event id or
    revision. `occurrence`: which time this is (react, unreact, react are three sends). `part`: from 0, of a split
    message. URL-safe, 46 characters. The sender is included, and the id is unique over the whole application service,
    because a homeserver's scope for transaction ids differs (MSC3970: the device; before it, the access token).
    """
    fields = encode_fields("event", portal.chat, portal.receiver, sender, kind, remote_id, occurrence, part)
    return TxnID(_PREFIX + _base64url(hashlib.sha256(fields).digest()))


def reply_txn_id(event_id: EventID, index: int) -> TxnID:
    """The transaction id of answer number `index` (from 0) of the bot to `event_id`. URL-safe, 46 characters."""
    return TxnID(_PREFIX + _base64url(hashlib.sha256(encode_fields("reply", event_id, index)).digest()))


def outgoing_nonce(secret: bytes, portal: PortalKey, event_id: EventID, part: int) -> Nonce:
    """The nonce given to the network with part `part` (from 0) of a Matrix event of this portal.

    42 characters of ``[A-Za-z0-9_-]``: a hash of the event and part, then a keyed hash of that hash and of the portal,
    so that an echo is recognised as ours without looking anything up (`is_our_nonce`), and what somebody has copied
    into another chat is not. Raises ValueError for an empty secret.
    """
    fields = f"nonce {part} {event_id}".encode("utf-8", "surrogatepass")
    ident = hashlib.blake2b(fields, digest_size=_NONCE_ID_BYTES).digest()
    return Nonce(_NONCE_PREFIX + _base64url(ident + _nonce_mac(secret, portal, ident)))


def is_our_nonce(secret: bytes, portal: PortalKey, nonce: str) -> bool:
    """Whether `outgoing_nonce` with this secret and portal made the nonce. Any string may be asked about; constant
    time."""
    if _NONCE.fullmatch(nonce) is None:
        return False
    raw = base64.urlsafe_b64decode(nonce[len(_NONCE_PREFIX) :])
    return hmac.compare_digest(_nonce_mac(secret, portal, raw[:_NONCE_ID_BYTES]), raw[_NONCE_ID_BYTES:])


def _nonce_mac(secret: bytes, portal: PortalKey, ident: bytes) -> bytes:
    if not secret:
        raise ValueError("the secret must not be empty")
    named = ident + encode_fields(portal.chat, portal.receiver)
    return hashlib.blake2b(named, digest_size=_NONCE_MAC_BYTES, key=secret[:64], person=b"bridgekit nonce").digest()
