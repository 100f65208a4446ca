"""What is counted of the homeserver's answers, and when it was last there."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError, PingFailed
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.http import Answers
from bridgekit.matrix.ping import Pinger
from bridgekit.model.ids import UserID
from tests.matrix.helpers import HeldClock, answer, reset, stand_in


def refused(status: int) -> MatrixRequestError:
    return MatrixRequestError(status, "M_UNKNOWN", "why")


@pytest.mark.parametrize(
    ("error", "unwell", "status", "limited"),
    [
        (None, False, "2xx", 0),
        (refused(403), False, "4xx", 0),
        (refused(429), False, "4xx", 1),
        (refused(302), False, "3xx", 0),
        (refused(502), True, "5xx", 0),
        (refused(502), False, "5xx", 0),  # a ping's: the homeserver speaks of the bridge
        (HomeserverUnreachable("no"), True, "no_answer", 0),
    ],
)
def test_one_answer(error: HomeserverError | None, unwell: bool, status: str, limited: int) -> None:
    answers = Answers()
    answers.count(error, 77, unwell=unwell)
    assert answers.by_status == {status: 1}
    assert answers.rate_limited == limited
    assert answers.failing == unwell
    assert answers.last_at == (None if unwell else 77)


async def test_every_try_counts() -> None:
    async with stand_in() as server:
        hs = Homeserver(
            url=server.url,
            as_token="token",
            server_name="hs.test",
            bot=UserID("@bot:hs.test"),
            appservice_id="as",
            clock=HeldClock(),
            random=lambda: 0.0,
        )
        server.answers += [answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": ""}), answer(503, {}), reset]
        server.otherwise = answer(200, {"capabilities": {}})
        await hs.capabilities()
        assert hs.answers.by_status == {"4xx": 1, "5xx": 1, "no_answer": 1, "2xx": 1}
        assert hs.answers.rate_limited == 1
        assert not hs.answers.failing
        await hs.close()


class Echo:
    """A homeserver that pings back."""

    url = "http://hs.test"

    def __init__(self) -> None:
        self.received: Any = lambda transaction_id: None
        self.away = False

    async def ping(self, transaction_id: str) -> int:
        if self.away:
            raise HomeserverUnreachable("nobody")
        self.received(transaction_id)
        return 5


class MovedClock(HeldClock):
    at = 1_000

    def now(self) -> int:
        return self.at


async def test_a_ping_is_remembered_until_the_next_that_succeeds() -> None:
    clock, echo = MovedClock(), Echo()
    pinger = Pinger(
        echo,
        registration_url="http://bridge",
        bridge_listen="http://bridge",
        clock=clock,
        new_id=lambda: "id",
        random=lambda: 0.0,
    )
    echo.received = pinger.received
    assert (pinger.succeeded_at, pinger.round_trip_ms) == (None, None)
    await pinger.ping()
    assert (pinger.succeeded_at, pinger.round_trip_ms) == (1_000, 5)
    clock.at, echo.away = 9_000, True
    with pytest.raises(PingFailed):
        await pinger.ping()
    assert pinger.succeeded_at == 1_000
    echo.away = False
    await pinger.ping()
    assert pinger.succeeded_at == 9_000
