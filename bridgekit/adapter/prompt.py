"""How a login flow talks with the person who logs in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Prompt(ABC):
    """A conversation with one person, for the length of one `Adapter.login`.

    Answers are never journalled; the framework redacts them in the room and forgets them when they are used.
    """

    @abstractmethod
    async def ask(self, question: str, *, secret: bool = False, choices: Sequence[str] = ()) -> str:
        """Ask, and wait for the answer (stripped). With `choices` only one of them is taken, the question is repeated
        otherwise. Raises `LoginCancelled` when the person stays silent for too long; when they cancel, or the bridge
        stops, the whole `login` is cancelled as asyncio does it."""

    @abstractmethod
    async def show(self, text: str = "", *, qr: str | None = None) -> None:
        """Tell the person something. `qr` is what a QR code should hold; it is shown as text, to be made into one.

        Raises `HomeserverError` if the bot cannot speak; let it escape, the login is broken off.
        """
