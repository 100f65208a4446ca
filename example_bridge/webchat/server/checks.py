"""What a request deserves to be refused for by itself, whatever chat it is for."""

from __future__ import annotations

import re

from example_bridge.webchat.server.acts import Act, ChangeChat, Delete, Draft, Edit, React, Read, RemoveMember
from example_bridge.webchat.server.protocol import (
    FILE_KINDS,
    FILES,
    MAX_EMOJI_LENGTH,
    MAX_FILES,
    MAX_ID_LENGTH,
    MAX_MEASURE,
    MAX_NAME_LENGTH,
    MAX_SPANS,
    MAX_TOPIC_LENGTH,
    MAX_WAVEFORM,
    STYLES,
    File,
    Location,
    Mention,
    NewMedia,
    Refusal,
    Span,
)

MAX_MIMETYPE = 127
_MIMETYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*", re.ASCII)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def check_id(value: str, what: str) -> None:
    """Any text is an id, except what a URL cannot carry as one path segment."""
    if not value or value in (".", ".."):
        raise Refusal("bad_request", f"{what}: not usable as an id")
    if len(value) > MAX_ID_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_ID_LENGTH} code points")


def check_short(value: str | None, what: str) -> None:
    if value is not None and len(value) > MAX_NAME_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_NAME_LENGTH} code points")


def check_persons_picture(address: str | None, what: str) -> None:
    """A person's picture is on the web. A file of the network's is for those of its chat: whoever is asked to show it
    as somebody's picture, as bridges are, would give it to others."""
    check_short(address, what)
    if address is not None and address.startswith(FILES):
        raise Refusal("bad_request", f"{what}: a file of this network can be a chat's picture only")


def check_topic(value: str | None) -> None:
    if value is not None and len(value) > MAX_TOPIC_LENGTH:
        raise Refusal("bad_request", f"topic: longer than {MAX_TOPIC_LENGTH} code points")


def check_draft(draft: Draft, max_text_length: int) -> None:
    """Raise the `Refusal` that a new message deserves."""
    if not draft.text and not draft.files and draft.location is None:
        raise Refusal("bad_request", "text: empty")
    check_text(draft.text, draft.format, draft.mentions, max_text_length)
    _check_files(draft.files)
    _check_location(draft.location)
    _check_nonce(draft.nonce)
    if draft.shown_as is not None:
        check_short(draft.shown_as.name, "as.name")
        check_persons_picture(draft.shown_as.avatar_url, "as.avatar_url")


def check_act(act: Act, max_text_length: int) -> None:
    """Raise the `Refusal` that anything else deserves."""
    _check_nonce(act.nonce)
    match act:
        case Edit():
            check_text(act.text, act.format, act.mentions, max_text_length)
        case React(emoji=emoji):
            if not emoji or len(emoji) > MAX_EMOJI_LENGTH or any(each.isspace() for each in emoji):
                raise Refusal("bad_request", f"emoji: 1 to {MAX_EMOJI_LENGTH} code points without white space")
        case Read(message=None, seq=seq) if seq < 1:
            raise Refusal("bad_request", "one of message and seq, which is 1 or more")
        case Delete(reason=reason) | RemoveMember(reason=reason):
            check_short(reason, "reason")
        case ChangeChat():
            check_short(act.name, "name")
            check_short(act.avatar_url, "avatar_url")
            check_topic(act.topic)


def check_text(text: str, format: tuple[Span, ...], mentions: tuple[Mention, ...], max_text_length: int) -> None:
    """Length in code points; spans in UTF-16 code units, which must not cut a character in two."""
    if len(text) > max_text_length:
        raise Refusal("too_long", f"text: {len(text)} code points, at most {max_text_length}")
    if len(format) > MAX_SPANS or len(mentions) > MAX_SPANS:
        raise Refusal("bad_request", f"more than {MAX_SPANS} spans")
    astral = [found.start() for found in _ASTRAL.finditer(text)]
    inside = {start + before + 1 for before, start in enumerate(astral)}
    length = len(text) + len(astral)
    for what, spans in (("format", format), ("mentions", mentions)):
        for span in spans:
            if not 0 <= span.start <= span.end <= length:
                raise Refusal("bad_request", f"{what}: [{span.start}, {span.end}) is not inside the text")
            if span.start in inside or span.end in inside:
                raise Refusal("bad_request", f"{what}: [{span.start}, {span.end}) cuts a character in two")
    for style in format:
        if style.style not in STYLES:
            raise Refusal("bad_request", f"format: no style {style.style!r}")
    for mention in mentions:
        if (mention.user is not None) + mention.room + (mention.role is not None) != 1:
            raise Refusal("bad_request", "mentions: exactly one of user, room, role")


def check_media(new: NewMedia, max_size: int) -> None:
    """Raise the `Refusal` that a reservation deserves."""
    check_short(new.name, "name")
    check_mimetype(new.mimetype)
    _check_measure(new.size, "size")
    if new.size is not None and new.size > max_size:
        raise Refusal("too_long", f"size: {new.size} bytes, at most {max_size}")


def check_mimetype(value: str) -> None:
    """It becomes a header: nothing but a plain type, without parameters."""
    if value and (len(value) > MAX_MIMETYPE or not _MIMETYPE.fullmatch(value)):
        raise Refusal("bad_request", "mimetype: not a type such as image/png")


def _check_files(files: tuple[File, ...]) -> None:
    if len(files) > MAX_FILES:
        raise Refusal("bad_request", f"files: more than {MAX_FILES}")
    if len({file.id for file in files}) < len(files):
        raise Refusal("bad_request", "files: one of them twice")
    for file in files:
        if file.kind is not None and file.kind not in FILE_KINDS:
            raise Refusal("bad_request", f"files: no kind {file.kind!r}")
        check_short(file.name, "files: name")
        check_short(file.blurhash, "files: blurhash")
        check_mimetype(file.mimetype)
        for what in ("size", "width", "height", "duration_ms"):
            _check_measure(getattr(file, what), f"files: {what}")
        if len(file.waveform) > MAX_WAVEFORM or any(not 0 <= value <= 1024 for value in file.waveform):
            raise Refusal("bad_request", f"files: waveform: at most {MAX_WAVEFORM} values from 0 to 1024")


def _check_measure(value: int | None, what: str) -> None:
    if value is not None and not 0 <= value <= MAX_MEASURE:
        raise Refusal("bad_request", f"{what}: from 0 to {MAX_MEASURE}")


def _check_location(place: Location | None) -> None:
    if place is None:
        return
    if not (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180):
        raise Refusal("bad_request", "location: latitude from -90 to 90, longitude from -180 to 180")
    if place.uncertainty_m is not None and not 0 <= place.uncertainty_m <= MAX_MEASURE:
        raise Refusal("bad_request", "location: uncertainty_m: at least 0")


def _check_nonce(nonce: str | None) -> None:
    check_short(nonce, "nonce")
    if nonce == "":
        raise Refusal("bad_request", "nonce: empty")
