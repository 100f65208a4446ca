"""Who speaks: people on both sides, who say something, change what they said, and react to what others say."""

from __future__ import annotations

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from collections import Counter, deque
from random import Random
from typing import Generic, Protocol, TypeVar

import msgspec

from example_bridge.webchat.client import File, MessageEvent, Receipt, Refused, WebchatClient, WebchatError
from tests.chaos.files import Made, make
from tests.chaos.person import AGAIN_S, Person, Said
from tests.chaos.words import read, spell

log = logging.getLogger(__name__)

LONG = 1_300
"""Words of a long message: three parts, at webchat's 4000 characters each."""

EMOJI = ("👍", "❤️", "🎉")
"""Few, so that people take back, and react again with the same; one needs a variation selector."""

REMEMBERED = 6
"""A voice changes one of so many messages that it said last: often one that is on its way still."""

FILES = 0.12
"""So many of all messages have a file."""

NEARBY = 25
"""A voice reacts to one of so many messages that it saw last."""


class Wishes(msgspec.Struct):
    """`long`: so many of the next messages from Matrix have several parts; `files`: so many of the next messages of
    either side have a file. `resize`: edits may change their number of parts, which makes new messages; a network that
    drops no repeats can leave those uncertain, as any message."""

    long: int = 0
    files: int = 0
    resize: bool = True


class _Own(Protocol):
    """A message of one's own."""

    token: str
    words: int
    file: Made | None
    revision: int
    deleted: bool


O = TypeVar("O", bound=_Own)  # noqa: E741 - own


