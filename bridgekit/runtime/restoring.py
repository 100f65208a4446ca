"""An edit that was redacted on Matrix: on the network, too, the message says again what it said before."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.core.from_matrix import ReadEdit, Unreadable
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.core.versions import as_it_says_now, read_redacted, read_version
from bridgekit.model.ids import EventID
from bridgekit.runtime.changes import change
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.message import Message
from bridgekit.runtime.relay import Voice
from bridgekit.runtime.sending import Attempt, Connected

log = logging.getLogger(__name__)


THEIRS = (
    "it was an edit, or something else that is no message of its own on the network, and stays as it is there;"
    " delete the message itself"
)
"""Why what somebody of the network has changed cannot be taken back here: most networks let only that person do it."""


async def restore(a: Attempt) -> Handled:
    """Say what the room shows without the redacted event, if that was the last edit which the network was told.

    The homeserver keeps nothing of a redacted edit, not even what it changed; so what was told is looked up, of the
    `own_changes.EDITS` messages of the chat that were edited last.
    """
    target = a.event.redacts
    assert target is not None
    secret, book, portal = a.o.books.secret, a.o.own_changes, a.portal.key
    # Its own nonce: an attempt that was cut short between two parts.
    nonces = (outgoing_nonce(secret, portal, target, 0), outgoing_nonce(secret, portal, a.event.event_id, 0))
    remote_id = await book.told_last(portal, nonces)
    records = await a.o.books.message_by_remote(portal, remote_id) if remote_id is not None else []
    first = next((each for each in records if each.room == a.event.room_id), None)
    if first is None:
        if await _is_theirs(a, target):
            return await a.end(a.ending("not_supported", THEIRS))
        log.debug("nothing of a redacted event is on the network", extra={"event_id": target})
        return Handled()
    answer = await a.o.versions.raw(a.event.room_id, first.event_id)
    raw = as_it_says_now(answer) if answer is not None else None
    if raw is None:
        return Handled()  # the message itself was redacted, and goes as a whole
    message = Message(a)
    read = await message.read(raw)
    if isinstance(read, Unreadable):
        return await a.end(a.ending(read.code, read.reason))
    # Only whoever wrote a message can change it on most networks, whoever redacted the edit here.
    voice = await a.o.relay.voice(
        msgspec.structs.replace(a.event, sender=first.sender),
        a.portal,
        None,
        begun=a.progress.voice,
        tried=False,
        may_be_sent=a.may_have_begun,
    )
    if not isinstance(voice, Voice):
        return await a.unheard(voice)
    to = await a.connected(voice)
    if not isinstance(to, Connected):
        return to
    again = ReadEdit(target=first.event_id, text=read.text, file=read.file)
    handled = await change(a, again, to, message.parts, by=first.sender)
    shown = read_version(answer) if answer is not None else None
    if handled.dead is not None or remote_id is None or shown is None or shown.edit is None:
        return handled
    # That edit may be redacted next.
    facts = await book.says_again(portal, remote_id, outgoing_nonce(secret, portal, shown.edit, 0))
    return msgspec.structs.replace(handled, facts=(*handled.facts, *facts))


async def _is_theirs(a: Attempt, target: EventID) -> bool:
    """Whether this redaction took something that a ghost had said, and that is no message of the network's. What is
    redacted once more has been dealt with: by the network's deletion, or another redaction."""
    answer = await a.o.versions.raw(a.event.room_id, target)
    taken = read_redacted(answer) if answer is not None else None
    if taken is None or taken.type != "m.room.message" or taken.by != a.event.event_id:
        return False
    return a.o.ghosts.namespace.is_ghost(taken.sender)
