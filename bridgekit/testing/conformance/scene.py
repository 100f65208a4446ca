"""What a check is given: the network, the adapter, and an account that is logged in."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.adapter.capability import Capability
from bridgekit.adapter.prompt import Prompt
from bridgekit.model.content import Text
from bridgekit.model.ids import Nonce, PortalKey, RemoteMessageID
from bridgekit.model.matrix import MatrixDelete, MatrixEdit, MatrixMessage, MatrixReaction, Speaker
from bridgekit.model.remote import Login, Sent
from bridgekit.testing.conformance.bench import Bench, mark_tasks
from bridgekit.testing.conformance.checks import Fault, NotHere, eventually, show, trace, within
from bridgekit.testing.conformance.line import Line
from bridgekit.testing.conformance.remote import Post, Remote

SPEAKER = Speaker("Alice")
NOW_MS = 1_750_000_000_000


class Answers(Prompt):
    """The person who logs in: answers as the driver says."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def ask(self, question: str, *, secret: bool = False, choices: Sequence[str] = ()) -> str:
        said: str = await self._answer(question)
        if choices and said not in choices:
            raise Fault(f"login asked {question!r}, with the choices {list(choices)}, and the driver said {said!r}")
        return said.strip()

    async def show(self, text: str = "", *, qr: str | None = None) -> None:
        return None


class Scene:
    """One test's world. Every value that it makes for the adapter is new: nonces, texts."""

    def __init__(self, adapter: type[Adapter], remote: Remote) -> None:
        self.remote = remote
        self.adapter_type = adapter
        self.patience_s = remote.patience_s
        self._numbers = itertools.count(1)
        self._login: Login | None = None

    @classmethod
    @asynccontextmanager
    async def of(cls, adapter: type[Adapter], remote: type[Remote], directory: Path) -> AsyncIterator[Scene]:
        """Start the network; end it in any case."""
        mark_tasks()
        driver = remote(directory)
        try:
            await driver.start()
            yield cls(adapter, driver)
        finally:
            await driver.stop()

    # --- the adapter ------------------------------------------------------------------------------------------------
    def adapter(self) -> Adapter:
        """A new object, as in a new process."""
        return self.adapter_type(self.remote.settings())

    async def log_in(self, adapter: Adapter | None = None) -> Login:
        """Go through the adapter's login conversation."""
        try:
            login = await within(
                self.patience_s,
                (adapter or self.adapter()).login(Answers(self.remote.answer)),
                f"`login` had not returned after {self.patience_s:g} s, though every question was answered",
            )
        except (Fault, NotHere):
            raise
        except Exception as error:  # noqa: BLE001 - the adapter's; it is told with its traceback
            raise Fault(f"`login` raised {show(error)}, though all answers were right{trace(error)}") from None
        if not isinstance(login, Login):
            raise Fault(f"`login` returned {login!r}, which is no Login")
        return login

    async def login(self) -> Login:
        """The account's login."""
        if self._login is None:
            self._login = await self.log_in()
        return self._login

    @asynccontextmanager
    async def line(self, cursors: Mapping[str, str] | None = None, state: bytes | None = None) -> AsyncIterator[Line]:
        """A connection, opened by a new adapter object, as a new process would: all it knows is what was on disk."""
        login = await self.login()
        if state is not None:
            login = msgspec.structs.replace(login, state=state)
        line = Line(self.adapter(), login, cursors or {}, self.patience_s)
        try:
            try:
                await line.opened()
            except Fault:
                raise
            except Exception as error:  # noqa: BLE001 - the adapter's; it is told with its traceback
                raise Fault(f"`connect` raised {show(error)}, though nothing was wrong{trace(error)}") from None
            yield line
        finally:
            await line.close()

    async def require(self, *capabilities: type[Capability]) -> None:
        """Go on only if the sessions have all of these."""
        if not capabilities:
            return
        async with self.line() as line:
            for each in capabilities:
                if not isinstance(line.session, each):
                    raise NotHere(f"{type(line.session).__name__} has no {each.__name__}")

    @asynccontextmanager
    async def bridge(self) -> AsyncIterator[Bench]:
        """A whole bridge, with a homeserver that is not real. Alice is logged in to the account."""
        bench = Bench(self.adapter, self.patience_s)
        await bench.begin(await self.login())
        try:
            yield bench
        finally:
            await bench.close()

    # --- what people say --------------------------------------------------------------------------------------------
    def words(self, what: str = "words") -> str:
        """A text that nobody has said yet."""
        return f"{what} {next(self._numbers)}"

    def nonce(self) -> Nonce:
        return Nonce(f"conformance-{next(self._numbers)}")

    def message(self, chat: PortalKey, text: str | Text, **more: Any) -> MatrixMessage:
        """What Alice has written, as the bridge gives it to `send`."""
        said = Text(text) if isinstance(text, str) else text
        given = {"nonce": self.nonce(), "timestamp": NOW_MS, "speaker": SPEAKER, **more}
        return MatrixMessage(portal=chat, text=said, **given)

    def edit(self, chat: PortalKey, target: RemoteMessageID, text: str) -> MatrixEdit:
        return MatrixEdit(
            portal=chat, target=target, text=Text(text), nonce=self.nonce(), timestamp=NOW_MS, speaker=SPEAKER
        )

    def delete(self, chat: PortalKey, target: RemoteMessageID) -> MatrixDelete:
        return MatrixDelete(portal=chat, target=target, timestamp=NOW_MS, speaker=SPEAKER)

    def reaction(self, chat: PortalKey, target: RemoteMessageID, emoji: str) -> MatrixReaction:
        return MatrixReaction(portal=chat, target=target, emoji=emoji, nonce=self.nonce(), timestamp=NOW_MS)

    # --- what the network shows -------------------------------------------------------------------------------------
    async def posts(self, chat: PortalKey, text: str) -> list[Post]:
        """The messages of a chat that say this, as the network has them now."""
        return [post for post in await self.remote.look(chat) if post.text == text]

    async def post(self, chat: PortalKey, text: str, otherwise: str) -> Post:
        """The one message that says this; waits for it."""

        async def look() -> Post | None:
            return next(iter(await self.posts(chat, text)), None)

        return await eventually(self.patience_s, look, otherwise)


def one_id(sent: object, call: str = "send()") -> RemoteMessageID:
    """The id of a message that was just sent."""
    if not isinstance(sent, Sent):
        raise Fault(f"{call} returned {sent!r}; it must return a Sent")
    if not sent.ids:
        raise NotHere(f"{call} does not say the message's id")
    return sent.ids[0]
