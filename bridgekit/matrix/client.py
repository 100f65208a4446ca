"""What every client-server call shares: whose it is, on whose behalf, and what is common to their answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from mautrix.api import Method

from bridgekit.errors import MatrixRequestError
from bridgekit.matrix.download import Downloads
from bridgekit.matrix.http import Query, Transport
from bridgekit.matrix.redirects import is_public
from bridgekit.matrix.wire import JSON, path
from bridgekit.model.ids import EventID, UserID
from bridgekit.ports import Clock

T = TypeVar("T")


class _Event(msgspec.Struct):
    event_id: EventID


class Client:
    """The part of `Homeserver` below its calls."""

    def __init__(
        self,
        *,
        url: str,
        as_token: str,
        server_name: str,
        bot: UserID,
        appservice_id: str,
        clock: Clock,
        random: Callable[[], float],
        session: aiohttp.ClientSession | None = None,
        timeout_s: float = 30.0,
        stall_timeout_s: float = 60.0,
        reachable: Callable[[str], bool] = is_public,
        private_hosts: Collection[str] = (),
        resolver: Callable[[], AbstractResolver] | None = None,
        device_id: str = "BRIDGEKIT",
    ) -> None:
        self._http = Transport(
            url=url, as_token=as_token, clock=clock, random=random, session=session, timeout_s=timeout_s
        )
        self._stall_s = stall_timeout_s
        self._clock = clock
        self.answers = self._http.answers
        self.on_failure = self._http.on_failure
        self.on_recovered = self._http.on_recovered
        self.downloads = Downloads(
            self._http,
            stall_s=stall_timeout_s,
            reachable=reachable,
            private_hosts=private_hosts,
            resolver=resolver,
        )
        self.url = url
        self.server_name = server_name
        self.bot = bot
        self.appservice_id = appservice_id
        self.device_id = device_id

    @property
    def failures(self) -> int:
        return self._http.failures

    async def close(self) -> None:
        """Close the connections, unless the session was given."""
        await self.downloads.close()
        await self._http.close()

    async def _call(
        self,
        method: Method,
        where: str,
        answer: type[T],
        *,
        user: UserID | None = None,
        query: Query | None = None,
        **options: Any,
    ) -> T:
        params = dict(query or {})
        if user is not None and user != self.bot:
            params["user_id"] = user
        return await self._http.request(method, where, answer, query=params, **options)

    async def ensure_device(self, user: UserID | None = None, device_id: str | None = None) -> str:
        """Give a user a device (MSC4190) and return its id; one that exists is success."""
        device_id = device_id or self.device_id
        await self._call(Method.PUT, path("v3", "devices", device_id), JSON, user=user, body={})
        return device_id

    async def _put_event(self, where: str, body: Mapping[str, Any], user: UserID | None, query: Query) -> EventID:
        return (await self._call(Method.PUT, where, _Event, body=body, user=user, query=query)).event_id


def is_absent(error: MatrixRequestError) -> bool:
    """Whether the homeserver says that the thing asked for does not exist, rather than that it knows no such call."""
    return error.status == 404 and error.errcode == "M_NOT_FOUND"
