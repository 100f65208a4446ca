"""Edits and deletions on their way to the network."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec

from bridgekit.adapter.capabilities import CanDelete, CanEdit, CanSend, capability
from bridgekit.core.from_matrix import ReadEdit, ReadText, read_message
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.model.content import MentionTarget, Text
from bridgekit.model.entry import Ending
from bridgekit.model.ids import EventID, RemoteMessageID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import MatrixDelete, MatrixEdit, MatrixMessage
from bridgekit.model.records import (
    AliasSaved,
    Fact,
    MessageDeleted,
    MessageRecord,
    ValueSaved,
)
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.reacting import take_back
from bridgekit.runtime.relay import Voice
from bridgekit.runtime.sending import Attempt, Connected, checked
from bridgekit.runtime.targets import Found, Missing

log = logging.getLogger(__name__)

Hidden = tuple[MentionTarget, ...]
Parts = Callable[[Text, Connected, Hidden, EventID], Awaitable[tuple[tuple[Text, ...], Hidden]]]
"""How the new text of an event goes to the network: `runtime.message.Message.parts`."""


# --- edits ------------------------------------------------------------------------------------------------------------
async def change(a: Attempt, read: ReadEdit, to: Connected, parts: Parts, *, by: UserID) -> Handled:
    """Change a message of `by` on the network: part by part, with more parts or fewer than it had."""
    editor = capability(to.session, CanEdit)
    if editor is None:
        return await a.end(a.ending("not_supported", "this network cannot change what was sent"))
    found = await a.o.targets.find(read.target, a.portal, a.event.room_id, a.lane)
    if isinstance(found, Missing):
        return Handled() if found.quiet else await a.end(a.ending(found.code, found.reason))
    if any(record.sender != by for record in found.records):
        # Spec, "Validity of replacement events": servers do not check that the sender is the same.
        log.info("an edit of somebody else's message is ignored", extra={"event_id": a.event.event_id})
        return Handled()
    if a.entry.is_retried and await _is_outdated(a, found.event_id):
        log.info("an edit that was retried is older than the next one", extra={"event_id": a.event.event_id})
        return Handled()
    if (other_kind := await _other_kind(a, read, found)) is not None:
        return await a.end(other_kind)
    limits = to.session.limits(a.portal.key)
    too_late = _late(a, found.records, limits.edit_within, "changed")
    if too_late is not None:
        return await a.end(too_late)
    counted = await _count(a, limits, found.event_id)
    if isinstance(counted, Ending):
        return await a.end(counted)
    texts, hidden = await parts(read.text, to, read.hidden, found.event_id)
    records = found.records
    if read.file is not None and not limits.captions:
        # The first part is the file itself, which stays; what was said of it followed as texts.
        records = tuple(record for record in records if record.part > 0)
        texts = tuple(text for text in texts if text.body.strip())
    await a.keep_voice(to.voice)
    return await _Edit(a, to, editor, found.event_id, records, hidden).carry_out(texts, counted)


async def _other_kind(a: Attempt, read: ReadEdit, found: Found) -> Ending | None:
    """How it ends if a text shall become a file, a file a text, or another file: no network changes that."""
    if read.file is None:
        is_file = any(record.file for record in found.records)
        return a.ending("not_supported", "a file cannot be changed into a text") if is_file else None
    raw = await a.o.versions.raw(a.event.room_id, found.event_id)
    was = read_message(raw, resolve=lambda user: None) if raw is not None else None
    if not isinstance(was, ReadText):
        return None
    if was.file is None:
        return a.ending("not_supported", "a text cannot be changed into a file")
    if was.file.uri != read.file.uri:
        return a.ending("not_supported", "of a file, only what is said of it can be changed")
    return None


async def _is_outdated(a: Attempt, original: EventID) -> bool:
    """Whether the room shows a later edit of the same message."""
    version = await a.o.versions.of(a.event.room_id, original)
    if version is None or version.edit == a.event.event_id:
        return False
    return version.edited_at >= max(a.event.origin_server_ts, 1)


async def _count(a: Attempt, limits: Limits, original: EventID) -> tuple[Fact, ...] | Ending:
    """What to write down about how often a message was changed, where the network counts that."""
    if limits.edits_per_message is None:
        return ()
    key = f"edits {a.event.room_id} {original}"
    before = int(await a.o.books.directory.value(key) or "0")
    if before >= limits.edits_per_message and not a.may_have_begun:
        times = "once" if before == 1 else f"{before} times"
        return a.ending("not_supported", f"on this network a message can be changed only {times}")
    return (ValueSaved(key, str(before + 1)),)


def _late(a: Attempt, records: tuple[MessageRecord, ...], within: timedelta | None, done: str) -> Ending | None:
    """How it ends if the network's time for it is over. What may have been done already is done again, however late."""
    if within is None or a.may_have_begun:
        return None
    age_ms = a.o.retrying.clock.now() - min(record.timestamp for record in records)
    if age_ms <= within.total_seconds() * 1000:
        return None
    return a.ending("not_supported", f"on this network a message can be {done} only for {_in_words(within)}")


