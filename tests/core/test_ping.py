"""Every failure of the start-up ping says which side cannot reach which, why, and the one thing to do."""

from __future__ import annotations

import pytest

from bridgekit.core.ping import UNREACHABLE, WRONG_BRIDGE, explain, is_recovery_race
from bridgekit.errors import PingFailed

REGISTRATION = "http://bridge.example:29318"
HOMESERVER = "https://matrix.example"
LISTEN = "0.0.0.0:29318"


def explained(errcode: str, message: str = "why.", status: int | None = None, body: str | None = None) -> PingFailed:
    return explain(
        errcode,
        message,
        registration_url=REGISTRATION,
        homeserver_url=HOMESERVER,
        bridge_listen=LISTEN,
        status=status,
        body=body,
    )


@pytest.mark.parametrize(
    ("errcode", "says", "fix"),
    [
        ("M_URL_NOT_SET", ["homeserver cannot reach the bridge", "no url"], ["Set url", LISTEN]),
        ("M_BAD_STATUS", [REGISTRATION, "an error"], [LISTEN]),
        ("M_CONNECTION_TIMEOUT", ["homeserver cannot reach the bridge", REGISTRATION, "no answer came"], ["firewall"]),
        ("M_CONNECTION_FAILED", ["homeserver cannot reach the bridge", REGISTRATION, "why"], [LISTEN, "set url"]),
        ("M_FORBIDDEN", [HOMESERVER, "not for this bridge"], ["id must be the same"]),
        ("M_UNKNOWN_TOKEN", [HOMESERVER, "does not know the bridge's as_token"], ["app_service_config_files"]),
        ("M_MISSING_TOKEN", [HOMESERVER, "does not know the bridge's as_token"], ["app_service_config_files"]),
        ("M_UNRECOGNIZED", [HOMESERVER, "no ping"], ["update"]),
        ("M_NOT_FOUND", [HOMESERVER, "no ping"], ["update"]),
        (UNREACHABLE, ["bridge cannot reach the homeserver", HOMESERVER, "why"], ["Start the homeserver"]),
        (WRONG_BRIDGE, [REGISTRATION, "not by this bridge"], ["Another bridge", LISTEN]),
        ("M_SOMETHING_NEW", [HOMESERVER, "refused", "why"], ["log"]),
    ],
)
def test_every_failure_has_its_words(errcode: str, says: list[str], fix: list[str]) -> None:
    failed = explained(errcode)
    assert failed.errcode == errcode
    for words in says:
        assert words in failed.message
    for words in fix:
        assert words in failed.fix
    assert failed.fix.endswith(".")
    assert ".." not in str(failed)


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "hs_token"),
        (403, "hs_token"),
        (404, "Another program"),
        (500, "log of what is at that address"),
        (302, LISTEN),
        (None, LISTEN),
    ],
)
def test_a_bad_status_is_told_with_its_body(status: int | None, fix: str) -> None:
    failed = explained("M_BAD_STATUS", status=status, body="  it is broken  ")
    assert "'it is broken'" in failed.message
    assert status is None or f"status {status}" in failed.message
    assert fix in failed.fix


def test_a_long_body_is_cut() -> None:
    assert len(explained("M_BAD_STATUS", status=500, body="x" * 10_000).message) < 400


def test_the_unstable_codes_mean_the_same() -> None:
    assert explained("FI.MAU.MSC2659_URL_NOT_SET").errcode == "M_URL_NOT_SET"


def test_a_registration_without_url() -> None:
    failed = explain("M_URL_NOT_SET", "", registration_url=None, homeserver_url=HOMESERVER, bridge_listen=LISTEN)
    assert "no url" in failed.message


def test_the_race_is_known_by_its_words() -> None:
    assert is_recovery_race("M_CONNECTION_FAILED", "[Failure instance: ... AlreadyCalledError ...]")
    assert not is_recovery_race("M_CONNECTION_FAILED", "Connection refused")
    assert not is_recovery_race("M_BAD_STATUS", "AlreadyCalled")