class Voice(ABC, Generic[O]):
    """One person in one chat, from one side. It never does anything before the last thing was accepted."""

    def __init__(self, random: Random, numbers: itertools.count[int], wishes: Wishes, letter: str) -> None:
        """`numbers`: of tokens, shared by all voices; `letter`: what this side's begin with."""
        self._random = random
        self._numbers = numbers
        self._wishes = wishes
        self._letter = letter
        self._mine: deque[O] = deque(maxlen=REMEMBERED)
        self._reactions: dict[tuple[str, str], str] = {}  # (message, emoji) -> what takes it back
        self.changes: Counter[str] = Counter()
        self.files = 0
        """How many of its messages had a file."""

    # --- what a side can do -----------------------------------------------------------------------------------------
    @abstractmethod
    async def _send(self, token: str, text: str) -> O: ...

    @abstractmethod
    async def _send_file(self, token: str, caption: str, file: Made, *, bytes_first: bool) -> O:
        """`bytes_first`: upload, then say it; else the message goes out while its file is still to come."""

    @abstractmethod
    async def _edit(self, own: O, text: str) -> None: ...

    @abstractmethod
    async def _delete(self, own: O) -> None: ...

    @abstractmethod
    async def _nearby(self) -> list[str]:
        """Ids of messages that were said last, by anybody."""

    @abstractmethod
    async def _react(self, message: str, emoji: str) -> str | None:
        """Returns what takes it back; None if nothing does."""

    @abstractmethod
    async def _unreact(self, message: str, emoji: str, handle: str) -> None: ...

    # --- what it does -----------------------------------------------------------------------------------------------
    async def say(self) -> None:
        """Something new."""
        token = f"{self._letter}{next(self._numbers)}"
        text = spell(token, self._length())
        wished = self._wishes.files > 0
        if not wished and self._random.random() >= FILES:
            self._mine.append(await self._send(token, text))
            return
        self._wishes.files -= int(wished)
        file, bytes_first = make(token, self._random), self._random.random() < 0.4
        self._mine.append(await self._send_file(token, text, file, bytes_first=bytes_first))
        self.files += 1

    async def change(self) -> None:
        """Something that was said, or nothing: about every second time."""
        match self._random.choices(("edit", "delete", "react", "unreact", "nothing"), weights=(24, 6, 22, 14, 34))[0]:
            case "edit":
                for _ in range(self._random.choice((1, 1, 1, 2, 3))):  # edits of edits
                    await self._change_text()
            case "delete" if own := self._one_of_mine():
                self._mine.remove(own)
                await self._delete(own)
                self.changes["deletions"] += 1
            case "react":
                await self._add_reaction()
            case "unreact" if self._reactions:
                message, emoji = self._random.choice([*self._reactions])
                await self._unreact(message, emoji, self._reactions.pop((message, emoji)))
                self.changes["reactions"] += 1

    async def _change_text(self) -> None:
        own = self._one_of_mine()
        if own is None:
            return
        length = self._random.randint(1, 6)
        if self._wishes.resize and own.words >= LONG // 2:
            length = self._random.choice((length, LONG // 2, LONG))
        await self._edit(own, spell(own.token, length, own.revision + 1))
        self.changes["edits"] += 1

    async def _add_reaction(self) -> None:
        nearby = await self._nearby()
        if not nearby:
            return
        message, emoji = self._random.choice(nearby), self._random.choice(EMOJI)
        if (message, emoji) in self._reactions:
            return
        handle = await self._react(message, emoji)
        if handle is not None:
            self._reactions[message, emoji] = handle
            self.changes["reactions"] += 1

    def _one_of_mine(self) -> O | None:
        """The last one mostly."""
        mine = [own for own in self._mine if self._wishes.resize or own.words < LONG // 2]
        if not mine:
            return None
        return mine[-1] if self._random.random() < 0.5 else self._random.choice(mine)

    def _length(self) -> int:
        return self._random.randint(1, 6)


class MatrixVoice(Voice[Said]):
    """A person in a portal's room."""

    def __init__(
        self, person: Person, room: str, random: Random, numbers: itertools.count[int], wishes: Wishes
    ) -> None:
        super().__init__(random, numbers, wishes, "m")
        self._person = person
        self._room = room

    def _length(self) -> int:
        if self._wishes.long > 0:
            self._wishes.long -= 1
            return LONG
        return super()._length()

    async def _send(self, token: str, text: str) -> Said:
        return await self._person.say(self._room, token, text)

    async def _send_file(self, token: str, caption: str, file: Made, *, bytes_first: bool) -> Said:
        return await self._person.say_file(self._room, token, caption, file, bytes_first=bytes_first)

    async def _edit(self, own: Said, text: str) -> None:
        await self._person.edit(own, text)

    async def _delete(self, own: Said) -> None:
        await self._person.delete(own)

    async def _nearby(self) -> list[str]:
        found = []
        for event in reversed(self._person.client.events):
            if event.room_id == self._room and event.type == "m.room.message" and read(event.body or "").first == 0:
                found.append(event.event_id)
                if len(found) == NEARBY:
                    break
        return found

    async def _react(self, message: str, emoji: str) -> str | None:
        return await self._person.react(self._room, message, emoji)

    async def _unreact(self, message: str, emoji: str, handle: str) -> None:
        await self._person.redact(self._room, handle)


class Told(msgspec.Struct):
    """A message that the webchat has taken; as `Said`."""

    id: str
    token: str
    words: int
    file: Made | None = None
    revision: int = 0
    deleted: bool = False


class WebchatVoice(Voice[Told]):
    """An account in a chat; one of a person with a login is that person's other device."""

    def __init__(
        self, client: WebchatClient, chat: str, random: Random, numbers: itertools.count[int], wishes: Wishes
    ) -> None:
        super().__init__(random, numbers, wishes, "w")
        self._client = client
        self._chat = chat
        self._last_seq = 0
        self.said: list[Told] = []

    async def _send(self, token: str, text: str) -> Told:
        return await self._say(token, text)

    async def _send_file(self, token: str, caption: str, file: Made, *, bytes_first: bool) -> Told:
        size = len(file.data) if self._random.random() < 0.7 else None  # it need not be announced
        id = await self._client.reserve(file.name, file.mimetype, size)
        if bytes_first:
            await self._upload(id, file)
        told = await self._say(token, caption, file, File(id=id, size=size))
        if not bytes_first:
            await self._upload(id, file)
        return told

    async def _say(self, token: str, text: str, file: Made | None = None, *files: File) -> Told:
        receipt = self._taken(await self._client.send(self._chat, text, nonce=token, files=files))
        told = Told(receipt.id, token, len(text.split()), file)
        self.said.append(told)
        return told

    async def _upload(self, id: str, file: Made) -> None:
        """Again and again, as faults may meet it."""
        while True:
            try:
                await self._client.upload(id, file.pieces(), len(file.data))
            except Refused as error:
                if error.code != "conflict":  # it is there: only the answer was lost
                    raise
            except WebchatError as error:
                log.info("again: %r", error)
                await asyncio.sleep(AGAIN_S)  # noqa: TID251 - a foreign server's faults do not say when they end
                continue
            return

    async def _edit(self, own: Told, text: str) -> None:
        own.revision += 1
        own.words = len(text.split())
        self._taken(await self._client.edit(self._chat, own.id, text, nonce=self._nonce()))

    async def _delete(self, own: Told) -> None:
        own.deleted = True
        self._taken(await self._client.delete(self._chat, own.id, nonce=self._nonce()))

    async def _nearby(self) -> list[str]:
        events = await self._client.events(self._chat, after=max(0, self._last_seq - NEARBY), limit=NEARBY)
        messages = [event.message for event in events if isinstance(event, MessageEvent) and not event.message.deleted]
        # Of a message in several parts the first stands for all on the other side.
        return [message.id for message in messages if read(message.text).first == 0]

    async def _react(self, message: str, emoji: str) -> str | None:
        try:
            self._taken(await self._client.react(self._chat, message, emoji, nonce=self._nonce()))
        except Refused as error:
            if error.code != "not_found":
                raise
            return None  # deleted since it was seen
        return emoji

    async def _unreact(self, message: str, emoji: str, handle: str) -> None:
        try:
            self._taken(await self._client.unreact(self._chat, message, emoji, nonce=self._nonce()))
        except Refused as error:
            if error.code != "not_found":
                raise

    def _nonce(self) -> str:
        return f"c{next(self._numbers)}"

    def _taken(self, receipt: Receipt) -> Receipt:
        self._last_seq = max(self._last_seq, receipt.seq)
        return receipt