def _in_words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{seconds} seconds"


class _Edit:
    def __init__(
        self,
        a: Attempt,
        to: Connected,
        editor: CanEdit,
        original: EventID,
        records: tuple[MessageRecord, ...],
        hidden: Hidden,
    ) -> None:
        self._a = a
        self._to = to
        self._editor = editor
        self._original = original
        self._hidden = hidden
        self._thread: RemoteMessageID | None = None
        self._sent: dict[int, RemoteMessageID] = {}
        for record in records:
            self._sent.setdefault(record.part, record.remote_id)  # of several ids the first
        self._targets = [self._sent[part] for part in sorted(self._sent)]

    async def carry_out(self, texts: tuple[Text, ...], counted: tuple[Fact, ...]) -> Handled:
        a, session = self._a, self._to.session
        sender, deleter = capability(session, CanSend), capability(session, CanDelete)
        if len(texts) > len(self._targets) and sender is None:
            return await a.end(a.ending("not_supported", "it is now too long for one message on this network"))
        if len(texts) < len(self._targets) and deleter is None:
            reason = f"the message went as {len(self._targets)} messages, and this network cannot delete any of them"
            return await a.end(a.ending("not_supported", reason))
        if len(texts) > len(self._targets) and session.limits(a.portal.key).threads:
            self._thread = await self._its_thread()
        facts: list[Fact] = list(a.progress.facts)
        steps = max(len(texts), len(self._targets))
        for step in range(a.progress.parts, steps):
            if step >= len(texts):
                assert deleter is not None
                done: list[Fact] | Ending = await self._delete(self._targets[step], deleter)
            elif step < len(self._targets):
                done = await self._change(self._targets[step], texts[step], step)
            else:
                assert sender is not None
                done = await self._append(texts[step], step, sender, facts)
            if isinstance(done, Ending):
                return await a.end(done, tuple(facts))
            facts += done
            if step + 1 < steps:
                await a.note_part(step + 1, tuple(facts))
        if steps > 1:
            facts += await a.o.own_changes.edits_saved(a.portal.key)
        more = len(texts) > len(self._targets) and sender is not None and sender.dedupes_for is None
        return a.crossed((*facts, *counted), barrier=more)

    async def _change(self, target: RemoteMessageID, text: Text, step: int) -> list[Fact] | Ending:
        edit = MatrixEdit(
            portal=self._a.portal.key,
            target=target,
            text=text,
            nonce=outgoing_nonce(self._a.o.books.secret, self._a.portal.key, self._a.event.event_id, step),
            timestamp=self._a.event.origin_server_ts,
            speaker=self._to.voice.speaker,
            hidden_mentions=self._hidden if step == 0 else (),
        )
        outcome = await self._a.call(lambda: self._editor.edit(edit), self._to)
        if isinstance(outcome, Ending):
            return outcome
        outcome = checked(outcome)
        own = await self._a.o.own_changes.edited(edit.portal, target, text, edit.nonce)
        return [*own, *(AliasSaved(edit.portal, id, target) for id in outcome.ids if id != target)]

    async def _append(self, text: Text, step: int, sender: CanSend, facts: list[Fact]) -> list[Fact] | Ending:
        """What does not fit into the parts that are there becomes another one."""
        message = MatrixMessage(
            portal=self._a.portal.key,
            text=text,
            nonce=outgoing_nonce(self._a.o.books.secret, self._a.portal.key, self._a.event.event_id, step),
            timestamp=self._a.event.origin_server_ts,
            speaker=self._to.voice.speaker,
            thread=self._thread,
        )
        part = max(self._sent, default=0) + 1 + step - len(self._targets)
        outcome = await self._a.send(message, sender, self._to)
        if isinstance(outcome, Ending):
            if outcome.code == "uncertain":
                facts.append(self._a.uncertain(message, part, event_id=self._original))
            return outcome
        return [*self._a.taken(message, part, outcome, event_id=self._original)]

    async def _its_thread(self) -> RemoteMessageID | None:
        """The thread that the message was said in, and what is added to it has to be."""
        a = self._a
        version = await a.o.versions.of(a.event.room_id, self._original)
        if version is None or version.thread is None:
            return None
        records = await a.o.targets.records(version.thread, a.portal, a.event.room_id, a.lane)
        return next((record.remote_id for record in records if record.portal == a.portal.key), None)

    async def _delete(self, target: RemoteMessageID, deleter: CanDelete) -> list[Fact] | Ending:
        delete = MatrixDelete(
            portal=self._a.portal.key,
            target=target,
            timestamp=self._a.event.origin_server_ts,
            speaker=self._to.voice.speaker,
        )
        outcome = await self._a.call(lambda: deleter.delete(delete), self._to)
        return outcome if isinstance(outcome, Ending) else [MessageDeleted(delete.portal, target)]


