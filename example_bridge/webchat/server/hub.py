"""Which sockets are open, and who gets which event."""

from __future__ import annotations

from typing import Protocol

from example_bridge.webchat.server.events import Signal
from example_bridge.webchat.server.store import Published, Signalled


class Listener(Protocol):
    """One open stream of one account."""

    account: str

    def publish(self, event: Published) -> None: ...

    def signal(self, signal: Signal) -> None: ...

    def drop(self) -> None:
        """Cut the connection without a farewell."""

    def wake(self) -> None:
        """Look again whether something may be streamed."""

    def revoke(self) -> None:
        """Close: the account's token no longer counts."""


class Hub:
    """The open streams by account."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def add(self, listener: Listener) -> None:
        self._listeners.setdefault(listener.account, []).append(listener)

    def remove(self, listener: Listener) -> None:
        listeners = self._listeners[listener.account]
        listeners.remove(listener)
        if not listeners:
            del self._listeners[listener.account]

    def publish(self, event: Published | Signalled) -> None:
        for account in event.audience:
            for listener in self._listeners.get(account, ()):
                if isinstance(event, Published):
                    listener.publish(event)
                else:
                    listener.signal(event.signal)

    def has(self, account: str) -> bool:
        """Whether the account has a stream."""
        return account in self._listeners

    def of(self, account: str | None) -> list[Listener]:
        """The account's open streams; None: everybody's."""
        if account is not None:
            return list(self._listeners.get(account, ()))
        return [listener for listeners in self._listeners.values() for listener in listeners]
