"""Logging in and out: conversations with a person, outside the lanes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from bridgekit.adapter.base import Adapter
from bridgekit.adapter.prompt import Prompt
from bridgekit.errors import AdapterError, HomeserverError, LoginCancelled, StoreError
from bridgekit.model.ids import EventID, LoginID, RoomID, UserID
from bridgekit.model.records import LoginRecord, LoginRemoved, LoginSaved
from bridgekit.model.remote import Login
from bridgekit.runtime.books import Books
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.talk import Talk

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 600.0


class RoomPrompt(Prompt):
    """A login conversation in a management room."""

    def __init__(self, talk: Talk, room: RoomID, began: EventID) -> None:
        self._talk = talk
        self._room = room
        self._began = began
        self._said = 1
        self._answer: asyncio.Future[str] | None = None

    async def say(self, text: str) -> None:
        """Speak in the conversation. Raises `HomeserverError`."""
        self._said += 1
        await self._talk.say(self._room, text, answers=self._began, index=self._said)

    async def ask(self, question: str, *, secret: bool = False, choices: Sequence[str] = ()) -> str:
        hints = [f"({' / '.join(choices)})"] if choices else []
        if secret:
            hints.append("Your answer is deleted once it is read.")
        await self.say(" ".join([question, *hints]))
        while True:
            self._answer = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answer = (await self._answer).strip()
            except TimeoutError:
                raise LoginCancelled("nobody answered") from None
            finally:
                self._answer = None
            matching = [choice for choice in choices if choice.casefold() == answer.casefold()]
            if not choices or matching:
                return matching[0] if matching else answer
            await self.say(f"Please answer with one of: {', '.join(choices)}.")

    async def show(self, text: str = "", *, qr: str | None = None) -> None:
        await self.say("\n".join(part for part in (text, qr) if part))

    def waits(self) -> bool:
        """Whether a question waits for its answer."""
        return self._answer is not None and not self._answer.done()

    def answer(self, text: str) -> None:
        """The person's words."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(text)


class Logins:
    """Who is logged in, and who is about to be."""

    def __init__(self, adapter: Adapter, books: Books, sessions: Sessions, talk: Talk) -> None:
        self._adapter = adapter
        self._books = books
        self._sessions = sessions
        self._talk = talk
        self._conversations: dict[UserID, tuple[RoomPrompt, RoomID, asyncio.Task[None]]] = {}
        self.on_logout: Callable[[LoginID], Awaitable[None]] = _nothing
        """Awaited while the session is still there. May raise `StoreError`."""

    # --- conversations --------------------------------------------------------------------------------------------
    def begin(self, user: UserID, room: RoomID, event: EventID) -> bool:
        """Start logging a person in. False if a conversation with them is under way."""
        if user in self._conversations:
            return False
        prompt = RoomPrompt(self._talk, room, event)
        task = asyncio.create_task(self._converse(user, prompt), name=f"login {user}")
        self._conversations[user] = (prompt, room, task)
        task.add_done_callback(lambda _: self._conversations.pop(user, None))
        return True

    def takes_answer(self, user: UserID, room: RoomID) -> Callable[[str], None] | None:
        """Where a message of this person in this room goes, if a question waits for it."""
        conversation = self._conversations.get(user)
        if conversation is None or conversation[1] != room or not conversation[0].waits():
            return None
        return conversation[0].answer

    def is_under_way(self, user: UserID) -> bool:
        """Whether a conversation with this person is under way."""
        return user in self._conversations

    async def cancel(self, user: UserID) -> bool:
        """End a conversation. False if there is none."""
        conversation = self._conversations.get(user)
        if conversation is None:
            return False
        conversation[2].cancel()
        await asyncio.gather(conversation[2], return_exceptions=True)
        return True

    async def stop(self) -> None:
        """End all conversations."""
        await asyncio.gather(*(self.cancel(user) for user in list(self._conversations)))

    async def _converse(self, user: UserID, prompt: RoomPrompt) -> None:
        try:
            answer = await self._login(user, prompt)
        except (HomeserverError, StoreError) as error:
            log.warning("a login was broken off: %s", error)
            return
        try:
            await prompt.say(answer)
        except HomeserverError as error:
            log.warning("a person could not be told how the login ended: %s", error)

    async def _login(self, user: UserID, prompt: RoomPrompt) -> str:
        """Log the person in; what to tell them at the end."""
        try:
            login = await self._adapter.login(prompt)
        except LoginCancelled as error:
            return f"The login was cancelled: {error}."
        except AdapterError as error:
            return f"The login failed: {error.reason or 'the network refused'}."
        except (OSError, TimeoutError) as error:
            return f"The login failed: no answer from the network ({type(error).__name__}). Try again later."
        except (HomeserverError, StoreError):
            raise
        except Exception:
            log.exception("the adapter's login failed")
            return "The login failed: internal error in the bridge; the admin can see it in the log."
        other = self._books.login(login.id)
        if other is not None and other.user_id != user:
            return f"{login.name or login.id} is logged in by somebody else already."
        await self.add(LoginRecord(login=login, user_id=user))
        return f"You are logged in as {login.name or login.id}."

    # --- logins ---------------------------------------------------------------------------------------------------
    async def add(self, record: LoginRecord) -> None:
        """Store a login (again) and connect it."""
        await self._sessions.disconnect(record.login.id)
        await self._books.save(LoginSaved(record))
        self._sessions.connect(record.login.id)

    async def remove(self, id: LoginID) -> Login | None:
        """Log out: at the network if that can be had, and here. None if there is no such login."""
        record = self._books.login(id)
        if record is None:
            return None
        await self.on_logout(id)
        await self._sessions.disconnect(id)
        try:
            await self._adapter.logout(record.login)
        except Exception as error:  # noqa: BLE001 - a network that is away must not keep anybody logged in here
            log.warning("the network was not told of a logout: %s", error)
        await self._books.save(LoginRemoved(id))
        self._sessions.changed()
        return record.login


async def _nothing(login: LoginID) -> None:
    pass