# --- deletions --------------------------------------------------------------------------------------------------------
async def redact(a: Attempt) -> Handled | None:
    """What was redacted on Matrix: a message is deleted on the network, a reaction taken back there. None if it is
    neither there."""
    target = a.event.redacts
    if target is None:
        return Handled()
    unsent = await a.o.files.forget(a.portal.key, target)
    if unsent:
        await a.o.books.save(*unsent)
    records = await a.o.targets.records(target, a.portal, a.event.room_id, a.lane)
    await a.o.files.withdrawn(records)
    if records:
        # One message of the network may stand for several parts, or have several ids for one.
        return await _delete(a, tuple({record.remote_id: record for record in records}.values()))
    reaction = await a.o.targets.reaction(target, a.portal, a.event.room_id)
    if reaction is not None:
        return await take_back(a, reaction)
    if await a.o.books.directory.uncertain(outgoing_nonce(a.o.books.secret, a.portal.key, target, 0)) is not None:
        # It may be there, under a name that the bridge was never told.
        reason = "it is not known whether that message was sent; if it was, delete it in the network's own app"
        return await a.end(a.ending("uncertain_target", reason))
    return None


async def _delete(a: Attempt, records: tuple[MessageRecord, ...]) -> Handled:
    if any(record.portal != a.portal.key for record in records):
        return await a.end(a.ending("other_portal", "the message is in another chat"))
    # What is done through another login is the same: an edit, a deletion.
    voice = await a.o.relay.voice(
        a.event, a.portal, None, begun=a.progress.voice, tried=False, may_be_sent=a.may_have_begun
    )
    if not isinstance(voice, Voice):
        return await a.unheard(voice)
    to = await a.connected(voice)
    if not isinstance(to, Connected):
        return to
    deleter = capability(to.session, CanDelete)
    if deleter is None:
        return await a.end(a.ending("not_supported", "this network cannot delete what was sent"))
    too_late = _late(a, records, to.session.limits(a.portal.key).delete_within, "deleted")
    if too_late is not None:
        return await a.end(too_late)
    await a.keep_voice(voice)
    facts: list[Fact] = list(a.progress.facts)
    for step in range(a.progress.parts, len(records)):
        delete = MatrixDelete(
            portal=a.portal.key,
            target=records[step].remote_id,
            timestamp=a.event.origin_server_ts,
            speaker=voice.speaker,
            reason=_reason(a.event.raw),
        )
        outcome = await a.call(lambda delete=delete: deleter.delete(delete), to)  # type: ignore[misc]
        if isinstance(outcome, Ending):
            return await a.end(outcome, tuple(facts))
        await _take_away(a, delete.target)
        facts.append(MessageDeleted(delete.portal, delete.target))
        if step + 1 < len(records):
            await a.note_part(step + 1, tuple(facts))
    return a.crossed(tuple(facts))


async def _take_away(a: Attempt, deleted: RemoteMessageID) -> None:
    """What came from the network in several events is gone as a whole there, and so in the room."""
    records = await a.o.books.message_by_remote(a.portal.key, deleted)
    await a.o.files.withdrawn(records)
    for record in records:
        if record.event_id != a.event.redacts:
            await a.o.status.withdraw(record.room, record.event_id)


class _Content(msgspec.Struct):
    reason: Any = ""


class _Redaction(msgspec.Struct):
    content: _Content = msgspec.field(default_factory=_Content)


_decode = msgspec.json.Decoder(_Redaction).decode


def _reason(raw: bytes) -> str:
    try:
        reason = _decode(raw).content.reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return reason if isinstance(reason, str) else ""
