"""The two classes that every adapter has: the network itself, and one live connection to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import msgspec

from bridgekit.adapter.prompt import Prompt
from bridgekit.model.ids import PortalKey
from bridgekit.model.limits import Limits
from bridgekit.model.remote import Batch, Cursors, Login, RemoteEvent


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What the network is called. `id` is short and lower-case: it names ghosts, aliases and the bridge state event."""

    id: str
    name: str
    url: str = ""
    icon: str = ""


class NoConfig(msgspec.Struct, frozen=True):
    """The `network:` part of a bridge that needs none."""


class Adapter(ABC):
    """The author's code for one remote network; one object per process.

    `settings` is the `network:` part of the configuration, an instance of `config`.
    """

    network: ClassVar[Network]
    config: ClassVar[type[msgspec.Struct]] = NoConfig

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    async def login(self, prompt: Prompt) -> Login:
        """Log a person in: a straight-line conversation that ends in a `Login`.

        Raises `Rejected` (or anything in `errors.AdapterError`) with a reason for the person.
        """

    @abstractmethod
    def connect(self, login: Login) -> AbstractAsyncContextManager[Session]:
        """Open the login's live connection. Leaving the context closes it.

        Raises `AuthFailed` when the credentials no longer work, `Transient` or a connection error to be tried again.
        """

    async def logout(self, login: Login) -> None:  # noqa: B027 - optional hook: doing nothing is a good answer
        """The person logged out: end it at the network, where it can be ended. An error does not stop the logout."""


class Session(ABC):
    """The live connection of one `Login`.

    Capabilities are mixins (`bridgekit.adapter`): inheriting one is declaring it. All methods may be called at the
    same time as `events` runs: a paused pull never blocks a send.
    """

    @abstractmethod
    def events(self, after: Cursors) -> AsyncIterator[RemoteEvent | Batch]:
        """What happens at the network, from behind the cursors, for ever.

        When the iterator is resumed, what it yielded last is on disk; until then it is not, so confirm to the network
        only then. Ending or raising means the connection is gone; it is opened again.
        """

    def limits(self, portal: PortalKey) -> Limits:
        """What this chat can carry."""
        return Limits()
