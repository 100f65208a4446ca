"""`check` on a real Synapse: what an admin gets wrong, one after the other, and the exact words for each."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from bridgekit.cli import Exit
from bridgekit.doctor import CHECKS
from bridgekit.store import open_store
from bridgekit.testing.process import free_ports
from tests.acceptance.conftest import SceneFactory
from tests.support.check import Files, check_as_process, serving
from tests.support.homeserver import AppserviceSlot, Homeserver
from tests.support.postgres import PostgresServer
from tests.support.proxy import Answer, Forward, HttpProxy


@pytest.fixture(scope="module")
def slot(homeserver: Homeserver) -> AppserviceSlot:
    """For all tests here that need no fresh one: there are not so many."""
    return homeserver.take_slot()


@pytest.fixture
def files(slot: AppserviceSlot, tmp_path: Path) -> Files:
    """On the shared homeserver, where everything is right."""
    return Files(slot, tmp_path / "bridge")


@pytest.fixture
def first_files(homeserver: Homeserver, tmp_path: Path) -> Files:
    """The same, of a bridge that the homeserver has never heard from."""
    return Files(homeserver.take_slot(), tmp_path / "bridge")


# --- all is well ------------------------------------------------------------------------------------------------------


async def test_before_the_first_start_all_is_well(first_files: Files) -> None:
    files = first_files
    first = await files.check()
    assert first.code == Exit.FINE
    assert list(first.outcomes()) == list(CHECKS)
    assert first.named("FAIL") == []
    assert first.named("warn") == []
    # Its registration is closed, so that it does not say; and the shared Synapse serves no federation.
    assert first.named("skip") == ["exclusive"]
    slot = files.slot
    assert f"ok   port            127.0.0.1:{slot.port} is free; this check listens there meanwhile\n" in first.text
    assert f"ok   bot             the bot is {slot.bot}\n" in first.text
    assert f"ok   ping            the homeserver reaches 127.0.0.1:{slot.port} (it took " in first.text
    assert not (files.bridge.directory / "bridge.db").exists()  # a file of the wrong owner would keep the bridge out
    # Again: what it made the first time is no obstacle.
    assert (await files.check()).named("FAIL") == []


async def test_for_scripts(files: Files) -> None:
    files.registration["receive_ephemeral"] = False
    answer = await files.check("--json")
    assert answer.code == Exit.CHECK_FAILED
    document = json.loads(answer.text)
    assert [finding["name"] for finding in document["findings"]] == list(CHECKS)
    assert document["failed"] == 1
    assert document["ok"] + document["warnings"] + document["failed"] + document["skipped"] == len(CHECKS)
    assert next(f for f in document["findings"] if f["name"] == "ephemeral") == {
        "name": "ephemeral",
        "outcome": "failed",
        "what": "typing, receipts and presence never reach the bridge",
        "where": f"{files.file}: receive_ephemeral",
        "fix": "Write receive_ephemeral: true, and restart the homeserver.",
        "because": "",
    }


async def test_read_only_makes_nothing(first_files: Files) -> None:
    answer = await first_files.check("--read-only")
    assert answer.code == Exit.FINE
    assert set(answer.named("skip")) == {
        "namespace", "exclusive", "rate_limits", "devices", "encryption", "room_alias",
    }  # fmt: skip
    async with first_files.slot.client() as bot:
        assert await bot.joined_rooms() == []


async def test_while_the_bridge_runs(make_scene: SceneFactory) -> None:
    async with make_scene() as scene:
        answer = await check_as_process(scene.bridge)
        assert answer.code == Exit.FINE
        text = answer.text
        assert f"ok   process         the bridge is running: process {scene.bridge.pid}\n" in text
        assert f"ok   port            the running bridge listens on 127.0.0.1:{scene.slot.port}\n" in text
        assert f"ok   ping            the homeserver reaches the bridge (process {scene.bridge.pid}) (it took " in text
        # It is not disturbed: the lease is still its own.
        talk = await scene.talk()
        await talk.alice.send_text(talk.room, "after the check")
        assert await talk.from_alice("after the check") == ["after the check"]


async def test_the_bridge_runs_and_its_database_cannot_be_read(make_scene: SceneFactory) -> None:
    async with make_scene() as scene:
        scene.bridge.config["database"] = "sqlite:elsewhere/bridge.db"
        answer = await check_as_process(scene.bridge)
    assert answer.named("FAIL") == ["database"]
    where = f"127.0.0.1:{scene.slot.port}"
    assert answer.lines("port") == f"ok   port            a bridge with this registration listens on {where}\n"
    assert f"ok   ping            the homeserver reaches {where} (it took " in answer.text


async def test_the_bridge_runs_with_another_configuration(make_scene: SceneFactory) -> None:
    async with make_scene() as scene:
        (port,) = free_ports(1)
        scene.bridge.config["appservice"]["port"] = port
        answer = await check_as_process(scene.bridge)
        assert answer.code == Exit.CHECK_FAILED
        answer.expect(
            "port",
            f"the bridge is running (process {scene.bridge.pid}), but does not listen on 127.0.0.1:{port}",
            where="appservice.port",
            fix="Restart it, so that it reads this configuration and registration.",
        )
        scene.bridge.config["appservice"]["port"] = scene.slot.port


# --- files ------------------------------------------------------------------------------------------------------------


async def test_no_files(files: Files) -> None:
    assert (await check_as_process(files.bridge)).code == Exit.FINE
    (files.bridge.directory / "registration.yaml").unlink()
    answer = await files.check_as_it_is()
    assert answer.code == Exit.CHECK_FAILED
    assert answer.named("FAIL") == ["registration"]
    # What needs no registration is looked at all the same.
    assert {"homeserver", "clock", "server_version", "async_media", "database"} <= set(answer.named("ok"))
    (files.bridge.directory / "config.yaml").unlink()
    answer = await files.check_as_it_is()
    assert answer.code == Exit.CHECK_FAILED
    assert answer.named("FAIL") == ["config"]
    assert set(answer.named("skip")) == set(CHECKS) - {"config"}
    assert "skip ping            not before config is mended\n" in answer.text
    assert answer.text.endswith(f"\n0 ok, 0 warnings, 1 failed, {len(CHECKS) - 1} skipped\n")


async def test_a_mistake_in_the_networks_part_hides_nothing_else(files: Files) -> None:
    files.config["network"]["colour"] = "red"
    files.registration["rate_limited"] = True
    answer = await files.check()
    assert answer.named("FAIL") == ["config", "rate_limits"]
    assert re.search(
        r"FAIL config +unknown key `colour`\n +where: .*config\.yaml, line \d+: network\.colour\n +fix: ", answer.text
    )
    assert "Traceback" not in answer.text


async def test_secrets_for_all_to_read(files: Files) -> None:
    files.bridge.write_files()
    path = files.bridge.directory / "registration.yaml"
    path.chmod(0o644)
    answer = await files.check_as_it_is()
    assert answer.code == Exit.FINE
    answer.expect(
        "secrets",
        "everybody on this machine may read the secrets in it",
        where=str(path.resolve()),
        fix=f"chmod 600 {path.resolve()}",
        label="warn",
    )


Change = Callable[[dict[str, Any]], object]

FILE_MISTAKES: dict[str, tuple[Change, str, str, str, str, str]] = {
    "rate limited": (
        lambda r: r.update(rate_limited=True),
        "FAIL", "rate_limits", "rate_limited",
        "the homeserver slows the ghosts down: a busy chat arrives late",
        "Write rate_limited: false, and restart the homeserver.",
    ),
    "no ephemeral events": (
        lambda r: r.pop("receive_ephemeral"),
        "FAIL", "ephemeral", "receive_ephemeral",
        "typing, receipts and presence never reach the bridge",
        "Write receive_ephemeral: true, and restart the homeserver.",
    ),
    "not exclusive": (
        lambda r: r["namespaces"]["users"][0].update(exclusive=False),
        "FAIL", "ghosts", "namespaces.users",
        "the ghosts' namespace is not exclusive: anybody may register an account that passes for a ghost",
        "Write exclusive: true there, and restart the homeserver.",
    ),
    "another prefix": (
        lambda r: r["namespaces"]["users"][0].update(regex="^@other_.*:hs\\.test$"),
        "FAIL", "ghosts", "namespaces.users",
        "no entry covers the ghosts: they begin with @{prefix} (appservice.ghost_prefix)",
        'Add "- exclusive: true, regex: ^@{prefix}.*:hs\\.test$" there, and restart the homeserver.',
    ),
    "everybody": (
        lambda r: r["namespaces"]["users"][0].update(regex="@.*"),
        "warn", "ghosts", "namespaces.users",
        "@.* matches @alice:hs.test too, who is not the bridge's",
        "Write regex: ^@{prefix}.*:hs\\.test$ instead, and restart the homeserver.",
    ),
    "no aliases": (
        lambda r: r["namespaces"].update(aliases=[]),
        "FAIL", "aliases", "namespaces.aliases",
        "no entry covers the rooms' aliases: they begin with #{prefix} (appservice.alias_prefix)",
        'Add "- exclusive: true, regex: ^#{prefix}.*:hs\\.test$" there, and restart the homeserver.',
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FILE_MISTAKES)
async def test_a_mistake_in_the_registration(files: Files, mistake: str) -> None:
    change, label, name, place, what, fix = FILE_MISTAKES[mistake]
    change(files.registration)
    answer = await files.check()
    prefix = files.slot.prefix
    what, fix = what.replace("{prefix}", prefix), fix.replace("{prefix}", prefix)
    answer.expect(name, what, where=f"{files.file}: {place}", fix=fix, label=label)
    assert answer.named("FAIL") == ([name] if label == "FAIL" else [])
    assert answer.code == (Exit.CHECK_FAILED if label == "FAIL" else Exit.FINE)


# --- database and port ------------------------------------------------------------------------------------------------


async def test_no_directory_for_the_database(files: Files) -> None:
    files.config["database"] = "sqlite:data/bridge.db"
    answer = await files.check()
    directory = files.bridge.directory.resolve() / "data"
    assert answer.named("FAIL") == ["database"]
    answer.expect("database", f"there is no directory {directory}", where="database", fix=f"mkdir -p {directory}")


async def test_no_database(files: Files) -> None:
    files.bridge.write_files()
    (files.bridge.directory / "bridge.db").write_text("This is a letter to my aunt, and no database at all.\n" * 30)
    answer = await files.check()
    path = files.bridge.directory.resolve() / "bridge.db"
    assert answer.named("FAIL") == ["database"]
    answer.expect(
        "database",
        f"{path} is damaged, or is no database: file is not a database",
        where="database",
        fix="Restore it from a backup.",
    )


async def test_no_postgresql(files: Files) -> None:
    (port,) = free_ports(1)
    files.config["database"] = f"postgresql://bridge:very-secret@127.0.0.1:{port}/bridge"
    answer = await files.check()
    assert answer.named("FAIL") == ["database"]
    answer.expect(
        "database",
        f"no PostgreSQL answers at 127.0.0.1:{port}/bridge: Connection refused",
        where="database",
        fix="Start it, or correct the address.",
    )
    assert "very-secret" not in answer.text


async def test_postgresql(files: Files, postgres: PostgresServer, postgres_dsn: str) -> None:
    place = f"127.0.0.1:{postgres.port}"
    files.config["database"] = postgres.dsn("nothing_of_this_name")
    answer = await files.check()
    assert answer.named("FAIL") == ["database"]
    answer.expect(
        "database",
        'PostgreSQL has no such database: database "nothing_of_this_name" does not exist',
        where="database",
        fix="CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8', or correct the name.",
    )

    files.config["database"] = postgres_dsn
    answer = await files.check()
    assert answer.named("FAIL") == []
    assert f"{place}/{postgres_dsn.rpartition('/')[2]} is empty, and the first start fills it\n" in answer.text
    store = open_store(postgres_dsn)
    await store.open()
    await store.close()
    assert "is there and can be written\n" in (await files.check()).text


async def test_another_program_has_the_port(files: Files) -> None:
    with socket.create_server(("127.0.0.1", files.slot.port)):
        answer = await files.check()
    assert answer.named("FAIL") == ["port"]
    answer.expect(
        "port",
        f"another program listens on 127.0.0.1:{files.slot.port}",
        where="appservice.port",
        fix="Stop it, or choose another port, here and in the registration's url.",
    )
    assert "skip ping            not before port is mended\n" in answer.text


async def test_an_address_of_another_machine(files: Files) -> None:
    files.config["appservice"]["host"] = "192.0.2.1"  # RFC 5737: nobody has it
    answer = await files.check()
    assert answer.named("FAIL") == ["port"]
    answer.expect(
        "port",
        f"the bridge cannot listen on 192.0.2.1:{files.slot.port}: Cannot assign requested address",
        where="appservice.port",
        fix="Write host: 127.0.0.1, host: 0.0.0.0, or another address that this machine has.",
    )


# --- the homeserver's address -----------------------------------------------------------------------------------------


async def test_nobody_at_the_homeservers_address(files: Files) -> None:
    (port,) = free_ports(1)
    files.config["homeserver"]["url"] = f"http://127.0.0.1:{port}"
    answer = await files.check()
    assert answer.named("FAIL") == ["homeserver"]
    answer.expect(
        "homeserver",
        f"nothing listens at http://127.0.0.1:{port}",
        where="homeserver.url",
        fix="Start the homeserver, or correct the address (in a container, localhost is the container itself).",
    )
    assert "skip ping            not before homeserver is mended\n" in answer.text


async def test_tls_where_there_is_none(files: Files) -> None:
    url = files.slot.homeserver_url.replace("http:", "https:")
    files.config["homeserver"]["url"] = url
    answer = await files.check()
    assert answer.named("FAIL") == ["homeserver"]
    answer.expect(
        "homeserver",
        f"{url} gives no answer: it speaks no TLS",
        where="homeserver.url",
        fix=f"Write {files.slot.homeserver_url} there.",
    )


async def test_a_path_too_much(files: Files) -> None:
    files.config["homeserver"]["url"] += "/_matrix"
    answer = await files.check()
    assert answer.named("FAIL") == ["homeserver"]
    url = files.slot.homeserver_url
    answer.expect(
        "homeserver",
        f"{url}/_matrix is not a homeserver's client-server API: it answers 404",
        where="homeserver.url",
        fix=f"Write {url} there, without /_matrix: the bridge adds /_matrix itself.",
    )


async def test_a_web_page_and_a_redirect(files: Files) -> None:
    async def page(request: web.Request) -> web.Response:
        if request.path.startswith("/go/"):
            raise web.HTTPMovedPermanently(f"{files.slot.homeserver_url}/{request.path.removeprefix('/go/')}")
        return web.Response(text="<html>Welcome to nginx!</html>", content_type="text/html")

    async with serving(page) as url:
        files.config["homeserver"]["url"] = url
        answer = await files.check()
        answer.expect(
            "homeserver",
            f"something answers at {url}, but it is no homeserver: it answers with a web page",
            where="homeserver.url",
            fix="Write the address of the homeserver's client-server API (Synapse: its public_baseurl).",
        )
        files.config["homeserver"]["url"] = f"{url}/go"
        answer = await files.check()
        target = f"{files.slot.homeserver_url}/_matrix/client/versions"
        answer.expect(
            "homeserver",
            f"{url}/go redirects to {target}, and a request with a token is not sent on",
            where="homeserver.url",
            fix=f"Write {files.slot.homeserver_url} there.",
        )


async def test_another_server_name(files: Files) -> None:
    files.config["homeserver"]["server_name"] = "matrix.hs.test"
    for namespace in files.registration["namespaces"]["users"] + files.registration["namespaces"]["aliases"]:
        namespace["regex"] = namespace["regex"].replace("hs\\.test", "matrix\\.hs\\.test")
    answer = await files.check()
    assert answer.named("FAIL") == ["server_name"]
    answer.expect(
        "server_name",
        "the homeserver's users are @...:hs.test, not @...:matrix.hs.test",
        where="homeserver.server_name",
        fix="Write server_name: hs.test, and make the registration anew (register --force).",
    )


async def test_an_old_server_behind_a_proxy_that_knows_too_little(files: Files, homeserver: Homeserver) -> None:
    async with HttpProxy(homeserver.url) as proxy:

        async def old(request: web.Request, forward: Forward) -> Answer:
            if request.path == "/_matrix/client/versions":
                return 200, msgspec.json.encode({"versions": ["r0.6.1", "v1.1"], "unstable_features": {}})
            if request.path.startswith(("/_matrix/media", "/_matrix/client/v1/media")):
                return 404, b"{}"
            return await forward()

        proxy.tamper = old
        files.config["homeserver"]["url"] = proxy.url
        answer = await files.check()
    assert answer.named("FAIL") == ["server_version", "async_media"]
    assert answer.named("warn") == ["media"]
    assert "speaks Matrix v1.1 at most\n" in answer.text
    assert "fix: Update the homeserver to a version that speaks Matrix v1.7.\n" in answer.text
    assert (
        "fix: Have the proxy in front of the homeserver pass on all of /_matrix, or update the homeserver.\n"
        in answer.text
    )


async def test_a_clock_that_is_wrong(files: Files, homeserver: Homeserver) -> None:
    async def yesterday(request: web.Request) -> web.Response:
        url = URL(homeserver.url + request.raw_path, encoded=True)
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        body = await request.read()
        async with (
            aiohttp.ClientSession() as http,
            http.request(request.method, url, data=body, headers=headers) as answer,
        ):
            stale = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "Content-Type": "application/json"}
            return web.Response(status=answer.status, body=await answer.read(), headers=stale)

    async with serving(yesterday) as url:
        files.config["homeserver"]["url"] = url
        answer = await files.check()
    assert answer.named("FAIL") == ["clock"]
    assert re.fullmatch(
        r"FAIL clock           the homeserver's clock is \d+ days behind this machine's: messages get wrong times, and "
        r"what has a deadline fails\n       fix: Set both clocks by NTP \(timedatectl set-ntp true\)\.\n",
        answer.lines("clock"),
    )
