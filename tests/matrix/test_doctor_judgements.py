"""What the doctor makes of what it saw of a homeserver: one row for each way it can go wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridgekit.core.finding import Finding
from bridgekit.core.namespace import GhostNamespace
from bridgekit.core.ping import WRONG_BRIDGE, explain
from bridgekit.matrix.doctor import registration, server, service
from bridgekit.matrix.doctor.reply import Answer, NoAnswer, Reply
from bridgekit.matrix.registration import Namespace, Namespaces, Registration, generate

URL = "https://matrix.hs.test"
SILENT = NoAnswer("timeout")
VERSIONS = Answer(status=200, body={"versions": ["r0.6.1", "v1.7", "v1.11"]}, headers={"server": "Synapse/1.163.2 (x)"})


def error(status: int, errcode: str, words: str = "No.") -> Answer:
    return Answer(status=status, body={"errcode": errcode, "error": words})


def yes(**body: Any) -> Answer:
    return Answer(status=200, body=body)


def is_whole(finding: Finding) -> None:
    """Whatever is wrong has words and one thing to do; what is well asks for nothing."""
    assert finding.what
    assert bool(finding.fix) is (finding.outcome in ("failed", "warning"))


# --- the address ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "outcome", "what", "fix"),
    [
        (VERSIONS, "ok", "Synapse 1.163.2 answers", ""),
        (Answer(status=200, body={"versions": []}), "ok", "a homeserver answers", ""),
        (NoAnswer("address"), "failed", "is no address", "like https://"),
        (NoAnswer("refused", "x"), "failed", "nothing listens", "Start the homeserver"),
        (NoAnswer("name", "x"), "failed", "name", "Correct the name"),
        (SILENT, "failed", "no answer came", "firewall"),
        (NoAnswer("certificate", "self-signed certificate"), "failed", "self-signed", "SSL_CERT_FILE"),
        (NoAnswer("tls", "handshake"), "failed", "TLS", "TLS settings"),
        (NoAnswer("broken", "reset"), "failed", "hangs up", "log"),
        (Answer(status=301, headers={"location": "https://other/_matrix/client/versions"}), "failed", "redirects",
         "Write https://other there"),
        (Answer(status=302), "failed", "redirects to nowhere", "behind the redirect"),
        (Answer(status=502, text="<html>Bad Gateway"), "failed", "a proxy answers 502", "Start the homeserver"),
        (Answer(status=200, text=" <!doctype html>"), "failed", "a web page", "public_baseurl"),
        (Answer(status=404, body={}), "failed", "it answers with 404", "public_baseurl"),
        (Answer(status=200, body={"versions": "v1.1"}), "failed", "no homeserver", "public_baseurl"),
    ],
)  # fmt: skip
def test_the_address(reply: Reply, outcome: str, what: str, fix: str) -> None:
    finding = server.judge_homeserver(reply, URL)
    assert (finding.name, finding.outcome) == ("homeserver", outcome)
    assert what in finding.what
    assert fix in finding.fix
    is_whole(finding)


def test_a_path_in_the_address() -> None:
    finding = server.judge_homeserver(error(404, "M_UNRECOGNIZED"), f"{URL}/_matrix")
    assert finding.fix == f"Write {URL} there, without /_matrix: the bridge adds /_matrix itself."
    # Behind a proxy a path may be right.
    assert server.judge_homeserver(VERSIONS, f"{URL}/synapse").outcome == "ok"


@pytest.mark.parametrize(
    ("url", "other", "answer", "what"),
    [
        ("https://h:1", "http://h:1", VERSIONS, "https://h:1 gives no answer: it speaks no TLS"),
        ("http://h:1", "https://h:1", VERSIONS, "http://h:1 gives no answer: it speaks TLS only"),
        ("http://h:1", "https://h:1", NoAnswer("certificate"), "http://h:1 gives no answer: it speaks TLS only"),
        ("http://h:1", "https://h:1", NoAnswer("refused"), "no answer came from http://h:1"),
    ],
)
def test_the_wrong_scheme(url: str, other: str, answer: Reply, what: str) -> None:
    assert server.other_scheme(SILENT, url) == other
    finding = server.judge_homeserver(SILENT, url, (other, answer))
    assert finding.what == what
    assert (finding.fix == f"Write {other} there.") is ("speaks" in what)


def test_the_other_scheme_is_tried_only_where_it_may_help() -> None:
    assert server.other_scheme(VERSIONS, URL) is None
    assert server.other_scheme(NoAnswer("refused"), URL) is None
    assert server.other_scheme(NoAnswer("certificate"), URL) is None


# --- time and features ------------------------------------------------------------------------------------------------
NOON_MS = 1_704_110_400_000  # Mon, 01 Jan 2024 12:00:00 GMT


@pytest.mark.parametrize(
    ("date", "outcome", "what"),
    [
        ("Mon, 01 Jan 2024 12:00:00 GMT", "ok", "agree"),
        ("Mon, 01 Jan 2024 12:00:04 GMT", "ok", "agree"),
        ("Mon, 01 Jan 2024 12:00:07 GMT", "warning", "8 s ahead of"),
        ("Mon, 01 Jan 2024 11:59:30 GMT", "warning", "30 s behind"),
        ("Mon, 01 Jan 2024 11:57:00 GMT", "failed", "3 min behind"),
        ("Mon, 01 Jan 2024 16:00:00 GMT", "failed", "4 h ahead of"),
        ("Mon, 01 Jan 2023 12:00:00 GMT", "failed", "365 days behind"),
        ("yesterday", "skipped", "does not say"),
        ("", "skipped", "does not say"),
    ],
)
def test_the_clock(date: str, outcome: str, what: str) -> None:
    finding = server.judge_clock(
        Answer(status=200, headers={"date": date}, asked_at=NOON_MS - 100, answered_at=NOON_MS + 100)
    )
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("versions", "outcome", "what"),
    [
        (["v1.7"], "ok", "Matrix v1.7"),
        (["v1.2", "v1.15", "v1.9"], "ok", "Matrix v1.15"),
        (["v2.0"], "ok", "Matrix v2.0"),
        (["r0.6.1", "v1.6"], "failed", "Matrix v1.6 at most"),
        (["r0.6.1"], "failed", "Matrix v0.6 at most"),
        ([], "failed", "of no known version"),
        ([5, "newest"], "failed", "of no known version"),
    ],
)
def test_the_version(versions: list[object], outcome: str, what: str) -> None:
    finding = server.judge_version(yes(versions=versions), SILENT)
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


def test_the_federation_api_knows_the_version_best() -> None:
    finding = server.judge_version(VERSIONS, yes(server={"name": "Conduit", "version": "0.9 (x)"}))
    assert finding.what == "Conduit 0.9, Matrix v1.11"
    assert server.judge_version(VERSIONS, error(404, "M_UNRECOGNIZED")).what == "Synapse 1.163.2, Matrix v1.11"
    assert server.judge_version(VERSIONS, yes(server="?")).what == "Synapse 1.163.2, Matrix v1.11"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (error(405, "M_UNRECOGNIZED"), "ok"),
        (error(404, "M_UNRECOGNIZED"), "failed"),
        (Answer(status=404, text="<html>"), "failed"),
        (SILENT, "failed"),
    ],
)
def test_async_media(reply: Reply, outcome: str) -> None:
    finding = server.judge_async_media(reply)
    assert finding.outcome == outcome
    is_whole(finding)


@pytest.mark.parametrize(
    ("reply", "outcome", "what"),
    [
        (yes(**{"m.upload.size": 52_428_800}), "ok", "50 MiB"),
        (yes(), "ok", "no size limit"),
        (yes(**{"m.upload.size": 500_000}), "warning", "488 KiB"),
        (error(404, "M_UNRECOGNIZED"), "warning", "MSC3916"),
        (SILENT, "warning", "MSC3916"),
    ],
)
def test_media(reply: Reply, outcome: str, what: str) -> None:
    finding = server.judge_media(reply)
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("features", "capabilities", "outcome", "what"),
    [
        ({"org.matrix.msc4140": True}, {}, "ok", "MSC4140"),
        ({}, {"m.delayed_events": {"max_delay_ms": 86_400_000}}, "ok", "up to 24 h"),
        ({}, {"org.matrix.msc4140.delayed_events": {"max_delay_ms": 86_400_000, "max_scheduled": 100}}, "ok", "24 h"),
        # Synapse, switched off
        ({}, {"org.matrix.msc4140.delayed_events": {"max_delay_ms": 0, "max_scheduled": 100}}, "warning", "MSC4140"),
        ({"org.matrix.msc4140": True}, {"m.delayed_events": {"max_scheduled": 0}}, "warning", "MSC4140"),
        ({"org.matrix.msc4140": False}, {}, "warning", "MSC4140"),
    ],
)
def test_delayed_events(features: dict[str, Any], capabilities: dict[str, Any], outcome: str, what: str) -> None:
    finding = server.judge_delayed_events(yes(unstable_features=features), yes(capabilities=capabilities))
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("capabilities", "flows", "outcome"),
    [
        ({"m.get_login_token": {"enabled": True}}, [], "ok"),
        ({}, [{"type": "m.login.token", "get_login_token": True}], "ok"),
        ({"m.get_login_token": {"enabled": False}}, [{"type": "m.login.token"}], "warning"),
        ({}, ["?"], "warning"),
    ],
)
def test_login_tokens(capabilities: dict[str, Any], flows: list[Any], outcome: str) -> None:
    finding = server.judge_login_tokens(yes(capabilities=capabilities), yes(flows=flows))
    assert finding.outcome == outcome
    is_whole(finding)


# --- who we are -------------------------------------------------------------------------------------------------------
GHOST = "@toy_==check:hs.test"
IS_GHOST = yes(user_id=GHOST)
UNREGISTERED = error(403, "M_FORBIDDEN", f"Application service has not registered this user ({GHOST})")
NOT_OURS = error(403, "M_FORBIDDEN", f"Application service cannot masquerade as this user ({GHOST}).")
RESERVED = error(400, "M_EXCLUSIVE", "This user ID is reserved by an application service.")
OUTSIDE = error(400, "M_EXCLUSIVE", "Invalid user localpart for this application service.")
IN_USE = error(400, "M_USER_IN_USE")


@pytest.mark.parametrize(
    ("reply", "outcome", "what"),
    [
        (yes(user_id="@bot:hs.test"), "ok", "as_token"),
        (error(401, "M_UNKNOWN_TOKEN"), "failed", "does not know this as_token"),
        (error(401, "M_MISSING_TOKEN"), "failed", "does not know this as_token"),
        (error(500, "M_UNKNOWN", "Internal"), "failed", "500 M_UNKNOWN: Internal"),
        (yes(), "failed", "does not say who we are"),
        (SILENT, "failed", "does not say who we are"),
    ],
)
def test_the_as_token(reply: Reply, outcome: str, what: str) -> None:
    finding = service.judge_as_token(reply, where="r.yaml")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("user", "registered", "outcome", "what"),
    [
        ("@bot:hs.test", yes(user_id="@bot:hs.test"), "ok", "@bot:hs.test"),
        ("@bot:hs.test", IN_USE, "ok", "@bot:hs.test"),
        ("@bot:hs.test", None, "ok", "@bot:hs.test"),
        ("@other:hs.test", None, "failed", "@other, the file says @bot"),
        ("@bot:hs.test", RESERVED, "failed", "another bridge has"),
        ("@bot:hs.test", error(403, "M_RESOURCE_LIMIT_EXCEEDED", "Full"), "failed", "Full"),
        ("@bot:hs.test", SILENT, "failed", "no answer"),
    ],
)
def test_the_bot(user: str, registered: Reply | None, outcome: str, what: str) -> None:
    finding = service.judge_bot(user, "bot", registered, where="r.yaml")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("before", "registered", "after", "outcome", "what"),
    [
        (IS_GHOST, None, None, "ok", GHOST),
        (UNREGISTERED, yes(), IS_GHOST, "ok", GHOST),
        (UNREGISTERED, IN_USE, IS_GHOST, "ok", GHOST),
        (UNREGISTERED, None, None, "skipped", "nothing was to be made"),
        (UNREGISTERED, RESERVED, UNREGISTERED, "failed", "another bridge"),
        (NOT_OURS, OUTSIDE, NOT_OURS, "failed", "does not cover"),
        (NOT_OURS, None, None, "failed", "does not cover"),
        (UNREGISTERED, error(403, "M_RESOURCE_LIMIT_EXCEEDED", "Full"), UNREGISTERED, "failed", "Full"),
        (UNREGISTERED, SILENT, SILENT, "failed", "no answer"),
        (yes(user_id="@bot:hs.test"), None, None, "failed", "does not let"),  # a server that ignores user_id
    ],
)
def test_the_namespace(before: Reply, registered: Reply | None, after: Reply | None, outcome: str, what: str) -> None:
    finding = service.judge_namespace(before, registered, after, GHOST)
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (RESERVED, "ok"),
        (yes(available=True), "failed"),
        (error(403, "M_FORBIDDEN"), "skipped"),
        (IN_USE, "skipped"),
        (SILENT, "skipped"),
    ],
)
def test_exclusive(reply: Reply, outcome: str) -> None:
    finding = service.judge_exclusive(reply, GHOST)
    assert finding.outcome == outcome
    is_whole(finding)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([yes(), yes()], "ok"),
        ([yes(), error(429, "M_LIMIT_EXCEEDED")], "failed"),
        ([error(403, "M_FORBIDDEN"), yes()], "skipped"),
        ([SILENT, SILENT], "skipped"),
        ([], "skipped"),
    ],
)
def test_rate_limits(replies: list[Reply], outcome: str) -> None:
    finding = service.judge_rate_limits(replies)
    assert finding.outcome == outcome
    is_whole(finding)


@pytest.mark.parametrize(
    ("reply", "outcome"), [(yes(), "ok"), (Answer(status=201, body={}), "ok"), (error(404, "M_NOT_FOUND"), "failed")]
)
def test_devices(reply: Reply, outcome: str) -> None:
    finding = service.judge_devices(reply, where="r.yaml")
    assert finding.outcome == outcome
    is_whole(finding)


@pytest.mark.parametrize(
    ("made", "state", "outcome"),
    [
        (yes(room_id="!r"), error(404, "M_NOT_FOUND"), "ok"),
        (yes(room_id="!r"), yes(algorithm="m.megolm.v1.aes-sha2"), "failed"),
        (yes(room_id="!r"), SILENT, "skipped"),
        (error(403, "M_FORBIDDEN"), None, "failed"),
    ],
)
def test_encryption(made: Reply, state: Reply | None, outcome: str) -> None:
    finding = service.judge_encryption(made, state)
    assert finding.outcome == outcome
    is_whole(finding)


@pytest.mark.parametrize(
    ("reply", "outcome", "what"),
    [
        (yes(), "ok", "#toy_"),
        (error(409, "M_UNKNOWN"), "ok", "#toy_"),
        (error(400, "M_EXCLUSIVE"), "failed", "does not cover"),
        (error(403, "M_FORBIDDEN", "Never"), "failed", "Never"),
    ],
)
def test_the_alias(reply: Reply, outcome: str, what: str) -> None:
    finding = service.judge_room_alias(reply, "#toy_==check:hs.test")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("errcode", "status", "culprit"),
    [
        ("M_FORBIDDEN", None, "id"),
        ("M_BAD_STATUS", 401, "hs_token"),
        ("M_BAD_STATUS", 403, "hs_token"),
        ("M_BAD_STATUS", 404, "ping"),
        ("M_BAD_STATUS", 502, "ping"),
        ("M_URL_NOT_SET", None, "ping"),
        ("M_CONNECTION_FAILED", None, "ping"),
        ("M_CONNECTION_TIMEOUT", None, "ping"),
        ("M_UNRECOGNIZED", None, "ping"),
        ("M_SOMETHING_NEW", None, "ping"),
        (WRONG_BRIDGE, None, "ping"),
    ],
)
def test_a_failed_ping_has_one_culprit(errcode: str, status: int | None, culprit: str) -> None:
    result = explain(
        errcode, "why", registration_url="http://b", homeserver_url=URL, bridge_listen="http://b", status=status
    )
    findings = service.judge_ping(result, where="r.yaml", listener="b")
    assert sorted(finding.name for finding in findings) == sorted(service.PING)
    (failed,) = (finding for finding in findings if finding.outcome == "failed")
    assert failed.name == culprit
    assert failed.fix == result.fix
    assert {finding.because for finding in findings if finding.outcome == "skipped"} <= {culprit}
    for finding in findings:
        is_whole(finding)


def test_a_ping_that_went_well_proves_three_things() -> None:
    findings = service.judge_ping(12, where="r.yaml", listener="b")
    assert [(finding.name, finding.outcome) for finding in findings] == [(name, "ok") for name in service.PING]


# --- the registration file --------------------------------------------------------------------------------------------
GHOSTS = GhostNamespace("toy_", "hs.test", frozenset({"toybot"}))
RIGHT = generate(
    id="toy",
    url="http://b",
    server_name="hs.test",
    sender_localpart="toybot",
    users=[GHOSTS.exclusive_regex()],
    aliases=["^#toy_.*:hs\\.test$"],
)


def with_users(*namespaces: Namespace) -> Registration:
    return msgspec.structs.replace(RIGHT, namespaces=Namespaces(namespaces, RIGHT.namespaces.aliases))


BOT = Namespace("^@toybot:hs\\.test$")


@pytest.mark.parametrize(
    ("users", "outcome", "what"),
    [
        (RIGHT.namespaces.users, "ok", "@toy_*"),
        ([Namespace("@toy_.*:hs\\.test"), BOT], "ok", "@toy_*"),  # Synapse matches from the beginning
        ([], "failed", "no entry covers"),
        ([BOT], "failed", "no entry covers"),
        ([Namespace("^@toy_[a-z]*:hs\\.test$"), BOT], "failed", "no entry covers"),  # not the escaped ones
        ([Namespace("^@toy_.*:elsewhere$"), BOT], "failed", "no entry covers"),
        ([Namespace("^@toy_.*:hs\\.test$", exclusive=False), BOT], "failed", "not exclusive"),
        ([Namespace("^@toy_.*:hs\\.test$", exclusive=False), Namespace("^@toy_.*"), BOT], "warning", "elsewhere"),
        ([Namespace("@.*"), BOT], "warning", "@alice:hs.test"),
        ([Namespace("^@toy_.*"), BOT], "warning", "elsewhere.example"),
        ([Namespace("^@toy.*:hs\\.test$")], "warning", "@toybot2:hs.test"),
        ([Namespace("^@toy_.*:hs\\.test$")], "warning", "no exclusive entry covers the bot"),
        ([Namespace("^@toy_.*:hs\\.test$"), Namespace(BOT.regex, exclusive=False)], "warning", "covers the bot"),
    ],
)
def test_the_ghosts_in_the_file(users: list[Namespace], outcome: str, what: str) -> None:
    finding = registration.judge_ghosts(with_users(*users), GHOSTS, where="r.yaml")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("aliases", "outcome", "what"),
    [
        (RIGHT.namespaces.aliases, "ok", "#toy_*"),
        ((), "failed", "no entry covers"),
        ((Namespace("^#toy_.*:hs\\.test$", exclusive=False),), "failed", "not exclusive"),
        ((Namespace("#.*"),), "warning", "#alice:hs.test"),
    ],
)
def test_the_aliases_in_the_file(aliases: tuple[Namespace, ...], outcome: str, what: str) -> None:
    file = msgspec.structs.replace(RIGHT, namespaces=Namespaces(RIGHT.namespaces.users, aliases))
    finding = registration.judge_aliases(file, "toy_", "hs.test", where="r.yaml")
    assert finding.outcome == outcome
    assert what in finding.what
    is_whole(finding)


@pytest.mark.parametrize(
    ("receive", "push", "outcome"),
    [(True, True, "ok"), (True, False, "ok"), (False, True, "warning"), (False, False, "failed")],
)
def test_ephemeral_events_in_the_file(receive: bool, push: bool, outcome: str) -> None:
    file = msgspec.structs.replace(RIGHT, receive_ephemeral=receive, push_ephemeral=push)
    finding = registration.judge_ephemeral(file, where="r.yaml")
    assert finding.outcome == outcome
    is_whole(finding)
