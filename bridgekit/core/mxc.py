"""``mxc://`` URIs: where a file is at which homeserver. Both parts are checked before any URL is made of them."""

from __future__ import annotations

import re

import msgspec

_MAX_SERVER = 230  # spec, appendices, server name: "must not exceed 230 characters"
_MAX_MEDIA_ID = 255

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
# Spec, content repository, security considerations: "alphanumeric (A-Za-z0-9), _ and - characters".
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]+")


class MXC(msgspec.Struct, frozen=True):
    """The two parts of an ``mxc://`` URI. Neither holds anything that means something in a path or a query."""

    server_name: str
    media_id: str

    def __str__(self) -> str:
        return f"mxc://{self.server_name}/{self.media_id}"


def parse_mxc(uri: object) -> MXC | None:
    """None for whatever is no ``mxc://`` URI, whatever it is instead. Never raises."""
    if not isinstance(uri, str) or not uri.startswith("mxc://"):
        return None
    server, slash, media_id = uri.removeprefix("mxc://").partition("/")
    if not slash or len(server) > _MAX_SERVER or len(media_id) > _MAX_MEDIA_ID:
        return None
    if not _MEDIA_ID.fullmatch(media_id):
        return None
    if _IPV6.fullmatch(server) or (_NAME.fullmatch(server) and ".." not in server):
        return MXC(server, media_id)
    return None
