"""How the doctor sees what there is: every kind of answer, every way to get none, and what it leaves behind."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from bridgekit.core.finding import Examination
from bridgekit.core.namespace import GhostNamespace
from bridgekit.matrix.doctor import CHECKS, Listener, Target, examine, examine_server, who_answers
from bridgekit.matrix.doctor.observe import Asker
from bridgekit.matrix.doctor.reply import Answer, NoAnswer, Reply
from bridgekit.matrix.registration import generate
from bridgekit.testing.process import free_ports
from tests.matrix.helpers import HeldClock, answer, hang, reset, stand_in


async def seen(url: str, *, timeout_s: float = 10.0) -> Reply:
    async with Asker(url, "secret", now=lambda: 7, timeout_s=timeout_s) as ask:
        return await ask.ask("GET", "_matrix/client/versions")


def kind(reply: Reply) -> str:
    assert isinstance(reply, NoAnswer)
    return reply.kind


async def test_an_answer_as_it_is() -> None:
    async with stand_in(answer(404, {"errcode": "M_NOT_FOUND", "error": "Gone."}, headers={"X-Y": "z"})) as server:
        reply = await seen(server.url + "/")
        assert isinstance(reply, Answer)
        assert (reply.status, reply.errcode, reply.error, reply.headers["x-y"]) == (404, "M_NOT_FOUND", "Gone", "z")
        assert (reply.asked_at, reply.answered_at) == (7, 7)
        assert server.seen[0].path == "/_matrix/client/versions"
        assert server.seen[0].headers["Authorization"] == "Bearer secret"


async def test_a_redirect_is_not_followed() -> None:
    async with stand_in(answer(301, headers={"Location": "http://127.0.0.1:1/x"})) as server:
        reply = await seen(server.url)
        assert isinstance(reply, Answer)
        assert (reply.status, reply.headers["location"]) == (301, "http://127.0.0.1:1/x")
        assert len(server.seen) == 1


async def test_a_page_that_is_no_json() -> None:
    async with stand_in(answer(raw=b"<html>" + b"\xff" * 1000)) as server:
        reply = await seen(server.url)
        assert isinstance(reply, Answer)
        assert (reply.body, len(reply.text)) == (None, 200)
        assert str(reply).startswith("200, saying '<html>")


async def test_ways_to_get_no_answer() -> None:
    (port,) = free_ports(1)
    assert kind(await seen(f"http://127.0.0.1:{port}")) == "refused"
    assert kind(await seen("http://nowhere.invalid")) == "name"
    for address in ("matrix.hs.test", "ftp://hs.test", "http://", "http://[", "127.0.0.1:8008"):
        assert kind(await seen(address)) == "address", address
    async with stand_in(reset, hang) as server:
        assert kind(await seen(server.url)) == "broken"
        assert kind(await seen(server.url, timeout_s=0.05)) == "timeout"
        assert kind(await seen(server.url.replace("http:", "https:"))) == "tls"


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    async with tls(tmp_path) as url:
        reply = await seen(url)
        assert reply == NoAnswer("certificate", "self-signed certificate")
        assert kind(await seen(url.replace("https:", "http:"))) == "broken"
        # What a person is told then.
        exam = Examination()
        await examine_server(url.replace("https:", "http:"), exam, HeldClock())
        assert exam.findings[0].fix == f"Write {url} there."
        assert {finding.because for finding in exam.findings[1:4]} == {"homeserver"}


@asynccontextmanager
async def tls(directory: Path) -> AsyncIterator[str]:
    """A server with a certificate that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# --- who is at the bridge's address -----------------------------------------------------------------------------------
async def test_who_answers() -> None:
    (port,) = free_ports(1)
    assert await who_answers("127.0.0.1", port, "hs") == "nobody"
    listener = Listener(f"http://127.0.0.1:{port}", "the test")
    await listener.start("hs", "127.0.0.1", port)
    try:
        assert await who_answers("0.0.0.0", port, "hs") == "bridge"
        assert await who_answers("127.0.0.1", port, "another") == "other"
    finally:
        await listener.stop()
    async with stand_in(answer(200, {"ok": True})) as server:
        assert await who_answers("127.0.0.1", int(server.url.rpartition(":")[2]), "hs") == "other"
    with socket.create_server(("127.0.0.1", port)):  # says nothing
        assert await who_answers("127.0.0.1", port, "hs") == "other"


async def test_no_event_is_taken_in_the_bridges_place() -> None:
    """A 200 would tell the homeserver to forget it."""
    (port,) = free_ports(1)
    listener = Listener(f"http://127.0.0.1:{port}", "the test")
    await listener.start("hs", "127.0.0.1", port)
    try:
        url = f"http://127.0.0.1:{port}/_matrix/app/v1"
        headers = {"Authorization": "Bearer hs"}
        async with aiohttp.ClientSession(headers=headers) as http:
            async with http.put(f"{url}/transactions/1", json={"events": [{"type": "m.room.message"}]}) as response:
                assert response.status == 503
            async with http.get(f"{url}/users/@toy_a:hs.test") as response:
                assert response.status == 404
    finally:
        await listener.stop()


# --- the whole examination against a server that says yes, or no, to everything ---------------------------------------
def target(url: str, *, read_only: bool = False) -> Target:
    ghosts = GhostNamespace("toy_", "hs.test")
    registration = generate(
        id="toy",
        url="http://127.0.0.1:1",
        server_name="hs.test",
        sender_localpart="toybot",
        users=[ghosts.exclusive_regex()],
        aliases=["^#toy_.*:hs\\.test$"],
    )
    return Target(
        url=url,
        server_name="hs.test",
        registration=registration,
        file="r.yaml",
        ghosts=ghosts,
        alias_prefix="toy_",
        device_id="D",
        read_only=read_only,
    )


def homeserver(**said: object) -> Callable[[web.Request], web.Response]:
    """Says this at paths that end so, and else that it does not know the call."""

    def handle(request: web.Request) -> web.Response:
        body = said.get(request.path.rpartition("/")[2])
        status = 404 if body is None else 200
        return web.json_response({"errcode": "M_UNRECOGNIZED", "error": "?"} if body is None else body, status=status)

    return handle


@pytest.mark.parametrize("read_only", [False, True])
async def test_every_check_is_made_or_skipped_once(read_only: bool) -> None:
    said = homeserver(versions={"versions": ["v1.7"]}, whoami={"user_id": "@toybot:hs.test"})
    async with stand_in() as server:

        async def handle(request: web.Request) -> web.Response:
            return said(request)

        server.otherwise = handle
        for url in (server.url, "http://127.0.0.1:1"):
            exam = Examination()
            await examine(target(url, read_only=read_only), exam, None, HeldClock())
            assert [finding.name for finding in exam.findings] == list(CHECKS)
            for finding in exam.findings:
                assert bool(finding.fix) is (finding.outcome in ("failed", "warning")), finding
        if read_only:
            assert {request.method for request in server.seen} == {"GET"}
        assert not any(b"m.room.message" in request.body for request in server.seen)


async def test_nothing_secret_is_said() -> None:
    """Not even where the server repeats the token."""
    async with stand_in() as server:
        it = target(server.url)

        async def handle(request: web.Request) -> web.Response:
            if request.path.endswith("versions"):
                return web.json_response({"versions": ["v1.7"]})
            return web.json_response({"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown"}, status=401)

        server.otherwise = handle
        exam = Examination()
        await examine(it, exam, None, HeldClock())
        text = msgspec.json.encode(exam.findings).decode()
        assert it.registration.as_token not in text
        assert it.registration.hs_token not in text
