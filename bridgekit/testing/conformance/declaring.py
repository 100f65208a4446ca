"""What an adapter says of itself: its name, how one logs in, what a session can do, what a chat can carry."""

from __future__ import annotations

import builtins
import inspect
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bridgekit.adapter.base import Network
from bridgekit.adapter.capabilities import CAPABILITIES
from bridgekit.errors import AuthFailed, Rejected
from bridgekit.model.ids import ChatID, PortalKey
from bridgekit.model.limits import Limits
from bridgekit.testing.conformance.checks import Fault, check, raised, show, trace, wrong_error
from bridgekit.testing.conformance.scene import Answers, Scene
from bridgekit.testing.conformance.topic import Topic


class Declaring(Topic):
    @check()
    async def test_the_network_has_a_name(self, scene: Scene) -> None:
        network = scene.adapter_type.network
        if not isinstance(network, Network):
            raise Fault(f"{scene.adapter_type.__name__}.network is {network!r}; it must be a bridgekit.adapter.Network")
        if re.fullmatch(r"[a-z][a-z0-9]*", network.id) is None:
            raise Fault(
                f"Network.id is {network.id!r}; it must be short, of a-z and 0-9: names on Matrix begin with it"
            )
        if not network.name.strip():
            raise Fault("Network.name is empty; people read it")

    @check()
    async def test_the_same_account_is_the_same_login(self, scene: Scene) -> None:
        first, second = await scene.log_in(), await scene.log_in()
        if first.id != second.id:
            raise Fault(
                f"the same account logged in twice, and Login.id was {first.id!r} and then {second.id!r}: to log in"
                " again would make a second login. Make the id of what the network calls the account"
            )
        if first.user != second.user:
            raise Fault(f"the same account logged in twice, and Login.user was {first.user!r} and then {second.user!r}")
        if first.user == scene.remote.friend:
            raise Fault(f"Login.user is {first.user!r}, which is the friend; it must be the account's own user id")

    @check("wrong_answer")
    async def test_who_has_no_account_is_refused(self, scene: Scene) -> None:
        work = scene.adapter().login(Answers(scene.remote.wrong_answer))
        error, result = await raised("login()", work, scene.patience_s)
        if error is None:
            raise Fault(f"login() returned {result!r} for somebody who has no account; raise Rejected")
        if not isinstance(error, Rejected | AuthFailed):
            raise wrong_error("login()", error, "somebody without an account logged in", "Rejected")
        if not error.reason:
            raise Fault(f"login() raised {type(error).__name__} without a reason; the person reads it")

    @check()
    async def test_methods_belong_to_capabilities(self, scene: Scene) -> None:
        async with scene.line() as line:
            kind = type(line.session)
            for each in CAPABILITIES:
                names = [name for name in vars(each) if getattr(vars(each)[name], "__isabstractmethod__", False)]
                if not isinstance(line.session, each) and all(inspect.isroutine(getattr(kind, n, None)) for n in names):
                    raise Fault(
                        f"{kind.__name__} has {' and '.join(names)}, and does not inherit {each.__name__}: nobody would"
                        f" ever call it. Add {each.__name__} to its bases, or call the method something else"
                    )

    @check()
    async def test_limits_are_known_at_once(self, scene: Scene) -> None:
        async with scene.line() as line:
            for chat in (await scene.remote.chat(), PortalKey(ChatID("a chat that nobody has heard of"))):
                try:
                    with no_waiting():
                        limits: object = line.session.limits(chat)
                except WouldWait as error:
                    raise Fault(
                        f"limits() {error}: it is asked before every message, and everything waits meanwhile. Answer"
                        f" from what `connect` or `events` has learnt{trace(error)}"
                    ) from None
                except Exception as error:  # noqa: BLE001 - the adapter's; it is told with its traceback
                    raise Fault(
                        f"limits() raised {show(error)} for {chat!r}; it must not raise{trace(error)}"
                    ) from None
                if inspect.iscoroutine(limits):
                    limits.close()
                    raise Fault("limits() is `async`; it must answer at once, from what is known")
                if not isinstance(limits, Limits):
                    raise Fault(f"limits() returned {limits!r}; it must return a Limits")


class WouldWait(Exception):
    """What was called wanted to wait for the outside."""


@contextmanager
def no_waiting() -> Iterator[None]:
    """Calls that wait for a network or a disk raise `WouldWait`."""

    def forbid(what: str) -> Any:
        def forbidden(*args: Any, **kwargs: Any) -> Any:
            raise WouldWait(what)

        return forbidden

    calls = {"connect": "connects somewhere", "send": "sends", "sendall": "sends", "recv": "waits for an answer"}
    with (
        mock.patch.multiple(socket.socket, **{name: forbid(what) for name, what in calls.items()}, create=True),
        mock.patch.object(socket, "getaddrinfo", forbid("looks up a name")),
        mock.patch.object(builtins, "open", forbid("opens a file")),
        mock.patch.object(time, "sleep", forbid("sleeps")),
    ):
        yield
