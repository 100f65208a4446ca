"""A message on its way to the network: what it says there, as whom, in how many parts; edits are handed on."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.adapter.capabilities import CanSend, CanUploadMedia, capability
from bridgekit.core.from_matrix import ReadEdit, ReadText, Unreadable, answered, read_message
from bridgekit.core.media_from_matrix import location_words
from bridgekit.core.mentions import drop_answered, with_hidden
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.quoting import excerpt, with_quotation
from bridgekit.core.room_power import create_event, is_creator, may_mention_room
from bridgekit.core.text import downgrade, split_text
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.core.versions import edited_event
from bridgekit.errors import MatrixRequestError
from bridgekit.model.content import MentionRole, MentionRoom, MentionTarget, MentionUser, Text
from bridgekit.model.entry import Ending
from bridgekit.model.ids import EventID, RemoteMessageID, RemoteUserID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import MatrixMessage
from bridgekit.model.media import MatrixMedia
from bridgekit.model.records import Fact, MessageRecord
from bridgekit.runtime.changes import change
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.progress import Quote
from bridgekit.runtime.relay import Ignored, Refusal, Voice
from bridgekit.runtime.sending import Attempt, Connected
from bridgekit.runtime.status import PARTLY

log = logging.getLogger(__name__)


class Message:
    """One message event, once."""

    def __init__(self, attempt: Attempt) -> None:
        self._a = attempt
        self._o = attempt.o
        self._event = attempt.event
        self._portal = attempt.portal
        self._hashed: dict[UserID, RemoteUserID | None] = {}

    async def handle(self) -> Handled:
        a = self._a
        read = await self.read(self._event.raw)
        if isinstance(read, Unreadable) and read.code == "redacted":
            return Handled()
        if await a.deleted_meanwhile(*((read.target,) if isinstance(read, ReadEdit) else ())):
            return Handled()
        voice = await self._voice(read)
        if not isinstance(voice, Voice):
            return await a.unheard(voice)
        if isinstance(read, Unreadable):
            return await a.end(a.ending(read.code, read.reason))
        to = await a.connected(voice)
        if not isinstance(to, Connected):
            return to
        if isinstance(read, ReadEdit):
            return await change(a, read, to, self.parts, by=self._event.sender)
        sender = capability(to.session, CanSend)
        if sender is None:
            return await a.end(a.ending("not_supported", "this network cannot be written to"))
        return await self._send(read, to, sender)

    # --- what it says, and as whom ----------------------------------------------------------------------------------
    async def read(self, raw: bytes) -> ReadText | ReadEdit | Unreadable:
        """What a message event says. Raises `HomeserverError`, `StoreError`."""
        may_mention_room = await self._may_mention_room(raw)
        read = read_message(raw, resolve=self._resolve, may_mention_room=may_mention_room)
        if not self._hashed:
            return read
        for user in self._hashed:
            self._hashed[user] = await self._o.ghosts.person(user)
        return read_message(raw, resolve=self._resolve, may_mention_room=may_mention_room)

    def _resolve(self, user: str) -> MentionTarget | None:
        user_id, namespace = UserID(user), self._o.ghosts.namespace
        for record in self._o.books.logins(user_id):
            return MentionUser(record.login.user)
        remote = namespace.remote(user_id)
        if remote is None and namespace.is_ghost(user_id):
            # Too long to be read back: only the database knows, and is asked once it is known for whom.
            remote = self._hashed.setdefault(user_id, None)
        return MentionUser(remote) if remote is not None else None

    async def _person(self, user: UserID) -> MentionTarget | None:
        if (target := self._resolve(user)) is not None:
            return target
        remote = await self._o.ghosts.person(user)
        return MentionUser(remote) if remote is not None else None

    async def _may_mention_room(self, raw: bytes) -> bool:
        if b'"room"' not in raw:  # the usual case, in which nobody has to be asked
            return True
        homeserver, room, sender = self._o.homeserver, self._event.room_id, self._event.sender
        try:
            if may_mention_room(await homeserver.get_state(room, "m.room.power_levels"), sender):
                return True
            create = create_event(room)
            return create is not None and is_creator(await homeserver.get_event(room, create), sender)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            return False  # the bot is not there any more

    async def _voice(self, read: ReadText | ReadEdit | Unreadable) -> Voice | Refusal | Ignored:
        return await self._o.relay.voice(
            self._event,
            self._portal,
            None if isinstance(read, Unreadable) else read.text,
            begun=self._a.progress.voice,
            tried=self._a.tried,
            may_be_sent=self._a.may_have_begun,
        )

    async def parts(
        self, text: Text, to: Connected, hidden: tuple[MentionTarget, ...], changed: EventID
    ) -> tuple[tuple[Text, ...], tuple[MentionTarget, ...]]:
        """The new text of the event `changed` as this network takes it, with the speaker's name in front, or what it
        answers, simplified and cut; and whom the network is to notify besides."""
        limits = to.session.limits(self._portal.key)
        text, hidden = await self._spoken(text, to, hidden, limits)
        if not limits.replies and (quote := await self._quoted_by(changed, limits)) is not None:
            text = with_quotation(text, quote.name, quote.body)
            await self._keep_quote(quote)
        return self._cut(text, limits), hidden

    async def _spoken(
        self, text: Text, to: Connected, hidden: tuple[MentionTarget, ...], limits: Limits
    ) -> tuple[Text, tuple[MentionTarget, ...]]:
        names = {target: await self._name(target) for target in hidden}
        text, hidden = with_hidden(text, hidden, lambda target: names[target], limits)
        return self._o.relay.spoken(self._event, text, to.voice.speaker, limits), hidden

    def _cut(self, text: Text, limits: Limits) -> tuple[Text, ...]:
        text = downgrade(text, limits.formatting)
        if limits.max_text_length is None:
            return (text,)
        return split_text(text, limits.max_text_length, unit=limits.text_unit)

    async def _name(self, target: MentionTarget) -> str:
        """What the network calls somebody; nothing where that is unknown."""
        match target:
            case MentionUser(id):
                named = (record.login.name for record in self._o.books.logins() if record.login.user == id)
                if (name := next(named, "")) != "":
                    return name
                ghost = await self._o.books.ghost(id)
                return ghost.name if ghost is not None else ""
            case MentionRoom():
                return "room"
            case MentionRole():
                return target.name

    # --- what it answers --------------------------------------------------------------------------------------------
    async def _record(self, event_id: EventID | None) -> MessageRecord | None:
        if event_id is None:
            return None
        targets, room = self._o.targets, self._event.room_id
        records = await targets.records(event_id, self._portal, room, self._a.lane)
        if not records:
            # Some clients answer the edit that they show.
            raw = await self._o.versions.raw(room, event_id)
            original = edited_event(raw) if raw is not None else None
            if original is not None:
                records = await targets.records(original, self._portal, room, self._a.lane)
        return next((record for record in records if record.portal == self._portal.key), None)

    async def _quoted_by(self, changed: EventID, limits: Limits) -> Quote | None:
        """What is quoted in front of a message that is edited."""
        if self._a.progress.quote is not None:
            return self._a.progress.quote
        raw = await self._o.versions.raw(self._event.room_id, changed)
        read = read_message(raw, resolve=lambda user: None) if raw is not None else None
        if not isinstance(read, ReadText):
            return None
        answers = await self._record(answered(read, threads=limits.threads)[0])
        return await self._quote(answers) if answers is not None else None

    async def _keep_quote(self, quote: Quote) -> None:
        """What is quoted may be deleted before all parts are there, which must not change what they quote."""
        if self._a.progress.quote is None:
            await self._a.note(self._a.entry.marked_at, msgspec.structs.replace(self._a.progress, quote=quote))

    async def _quote(self, answers: MessageRecord) -> Quote | None:
        """What to quote of the answered message, on a network without replies."""
        if self._a.progress.quote is not None:
            return self._a.progress.quote
        event = await self._o.targets.event(self._event.room_id, answers.event_id)
        read = read_message(event.raw, resolve=lambda user: None) if event is not None else None
        if not isinstance(read, ReadText):
            return None
        name = (await self._o.speakers.speaker(self._event.room_id, answers.sender)).name
        said = read.text.body if read.text.body or read.file is None else read.file.name
        return Quote(name, excerpt(said))

    # --- its file, or place -----------------------------------------------------------------------------------------
    async def _media(self, read: ReadText, to: Connected, limits: Limits) -> MatrixMedia | Ending | None:
        """The file that it is, known to the network by now; or why it cannot be sent."""
        if read.file is None:
            return None
        uploader = capability(to.session, CanUploadMedia)
        refusal = self._o.files.refusal(read.file, limits, uploader)
        if refusal is not None:
            return self._a.ending(*refusal)
        assert uploader is not None
        return await self._o.files.remote(self._a, read.file, to, uploader)

    def _placed(self, read: ReadText, limits: Limits) -> ReadText:
        """A place in words, where the network has none."""
        if read.location is None or limits.locations:
            return read
        said = Text(location_words(read.location, read.text.body), read.text.runs, read.text.mentions)
        return msgspec.structs.replace(read, text=said, location=None)

    # --- sending ----------------------------------------------------------------------------------------------------
    async def _send(self, read: ReadText, to: Connected, sender: CanSend) -> Handled:
        a = self._a
        limits = to.session.limits(self._portal.key)
        read = self._placed(read, limits)
        # What is over is over: its file may be forgotten by now.
        media = await self._media(read, to, limits) if not a.progress.parts else None
        if isinstance(media, Ending):
            return await a.end(media)
        reply_event, thread_event = answered(read, threads=limits.threads)
        answers = await self._record(reply_event)
        thread = await self._record(thread_event)
        if thread_event is not None and thread is None and answers is None:
            answers = await self._record(read.reply_to)  # at least what was said before it there
        hidden = read.hidden
        if answers is not None and (whom := await self._person(answers.sender)) is not None:
            hidden = drop_answered(hidden, (whom,))
        text, hidden = await self._spoken(read.text, to, hidden, limits)
        quote = await self._quote(answers) if answers is not None and not limits.replies else None
        if quote is not None:
            text = with_quotation(text, quote.name, quote.body)
        parts = self._cut(text, limits)
        if read.file is not None and not limits.captions:  # what is said of it follows as a text of its own
            parts = (Text(), *(part for part in parts if part.body.strip()))
        await a.keep_voice(to.voice)
        if quote is not None:
            await self._keep_quote(quote)
        reply_to: RemoteMessageID | None = answers.remote_id if answers is not None and limits.replies else None
        facts: list[Fact] = list(a.progress.facts)
        for part in range(a.progress.parts, len(parts)):
            message = MatrixMessage(
                portal=self._portal.key,
                text=parts[part],
                nonce=outgoing_nonce(self._o.books.secret, self._portal.key, self._event.event_id, part),
                timestamp=self._event.origin_server_ts,
                speaker=to.voice.speaker,
                reply_to=reply_to if part == 0 else None,
                thread=thread.remote_id if thread is not None else None,
                hidden_mentions=hidden if part == 0 else (),
                media=media if part == 0 else None,
                location=read.location if part == 0 else None,
            )
            outcome = await a.send(message, sender, to)
            if isinstance(outcome, Ending):
                if outcome.code == "uncertain":
                    facts.append(a.uncertain(message, part))
                    if message.media is not None:  # a file that is to follow has to, if the message is there
                        facts += await self._o.files.sent(self._event.event_id)
                    if part + 1 < len(parts):
                        outcome = msgspec.structs.replace(outcome, reason=outcome.reason + PARTLY)
                return await a.end(outcome, tuple(facts))
            facts += a.taken(message, part, outcome)
            if message.media is not None:
                facts += await self._o.files.sent(self._event.event_id)
            if part + 1 < len(parts):
                await a.note_part(part + 1, tuple(facts))
        # Without deduplication a mark is all that keeps the next entry's crash from repeating this one.
        return a.crossed(tuple(facts), barrier=sender.dedupes_for is None)
