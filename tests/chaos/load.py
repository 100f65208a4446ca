"""The traffic: voices that speak in many rooms, in both directions, at their own pace, and change what was said."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter, deque
from random import Random
from typing import Any

from example_bridge.webchat.client import WebchatClient
from tests.chaos.person import Person
from tests.chaos.voices import MatrixVoice, Voice, WebchatVoice, Wishes
from tests.chaos.world import World


class Chat:
    """One webchat chat with its voices."""

    def __init__(self, id: str, reader: WebchatClient) -> None:
        self.id = id
        self.reader = reader
        self.quiet = asyncio.Event()
        self.webchat_voices: list[WebchatVoice] = []
        self.matrix_voices: list[MatrixVoice] = []

    @property
    def voices(self) -> list[Voice[Any]]:
        return [*self.webchat_voices, *self.matrix_voices]


class Load:
    """Speaks. A voice never sends before its last message was accepted; the voices of a room do not wait for each
    other. The newest `active` chats are spoken in; older ones go quiet."""

    def __init__(self, world: World, random: Random, *, active: int, pause_s: float, resize: bool) -> None:
        """`resize`: as in `Wishes`."""
        self.chats: dict[str, Chat] = {}
        self.sent = 0
        self._at_most = math.inf
        self._may_go_on = asyncio.Event()
        self.wishes = Wishes(resize=resize)
        self._world = world
        self._random = random
        self._active = active
        self._pause_s = pause_s
        self._numbers = itertools.count(1)
        self._chat_numbers = itertools.count()
        self._voices: set[asyncio.Task[None]] = set()
        self._living: deque[Chat] = deque()
        self._changed = asyncio.Event()
        self._rooms_before: dict[str, list[tuple[Person, str]]] = {}
        for person in world.people:
            person.on_join = self._joined

    # --- chats --------------------------------------------------------------------------------------------------------
    async def begin_chat(self) -> None:
        """A new chat: one of the people with a visitor, or a group."""
        number = next(self._chat_numbers)
        kind = number % 4
        people = [self._random.choice(self._world.people)]
        reader = await self._world.client(await self._world.webchat.account(f"Visitor {number}"))
        if kind == 3:  # every login sees it
            people = list(self._world.people)
        if kind in (0, 3):
            other = await self._world.webchat.account(f"Second visitor {number}")
            members = [*(person.account.id for person in people), other.id]
            chat = Chat((await reader.create_chat("group", members, name=f"Group {number}")).id, reader)
            speaking = [reader, await self._world.client(other)]
        else:
            chat = Chat((await reader.create_chat("direct", [people[0].account.id])).id, reader)
            speaking = [reader]
            if kind == 1:  # the person speaks on another device, too
                speaking.append(await self._world.client(people[0].account))
        self.chats[chat.id] = chat
        self._living.append(chat)
        for client in speaking:
            voice = WebchatVoice(client, chat.id, self._random, self._numbers, self.wishes)
            chat.webchat_voices.append(voice)
            self._start(chat, voice)
        for person, room in self._rooms_before.pop(chat.id, []):
            self._joined(person, room)
        if len(self._living) > self._active:
            self._living.popleft().quiet.set()

    def _joined(self, person: Person, room: str) -> None:
        chat = self.chats.get(person.rooms[room])
        if chat is None:
            self._rooms_before.setdefault(person.rooms[room], []).append((person, room))
            return
        voice = MatrixVoice(person, room, self._random, self._numbers, self.wishes)
        chat.matrix_voices.append(voice)
        self._start(chat, voice)

    # --- voices -------------------------------------------------------------------------------------------------------
    def _start(self, chat: Chat, voice: Voice[Any]) -> None:
        self._voices.add(asyncio.create_task(self._speak(chat, voice)))

    async def _speak(self, chat: Chat, voice: Voice[Any]) -> None:
        await self._say(voice)
        while not chat.quiet.is_set():
            if self.sent >= self._at_most:
                await self._may_go_on.wait()
                continue
            # Now and then several at once, else one after a while.
            for _ in range(4 if self._random.random() < 0.1 else 1):
                await self._say(voice)
                await voice.change()
            try:
                async with asyncio.timeout(self._random.uniform(0.2, 1.8) * self._pause_s):
                    await chat.quiet.wait()
            except TimeoutError:
                pass

    async def _say(self, voice: Voice[Any]) -> None:
        await voice.say()
        self._accepted()

    def _accepted(self) -> None:
        self.sent += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def allow(self, at_most: float) -> None:
        """Say so much in all, so that a slow machine has no more to carry than a fast one."""
        self._at_most = at_most
        self._may_go_on.set()
        self._may_go_on = asyncio.Event()

    async def until_sent(self, count: int) -> None:
        """Wait until so many messages have been accepted since the start. Raises what ended a voice."""
        while self.sent < count:
            self.check()
            await self._changed.wait()

    def check(self) -> None:
        """Raises what ended a voice: the load must not become less unseen."""
        for task in self._voices:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def finish(self) -> None:
        """Let every voice end; then each says one thing more, which stands behind everything else in its lane."""
        for chat in self.chats.values():
            chat.quiet.set()
        self.allow(math.inf)
        await asyncio.gather(*self._voices)
        for chat in self.chats.values():
            for voice in chat.voices:
                await self._say(voice)

    @property
    def files(self) -> int:
        """How many of the messages had one."""
        return sum(voice.files for chat in self.chats.values() for voice in chat.voices)

    @property
    def changes(self) -> Counter[str]:
        """What has been accepted besides messages: edits, reactions (those taken back, too), deletions."""
        voices = [voice for chat in self.chats.values() for voice in chat.voices]
        return sum((voice.changes for voice in voices), Counter())
