"""The start-up ping: whether the homeserver reaches this very process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bridgekit.core.backoff import Backoff
from bridgekit.core.ping import UNREACHABLE, WRONG_BRIDGE, explain, is_recovery_race
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, PingFailed
from bridgekit.ports import Clock


class CanPing(Protocol):
    """What is needed of `Homeserver`."""

    url: str

    async def ping(self, transaction_id: str) -> int: ...


class Pinger:
    """Sends pings and knows its own when they arrive. Let the server's handler call `received`.

    `new_id` makes transaction ids that nobody can guess; `bridge_listen` is where the bridge listens, for people to
    read; `registration_url` is the `url` of the registration.
    """

    def __init__(
        self,
        homeserver: CanPing,
        *,
        registration_url: str | None,
        bridge_listen: str,
        clock: Clock,
        new_id: Callable[[], str],
        random: Callable[[], float],
        tries: int = 6,
    ) -> None:
        self._homeserver = homeserver
        self._registration_url = registration_url
        self._bridge_listen = bridge_listen
        self._clock = clock
        self._new_id = new_id
        self._random = random
        self._tries = tries
        self._backoff = Backoff(base_s=0.25, factor=2.0, max_s=4.0)
        self._awaited: dict[str, bool] = {}
        self.succeeded_at: int | None = None
        """When a ping last went round, in ms; None before the first."""
        self.round_trip_ms: int | None = None
        """How long that took."""

    def received(self, transaction_id: str | None) -> None:
        """A ping has arrived at our server; those that are not ours change nothing."""
        if transaction_id in self._awaited:
            self._awaited[transaction_id] = True

    async def ping(self) -> int:
        """Have this process pinged; the round trip in ms. Raises `PingFailed`, with what to do about it."""
        failed = 0
        while True:
            try:
                return await self._once()
            except MatrixRequestError as error:
                failed += 1
                if failed >= self._tries or not is_recovery_race(error.errcode, error.message):
                    raise self._explained(error) from error
            except HomeserverUnreachable as error:
                raise self._explain(UNREACHABLE, error.message) from error
            await self._clock.sleep(self._backoff.delay(failed - 1, self._random()))

    async def _once(self) -> int:
        transaction_id = self._new_id()
        self._awaited[transaction_id] = False
        try:
            duration_ms = await self._homeserver.ping(transaction_id)
            # MSC2659: "they may use the incoming request to verify that an outgoing ping actually pinged the appservice
            # rather than going somewhere else." It came before the answer did, if it came at all.
            if not self._awaited[transaction_id]:
                raise self._explain(WRONG_BRIDGE, "")
        finally:
            del self._awaited[transaction_id]
        self.succeeded_at, self.round_trip_ms = self._clock.now(), duration_ms
        return duration_ms

    def _explained(self, error: MatrixRequestError) -> PingFailed:
        errcode = error.errcode
        if errcode == "M_UNKNOWN" and error.status in (404, 405):
            errcode = "M_UNRECOGNIZED"
        elif errcode == "M_UNKNOWN" and (error.status >= 500 or 300 <= error.status < 400):
            # No Matrix error: a proxy answered in the homeserver's place.
            errcode = UNREACHABLE
        # MSC2659: "the response may include `status` (integer) and `body` (string) fields"
        status, body = error.data.get("status"), error.data.get("body")
        return self._explain(
            errcode,
            error.message,
            status=status if isinstance(status, int) else None,
            body=body if isinstance(body, str) else None,
        )

    def _explain(self, errcode: str, message: str, *, status: int | None = None, body: str | None = None) -> PingFailed:
        return explain(
            errcode,
            message,
            registration_url=self._registration_url,
            homeserver_url=self._homeserver.url,
            bridge_listen=self._bridge_listen,
            status=status,
            body=body,
        )
