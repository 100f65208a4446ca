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
    """What the network is called.

    `id` is short and lower-case; ghosts, aliases and the bot begin with it, so it never changes. `name` is for people.
    `url` (its home page) and `icon` (a picture, as ``mxc://``) are shown by clients that show bridges (MSC2346);
    ``""`` if there is none.
    """

    id: str
    name: str
    url: str = ""
    icon: str = ""


class NoConfig(msgspec.Struct, frozen=True):
    """The `network:` part of a bridge that needs none."""


class Adapter(ABC):
    """The author's code for one remote network; one object per process.

    `network` says what the network is called. `config` is a msgspec Struct, the `network:` part of the configuration,
    which is validated like the rest (give each key an ``Annotated[..., msgspec.Meta(description=...)]``); `settings` is
    that part as the admin wrote it.
    """

    network: ClassVar[Network]
    config: ClassVar[type[msgspec.Struct]] = NoConfig

    media_gateway: Any = None
    """For calls of a network whose media are not WebRTC: a `bridgekit.ports.MediaGateway`. Set it in ``__init__``."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    async def login(self, prompt: Prompt) -> Login:
        """Log a person in: a straight-line conversation that ends in a `Login`.

        Raises `Rejected`, `Transient` or `AuthFailed` with a reason for the person; connection errors and timeouts may
        escape. The person may begin again at once. `LoginCancelled` comes out of `prompt` and should escape too.
        """

    @abstractmethod
    def connect(self, login: Login) -> AbstractAsyncContextManager[Session]:
        """Open the login's live connection, an async context manager; leaving the context closes it.

        `login.state` is the state of the last `Batch`. Raises `AuthFailed` when the credentials no longer work: the
        person is asked to log in again. Anything else (`Transient`, a connection error) is tried again, with growing
        pauses or after `Transient.retry_after` seconds.
        """

    async def logout(self, login: Login) -> None:  # noqa: B027 - optional hook: doing nothing is a good answer
        """The person logged out: end it at the network, where it can be ended.

        Optional. Whatever it raises is logged and does not stop the logout.
        """


class Session(ABC):
    """The live connection of one `Login`.

    Capabilities are mixins (`bridgekit.adapter`): inheriting one is declaring it. All methods may be called at the
    same time as `events` runs: a paused pull never blocks a send.
    """

    @abstractmethod
    def events(self, after: Cursors) -> AsyncIterator[RemoteEvent | Batch]:
        """What happens at the network, from behind the cursors, for ever.

        `after` is what was yielded as `cursor` before, by scope; empty the first time. When the iterator is resumed,
        what it yielded last is on disk; until then it is not, so confirm to the network only then. An event that comes
        again under the same id crosses once: where in doubt, begin earlier.

        Ending means that the connection is gone; it is opened again. Raises are taken as in `Adapter.connect`.
        """

    def limits(self, portal: PortalKey) -> Limits:
        """What this chat can carry. Asked before every message, so it must not do I/O; raises nothing."""
        return Limits()
