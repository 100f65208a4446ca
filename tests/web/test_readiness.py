"""What counts as alive and as ready, and what does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.errors import PingFailed, StoreUnavailable
from bridgekit.web.readiness import Checks, health
from bridgekit.web.watched import Ages, LoginState
from tests.web.fakes import FakeBridge, failing, for_ever

AWAY = StoreUnavailable("the database db/bridge does not answer")
NO_PING = PingFailed("UNREACHABLE", "The bridge cannot reach the homeserver", "Start the homeserver.")
LONG_AGO = Ages(ping=60.0, answer=60.0)


def checks(bridge: FakeBridge) -> Checks:
    return Checks(bridge, database_timeout_s=0.01, ping_timeout_s=0.01)


async def test_all_is_well() -> None:
    found = await checks(FakeBridge()).readiness()
    assert found.ready
    assert found.started
    assert found.database.ok
    assert found.database.took_ms is not None
    assert (found.lease.ok, found.lease.good_for_s) == (True, 11.3)
    assert found.homeserver.ok
    assert (found.homeserver.ping_age_s, found.homeserver.answer_age_s) == (3.0, 0.5)
    assert (found.homeserver.round_trip_ms, found.homeserver.transaction_age_s) == (7, None)


@pytest.mark.parametrize(
    ("trouble", "part", "words"),
    [
        ({"is_started": False}, None, ""),
        ({"read": failing(AWAY)}, "database", "the database db/bridge does not answer"),
        ({"read": for_ever}, "database", "the database does not answer within 0.01 s"),
        ({"lease_s": None}, "lease", "the lease on the database is not held"),
        ({"lease_s": -2.0}, "lease", "nothing is sent until the database takes writes again"),
        ({"seen": Ages(), "pinging": failing(NO_PING)}, "homeserver", "Start the homeserver."),
        ({"seen": LONG_AGO, "pinging": failing(NO_PING)}, "homeserver", "cannot reach the homeserver"),
        ({"fails": True, "pinging": failing(NO_PING)}, "homeserver", "UNREACHABLE"),
        ({"fails": True, "pinging": for_ever}, "homeserver", "the ping has not come back within 0.01 s"),
    ],
)
async def test_what_makes_it_unready(trouble: dict[str, Any], part: str | None, words: str) -> None:
    asked = checks(FakeBridge(**trouble))
    found = await asked.readiness()
    assert not found.ready
    for name in ("database", "lease", "homeserver"):
        assert getattr(found, name).ok == (name != part)
    if part is not None:
        assert words in getattr(found, part).reason
    await asked.stop()


async def test_a_login_in_trouble_is_shown_and_nothing_more() -> None:
    logins = [LoginState("a", "connected"), LoginState("b", "stopped", "log in again")]
    found = await checks(FakeBridge(logins=logins)).readiness()
    assert found.ready
    assert found.sessions == logins


@pytest.mark.parametrize(
    ("ages", "fails", "pings"),
    [(Ages(ping=3.0), False, 0), (Ages(ping=3.0), True, 1), (Ages(), False, 1), (LONG_AGO, False, 1)],
    ids=["fresh", "a request failed", "never", "old"],
)
async def test_pings_only_when_there_is_doubt(ages: Ages, fails: bool, pings: int) -> None:
    bridge = FakeBridge(seen=ages, fails=fails)
    assert (await checks(bridge).readiness()).ready
    assert bridge.pings == pings


async def test_one_ping_for_all_who_ask() -> None:
    release = asyncio.Event()

    async def until_released() -> None:
        await release.wait()

    bridge = FakeBridge(seen=Ages(), pinging=until_released)
    asked = checks(bridge)
    found = await asyncio.gather(*(asked.readiness() for _ in range(5)))
    assert not any(each.ready for each in found)
    assert bridge.pings == 1
    release.set()
    assert (await asked.readiness()).ready


def test_alive_until_the_lease_is_lost() -> None:
    trouble = FakeBridge(is_started=False, lease_s=None, fails=True, read=failing(AWAY))
    assert health(trouble).alive
    trouble.is_lease_lost = True
    assert not health(trouble).alive
    assert "another process has taken over" in health(trouble).reason
