"""What people on Matrix did, as the adapter sees it: frozen values, named ``Matrix*``, without a Matrix id in them."""

from __future__ import annotations

import msgspec

from bridgekit.model.content import Text
from bridgekit.model.ids import Nonce, PortalKey, RemoteMessageID


class Speaker(msgspec.Struct, frozen=True):
    """Who speaks. `relayed` is True when it is not the login's own person but somebody without a login.

    Then, if the session's `Limits.shows_speaker` says so, show `name` (on one line, unlike anybody else's in the room,
    at most 340 code points) and the picture; otherwise the framework has written the name into the text. `avatar_url`
    is where anybody can fetch the picture, empty if there is none.
    """

    name: str
    relayed: bool = False
    avatar_url: str = ""


class MatrixMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A text to send. One call per part where `Limits` made the framework split it; each part has its own `nonce`.

    `portal` is the chat to send it to. `text` fits `Session.limits`. `nonce` stays the same over repeats of the same
    part: give it to the network, and a repeat does no harm. `timestamp` is the homeserver's, in ms since the epoch.
    `speaker` is who wrote it, the login's own person unless `Speaker.relayed`. `reply_to` is the message that this one
    answers, None if it answers none, or one that never crossed.
    """

    portal: PortalKey
    text: Text
    nonce: Nonce
    timestamp: int
    speaker: Speaker
    reply_to: RemoteMessageID | None = None
