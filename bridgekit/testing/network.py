"""A remote network in memory, and the adapter for it: every outcome can be ordered in advance."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bridgekit.adapter.base import Adapter, Network, Session
from bridgekit.adapter.capability import Capability
from bridgekit.adapter.prompt import Prompt
from bridgekit.errors import Rejected
from bridgekit.model.content import Style, Text
from bridgekit.model.ids import ChatID, LoginID, Nonce, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import MatrixMessage
from bridgekit.model.remote import (
    Batch,
    Cursor,
    Login,
    RemoteCaughtUp,
    RemoteChat,
    RemoteEvent,
    RemoteMessage,
    RemoteProgress,
    RemoteReceipt,
    RemoteTyping,
    Sent,
)
from bridgekit.testing.deeds import Deeds, Echo, Outcome
from bridgekit.testing.fake_calls import FakeCalls
from bridgekit.testing.fake_session import ConfirmingSession, FakeSession, ForgetfulSession, reserving, session_lacking
from bridgekit.testing.matrix_files import MatrixFiles
from bridgekit.testing.remote_files import RemoteFiles

__all__ = [
    "ConfirmingSession",
    "Echo",
    "FakeAdapter",
    "FakeNetwork",
    "FakeSession",
    "ForgetfulSession",
    "Outcome",
    "able",
]


def able(**limits: Any) -> Limits:
    """The limits of a network that can show everything that a text and a file may have, but for these."""
    everything = {"formatting": frozenset(Style), "replies": True, "room_mentions": True, "captions": True}
    return Limits(**{**everything, **limits})


class FakeNetwork(FakeCalls, Deeds, RemoteFiles, MatrixFiles):
    """The far end. It outlives the bridges that connect to it.

    `limits`: what it can carry, `able` unless said. `echo`: whether our own messages come back, and whether with their
    nonce. `dedupes`: it drops repeated nonces of the same account.
    `accepted` holds what it took from the bridge, in its order: (chat, text); `spoken` the same with who sent it.
    `relays_as`: it shows relayed messages under this sender instead of the account that sent them.
    `reserves`: a message can be sent before its file. `lacks`: capabilities that its sessions do not have. What it was
    told besides messages: see `Deeds`.
    """

    def __init__(
        self,
        *,
        dedupes: bool = True,
        echo: Echo = "nonce",
        confirms: bool = False,
        limits: Limits | None = None,
        yields: Callable[[], int] = lambda: 0,
        lacks: Iterable[type[Capability]] = (),
        reserves: bool = False,
    ) -> None:
        Deeds.__init__(self)
        FakeCalls.__init__(self)
        RemoteFiles.__init__(self)
        MatrixFiles.__init__(self)
        self.reserves = reserves
        self.lacks = frozenset(lacks)
        self.dedupes = dedupes
        self.echo = echo
        self.confirms = confirms
        self.limits = limits or able()
        self.yields = yields
        self.accepted: list[tuple[ChatID, str]] = []
        self.spoken: list[tuple[LoginID, MatrixMessage]] = []
        self.tries: list[Nonce] = []
        self.relays_as: RemoteUserID | None = None
        self.connections = 0
        self.outcomes: deque[Outcome] = deque()
        self.connect_errors: deque[BaseException] = deque()
        self.describe_errors: deque[BaseException] = deque()
        self.names: dict[RemoteUserID, str] = {}
        self.chats: dict[PortalKey, RemoteChat] = {}
        self.names_avatars = True  # `set_avatar` returns what it calls the picture
        self.lists_chats = False  # each connection begins with all of `chats`
        self.says_caught_up = False  # and says when it has yielded what was there
        self.people: dict[str, RemoteUserID] = {}  # who can be written to, by what a person types
        self.resolve_errors: deque[BaseException] = deque()
        self.opened: list[RemoteUserID] = []  # with whom chats were opened, repeats included
        self.login_script: Callable[[Prompt], Any] | None = None
        self.logged_out: list[LoginID] = []
        self._stream: list[tuple[RemoteEvent | Batch, LoginID | None]] = []
        self._more = asyncio.Event()
        self._nonces: dict[tuple[LoginID, Nonce], RemoteMessageID] = {}
        self._ended = asyncio.Event()

    # --- what happens there -----------------------------------------------------------------------------------------
    def say(
        self, chat: str, sender: str, text: str | Text, *, id: str | None = None, at: int | None = None, **more: Any
    ) -> RemoteMessage:
        """Somebody writes in a chat that all logins see, at a time (ms)."""
        message = RemoteMessage(
            portal=PortalKey(ChatID(chat)),
            id=RemoteMessageID(id or f"m{len(self._stream) + 1}"),
            sender=RemoteUserID(sender),
            timestamp=1_700_000_000_000 + len(self._stream) if at is None else at,
            text=text if isinstance(text, Text) else Text(text),
            **more,
        )
        self.emit(message)
        return message

    def chat(self, chat: str, *members: str, name: str | None = None, **more: Any) -> RemoteChat:
        """There is a chat (or it is like this now), which sessions can describe. Nobody is told."""
        people = tuple(RemoteUserID(member) for member in members)
        listed = RemoteChat(portal=PortalKey(ChatID(chat)), name=name or f"Chat {chat}", members=people, **more)
        self.chats[listed.portal] = listed
        return listed

    def emit(self, event: RemoteEvent | Batch, *, to: LoginID | None = None) -> None:
        """Anything happens. `to`: only this login sees it."""
        self._stream.append((event, to))
        self._more.set()
        self._more = asyncio.Event()

    def next_sends(self, *outcomes: BaseException | Outcome) -> None:
        """What becomes of the next sends; a plain exception means that the network has not taken the message."""
        self.outcomes.extend(each if isinstance(each, Outcome) else Outcome(each) for each in outcomes)

    def texts(self, chat: str) -> list[str]:
        """What it took from the bridge in this chat."""
        return [text for where, text in self.accepted if where == chat]

    def drop_connections(self) -> None:
        """All sessions end."""
        self._ended.set()
        self._ended = asyncio.Event()

    # --- for the sessions -------------------------------------------------------------------------------------------
    async def take(self, login: Login, message: MatrixMessage) -> Sent:
        """A session sends."""
        self.tries.append(message.nonce)
        for _ in range(self.yields()):
            await asyncio.sleep(0)
        outcome = self.outcomes.popleft() if self.outcomes else Outcome()
        if outcome.error is not None and not outcome.taken:
            raise outcome.error
        id = self._nonces.get((login.id, message.nonce)) if self.dedupes else None
        if id is None:
            id = RemoteMessageID(f"s{len(self.tries)}")
            self._nonces[login.id, message.nonce] = id
            self.accepted.append((message.portal.chat, message.text.body))
            self.spoken.append((login.id, message))
            if self.echo != "none":
                self.emit(
                    RemoteMessage(
                        portal=message.portal,
                        id=id,
                        sender=(message.speaker.relayed and self.relays_as) or login.user,
                        timestamp=message.timestamp,
                        text=message.text,
                        nonce=message.nonce if self.echo == "nonce" else None,
                    )
                )
        if outcome.gate is not None:
            await outcome.gate.wait()
        for _ in range(self.yields()):
            await asyncio.sleep(0)
        if outcome.error is not None:
            raise outcome.error
        return Sent((id,))

    def find(self, nonce: Nonce) -> Sent | None:
        """Whether it took a message."""
        return next((Sent((id,)) for (_, each), id in self._nonces.items() if each == nonce), None)

    async def stream(self, login: LoginID, after: int) -> AsyncIterator[RemoteEvent | Batch]:
        """Everything from behind a place, for ever; the place is the cursor."""
        ended = self._ended
        place = after
        if self.lists_chats:
            yield Batch(events=tuple(self.chats.values()))
        backlog, said = len(self._stream), not self.says_caught_up
        while True:
            if place >= backlog and not said:
                said = True
                yield RemoteCaughtUp()
            more = self._more
            while place < len(self._stream):
                item, to = self._stream[place]
                place += 1
                if to in (None, login):
                    yield _placed(item, Cursor("", str(place)))
                if ended.is_set():
                    return
            waits = [asyncio.ensure_future(more.wait()), asyncio.ensure_future(ended.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if ended.is_set():
                return


def _placed(item: RemoteEvent | Batch, cursor: Cursor) -> RemoteEvent | Batch:
    match item:
        case Batch(events=()):
            return msgspec.structs.replace(item, events=(RemoteProgress(cursor=cursor),))
        case Batch():
            *before, last = item.events
            placed = _placed(last, cursor)
            assert not isinstance(placed, Batch)
            tail = (placed, RemoteProgress(cursor=cursor)) if placed is last else (placed,)
            return msgspec.structs.replace(item, events=(*before, *tail))
        case RemoteReceipt() | RemoteTyping():
            return item  # never written down, so no place of their own
        case _:
            return msgspec.structs.replace(item, cursor=cursor)


class FakeAdapter(Adapter):
    """The adapter for a `FakeNetwork`, which is its settings."""

    network = Network(id="fake", name="Fake")
    settings: FakeNetwork

    async def login(self, prompt: Prompt) -> Login:
        if self.settings.login_script is not None:
            login: Login = await self.settings.login_script(prompt)
            return login
        token = await prompt.ask("What is your token?", secret=True)
        if token == "wrong":  # noqa: S105 - a made-up one
            raise Rejected("that token is not valid")
        return Login(id=LoginID(token), user=RemoteUserID(token), name=token.title())

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        if self.settings.connect_errors:
            raise self.settings.connect_errors.popleft()
        self.settings.connections += 1
        far = self.settings
        kind = FakeSession if far.dedupes else ConfirmingSession if far.confirms else ForgetfulSession
        if far.reserves:
            kind = reserving(kind)
        yield (session_lacking(kind, far.lacks) if far.lacks else kind)(far, login)

    async def logout(self, login: Login) -> None:
        self.settings.logged_out.append(login.id)
