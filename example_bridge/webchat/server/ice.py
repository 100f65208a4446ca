"""The STUN and TURN servers that pages use to find a way for the media of a call: read from a file, as it may hold a
password, which a command line shows to everybody on the machine."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from example_bridge.webchat.server.protocol import IceServer

MOST = 4
"""Servers. Browsers ask all of them, and warn of more."""

_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_STUN = re.compile(rf"stuns?:{_HOST}")  # RFC 7064
_TURN = re.compile(rf"turns?:{_HOST}(?:\?transport=(?:udp|tcp))?")  # RFC 7065


class _Server(msgspec.Struct, forbid_unknown_fields=True):
    """As in a browser's ``RTCIceServer``."""

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None


_decode = msgspec.json.Decoder(list[_Server]).decode


def read_ice_servers(file: Path) -> tuple[IceServer, ...]:
    """Those that a JSON file lists. Raises `ValueError` with words: a page that is given anything wrong makes no
    call at all."""
    try:
        listed = _decode(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'{file} is no list such as [{{"urls": "stun:stun.example.org"}}]: {error}') from None
    if len(listed) > MOST:
        raise ValueError(f"{file} lists {len(listed)} servers; at most {MOST} can be used")
    return tuple(_checked(one, f"{file}, server {number}") for number, one in enumerate(listed, 1))


def _checked(one: _Server, where: str) -> IceServer:
    urls = (one.urls,) if isinstance(one.urls, str) else tuple(one.urls)
    if not urls:
        raise ValueError(f"{where}: urls is empty")
    for url in urls:
        if not (_STUN.fullmatch(url) or _TURN.fullmatch(url)):
            raise ValueError(
                f"{where}: {url!r} is none of stun:HOST[:PORT], turn:HOST[:PORT][?transport=udp], stuns:, turns:"
            )
    # WebRTC, RTCPeerConnection: without both, a browser refuses the whole list.
    if any(url.startswith("turn") for url in urls) and not (one.username and one.credential):
        raise ValueError(f"{where}: a TURN server needs a username and a credential")
    return IceServer(urls, one.username, one.credential)
