"""Which Matrix users and aliases are ours: remote ids of any characters, case and length <-> Matrix localparts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import msgspec

from bridgekit.core.identities import Identities
from bridgekit.core.txnid import encode_fields
from bridgekit.model.ids import PortalKey, RemoteUserID, RoomAlias, UserID

# Spec, Appendices, User Identifiers: the localpart is of a-z 0-9 . _ = - / +, and a user id, with its sigil and domain,
# has at most 255 bytes. "/" and "+" are escaped too: they are the two that proxies and URL decoders mangle.
_MAX_ID_BYTES = 255
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_PREFIX = re.compile(r"[a-z0-9._-]+", re.ASCII)
_ESCAPED = re.compile(r"(?:[a-z0-9._-]|=[0-9a-f]{2})*", re.ASCII)
_UNESCAPE = re.compile(rb"=([0-9a-f]{2})")
# The escaper writes two hexadecimal digits after each "=", so "==" can only be the start of a hash.
_HASH_MARK = "=="
_HASH_BYTES = 25  # 200 bits
_HASH_CHARS = _HASH_BYTES * 8 // 5


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode("ascii").lower()


def _regex_escape(literal: str) -> str:
    # Not re.escape: it escapes "-", which is literal in every engine outside a class, and not every homeserver's engine
    # accepts the needless backslash.
    return re.sub(r"[^A-Za-z0-9_:-]", r"\\\g<0>", literal)


class GhostNamespace(msgspec.Struct, frozen=True):
    """The ghosts' user ids: ``@<prefix><escaped remote id>:<server name>``.

    Different remote ids get different user ids, and `remote` undoes `user_id` unless the id had to be hashed. Bytes
    other than ``a-z0-9._-`` are written ``=xx`` (UTF-8, lower-case hex); an id that would then exceed 255 bytes, or
    would land on a reserved localpart, is ``==`` and 200 bits of its SHA-256.

    `prefix`: like ``webchat_``, of ``a-z0-9._-``. `reserved`: localparts that are nobody's ghost, such as the bot's
    where it lies under the prefix. `identities`: which remote ids are one person; they have one ghost, whose user id
    is of the first of them, and `remote` answers the latest. Raises ValueError for a prefix or server name that cannot
    be used.
    """

    prefix: str
    server_name: str
    reserved: frozenset[str] = frozenset()
    identities: Identities = msgspec.field(default_factory=Identities)

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise ValueError(f"the ghost prefix {self.prefix!r} must be one or more of a-z 0-9 . _ -")
        if not self.server_name or not self.server_name.isascii() or not self.server_name.isprintable():
            raise ValueError(f"{self.server_name!r} is not a server name")
        shortest = len(self.prefix) + len(_HASH_MARK) + _HASH_CHARS
        if shortest > self._room_for_localpart():
            raise ValueError("the ghost prefix and the server name are too long: a user id has at most 255 bytes")

    def _room_for_localpart(self) -> int:
        return _MAX_ID_BYTES - len("@:") - len(self.server_name)

    def localpart(self, remote: RemoteUserID) -> str:
        """The ghost's localpart, prefix included. Never raises; lone surrogates are escaped like anything else."""
        return self._written(self.identities.root(remote))

    def _written(self, remote: RemoteUserID) -> str:
        raw = remote.encode("utf-8", "surrogatepass")
        # Every byte escaped is 3 characters, so a very long id need not be written out to know that it is too long.
        if len(self.prefix) + len(raw) <= self._room_for_localpart():
            localpart = self.prefix + "".join(chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in raw)
            if len(localpart) <= self._room_for_localpart() and localpart not in self.reserved:
                return localpart
        return self.prefix + _HASH_MARK + _base32(hashlib.sha256(raw).digest()[:_HASH_BYTES])

    def user_id(self, remote: RemoteUserID) -> UserID:
        """The ghost of a remote user: a valid Matrix user id of at most 255 bytes."""
        return UserID(f"@{self.localpart(remote)}:{self.server_name}")

    def is_ghost(self, user_id: UserID) -> bool:
        """Whether the user id is in this namespace (what `exclusive_regex` matches), reserved localparts excepted."""
        return self._rest(user_id) is not None

    def remote(self, user_id: UserID) -> RemoteUserID | None:
        """Whose ghost this is; None if it is no ghost, was hashed (the database knows those), or is not of our make."""
        rest = self._rest(user_id)
        if rest is None or _ESCAPED.fullmatch(rest) is None:
            return None
        raw = _UNESCAPE.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), rest.encode("ascii"))
        try:
            remote = RemoteUserID(raw.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            return None
        # "=61" also reads as "a", but we would have written "a": two users must not both pass for one person's ghost.
        if f"@{self._written(remote)}:{self.server_name}" != user_id:
            return None
        return self.identities.latest(remote)

    def exclusive_regex(self) -> str:
        """The `regex` of the registration's `namespaces.users` entry: every user under the prefix on this server."""
        return f"^@{_regex_escape(self.prefix)}.*:{_regex_escape(self.server_name)}$"

    def conflicts_with(self, other: GhostNamespace) -> bool:
        """Whether the two could give one user id to two people: one prefix starts with the other, on one server."""
        same_server = self.server_name == other.server_name
        return same_server and (self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix))

    def _rest(self, user_id: UserID) -> str | None:
        """What follows the prefix in the localpart, None for a user that is not in the namespace."""
        head, tail = f"@{self.prefix}", f":{self.server_name}"
        if not (user_id.startswith(head) and user_id.endswith(tail) and len(user_id) >= len(head) + len(tail)):
            return None
        if "\n" in user_id or user_id[1 : -len(tail)] in self.reserved:
            return None
        return user_id[len(head) : -len(tail)]


def portal_alias_localpart(prefix: str, secret: bytes, key: PortalKey) -> str:
    """The localpart of the alias under which a portal's room is made: the prefix and 52 characters ``a-z2-7``.

    An HMAC-SHA256 of the key: the same chat finds its room again after a crash, and nobody without the secret can tell
    the chat from the alias or take the alias first. Raises ValueError for an empty secret or an unusable prefix.
    """
    if not secret:
        raise ValueError("the secret must not be empty")
    if _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"the alias prefix {prefix!r} must be one or more of a-z 0-9 . _ -")
    message = encode_fields("bridgekit portal alias", key.chat, key.receiver)
    return prefix + _base32(hmac.new(secret, message, hashlib.sha256).digest())


def portal_alias(prefix: str, server_name: str, secret: bytes, key: PortalKey) -> RoomAlias:
    """The whole alias, ``#<localpart>:<server name>``. Raises as `portal_alias_localpart`, or when over 255 bytes."""
    alias = f"#{portal_alias_localpart(prefix, secret, key)}:{server_name}"
    # Spec, Appendices, Room Aliases: with its sigil and domain at most 255 bytes.
    if len(alias.encode("utf-8")) > _MAX_ID_BYTES:
        raise ValueError("the alias prefix and the server name are too long: an alias has at most 255 bytes")
    return RoomAlias(alias)


def exclusive_alias_regex(prefix: str, server_name: str) -> str:
    """The `regex` of the registration's `namespaces.aliases` entry: every alias under the prefix on this server."""
    return f"^#{_regex_escape(prefix)}.*:{_regex_escape(server_name)}$"
