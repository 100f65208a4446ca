"""What a network can carry, per portal."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from bridgekit.model.calls import CallKind, Trickle
from bridgekit.model.content import Style
from bridgekit.model.media import MediaKind

LengthUnit = Literal["codepoints", "utf16", "utf8"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a portal's network takes. The framework splits and simplifies before the adapter is called.

    What an adapter has to do something for is off unless it says so: then nothing gets lost that it does not know of.

    `max_text_length` is counted in `text_unit`; None means no limit. `formatting` names the styles that the network
    can show; the others are written into the text as their plain markers, or dropped. `shows_speaker`: the network
    shows a relayed message under `MatrixMessage.speaker`'s name; otherwise the name is written in front of the text.

    `replies`, `threads`: whether a message can answer another, or belong to a thread; a thread becomes a reply where
    there is none, a reply a quotation. `reactions`: the emoji that may be used, None for any; `reactions_per_person`:
    how many one person may leave on a message, None for any number (where it is 1, a new one replaces the old).
    `edit_within`, `delete_within`: how long after a message that is possible, None for always; `edits_per_message`:
    how often. `hidden_mentions`: a person can be notified without being named in the text. `room_mentions`: everybody
    can be.

    `media`: the kinds of files that the network takes, None for all; what it does not take goes as a plainer kind if it
    takes that (a sticker as a picture, a voice message as audio, anything as a file). `max_media_size`: how large they
    may be, in bytes. `captions`: a file can have a text, which otherwise follows as a message of its own. `locations`:
    there are places; otherwise they become a text with a link.

    Of sessions with `CanCall`: `calls`, the kinds of call that can be made and taken, none for none; a video call is
    not made a voice call. `trickle`: how candidates go, in both directions. `rings_first`: `CanCall.ring` makes it ring
    before the offer is complete. `ring_for`: how long it rings at most.
    """

    max_text_length: int | None = None
    text_unit: LengthUnit = "codepoints"
    formatting: frozenset[Style] = frozenset()
    shows_speaker: bool = False
    replies: bool = False
    threads: bool = False
    reactions: frozenset[str] | None = None
    reactions_per_person: int | None = None
    edit_within: timedelta | None = None
    edits_per_message: int | None = None
    delete_within: timedelta | None = None
    hidden_mentions: bool = False
    room_mentions: bool = False
    media: frozenset[MediaKind] | None = None
    max_media_size: int | None = None
    captions: bool = False
    locations: bool = False
    calls: frozenset[CallKind] = frozenset(CallKind)
    trickle: Trickle = "none"
    rings_first: bool = False
    ring_for: timedelta | None = None
