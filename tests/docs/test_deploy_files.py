"""The files that an admin deploys with agree with the code and with each other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp.web
import msgspec
import pytest
import yaml

import bridgekit
from bridgekit.cli import Exit, command_line
from bridgekit.config import AppserviceConfig, DeliveryConfig, MonitoringConfig
from bridgekit.runtime import gaps, lease
from example_bridge.webchat.adapter import WebchatAdapter, WebchatSession
from tests.conftest import missing
from tests.container import bridge as container
from tests.container import engine
from tests.docs.guide import blocks

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = ROOT / "docs" / "deploy.md"
DEPLOY: Final = ROOT / "docs" / "deploy"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

STOP_S: Final = DeliveryConfig().drain_s + 10
"""What the bridge is given to stop in must be more: the drain, and closing down."""


def default(of: type[msgspec.Struct], key: str) -> Any:
    """What a key of the configuration is if left out."""
    (field,) = [field for field in msgspec.structs.fields(of) if field.name == key]
    return field.default


# --- Dockerfile -------------------------------------------------------------------------------------------------------


def instructions(stage: int = -1) -> list[tuple[str, str]]:
    """Those of one stage of the Dockerfile, as (word, rest); stage -1 is the one that is shipped."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    stages: list[list[tuple[str, str]]] = [[]]
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages[stage]


def said(word: str, stage: int = -1) -> str:
    """The one instruction of that word."""
    (rest,) = [rest for found, rest in instructions(stage) if found == word]
    return rest


def health_command() -> list[str]:
    command: list[str] = json.loads(said("HEALTHCHECK").partition(" CMD ")[2])
    return command


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", said("ENV")))


def test_the_image_is_what_the_guide_says() -> None:
    assert said("USER") == f"{container.USER}:{container.USER}"
    assert said("VOLUME") == said("WORKDIR") == "/data"
    assert said("STOPSIGNAL") == "SIGTERM"
    assert json.loads(said("ENTRYPOINT")) == ["python", "-m", "example_bridge"]
    assert json.loads(said("CMD")) == ["run", "-c", "/data/config.yaml"]
    assert int(said("EXPOSE")) == default(AppserviceConfig, "port")
    assert said("ARG") == f"VERSION={bridgekit.__version__}"
    # What an author puts on top of it.
    (own,) = [block.text for block in blocks(GUIDE, "Your own bridge") if block.language == "dockerfile"]
    assert f"\nUSER {said('USER')}\n" in own and f"\nCMD {said('CMD')}\n" in own


def test_the_image_has_the_oldest_python_that_is_supported_and_no_other() -> None:
    python = dict(rest.split("=") for word, rest in instructions(0) if word == "ARG")
    assert PROJECT["project"]["requires-python"] == f">={python['PYTHON']}"
    for stage, image in ((1, engine.FULL), (2, engine.SLIM)):
        wanted = said("FROM", stage).removesuffix(" AS build")
        assert image.endswith(wanted.replace("${PYTHON}", python["PYTHON"]).replace("${DEBIAN}", python["DEBIAN"]))


def test_the_builder_gets_what_it_needs_and_nothing_else() -> None:
    needed = {name for word, rest in instructions(1) if word == "COPY" for name in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in needed)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == needed
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= needed
    assert PROJECT["project"]["readme"] in needed


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_the_health_check_says_what_the_bridge_says(status: int, code: int) -> None:
    async def answer(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        assert request.path == "/healthz"
        return aiohttp.web.Response(status=status)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(answer))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        assert await _health(f"http://127.0.0.1:{port}/healthz") == code
    finally:
        await runner.cleanup()


async def test_the_health_check_fails_where_nobody_listens() -> None:
    assert await _health("http://127.0.0.1:1/healthz") == 1


async def _health(url: str) -> int:
    python, *arguments = health_command()
    assert python == "python"
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, "BRIDGE_HEALTH": url}, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


# --- compose.yaml -----------------------------------------------------------------------------------------------------

KNOWN: Final = {
    "": {"name", "services", "volumes", "secrets", "networks", "configs"},
    "service": {
        "image", "restart", "environment", "secrets", "volumes", "healthcheck", "depends_on", "ports", "read_only",
        "tmpfs", "cap_drop", "security_opt", "mem_limit", "stop_grace_period",
    },
    "healthcheck": {"test", "interval", "timeout", "retries", "start_period"},
}  # fmt: skip
"""The keys of the Compose Specification that we use; a misspelt one is none of them."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_compose_has_only_keys_that_there_are(compose: dict[str, Any]) -> None:
    assert compose.keys() <= KNOWN[""]
    for service in compose["services"].values():
        assert service.keys() <= KNOWN["service"]
        assert service.get("healthcheck", {}).keys() <= KNOWN["healthcheck"]


def test_compose_names_only_what_it_has(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and "healthcheck" in services[other]
        assert set(service.get("secrets", [])) <= compose["secrets"].keys()
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source in ("./synapse", "./bridge") or (DEPLOY / source).exists()
    secrets = {Path(secret["file"]) for secret in compose["secrets"].values()}
    guide = GUIDE.read_text(encoding="utf-8")
    for path in secrets:
        assert path.parent == Path("secrets") and path.name in guide
        read_by = (DEPLOY / "databases.sql").read_text(encoding="utf-8") + str(services["postgres"]["environment"])
        assert f"/run/secrets/{path.name}" in read_by + guide


def test_compose_runs_the_bridge_as_the_image_is_made_for(compose: dict[str, Any]) -> None:
    bridge = compose["services"]["bridge"]
    assert bridge["volumes"] == ["./bridge:/data"] and said("VOLUME") == "/data"
    assert "ports" not in bridge  # only Synapse needs to reach it
    assert (
        bridge["read_only"] and bridge["cap_drop"] == ["ALL"] and bridge["security_opt"] == ["no-new-privileges:true"]
    )
    assert int(bridge["stop_grace_period"].removesuffix("s")) >= STOP_S
    # What `make container CHECK=1` proves is what is deployed.
    proved = " ".join(container.OPTIONS)
    assert "--read-only" in proved and "--cap-drop all" in proved and "--security-opt no-new-privileges" in proved
    assert f"--tmpfs {bridge['tmpfs'][0]}" in proved


def test_compose_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_has_the_synapse_that_the_tests_have(compose: dict[str, Any]) -> None:
    (tested,) = [r for r in PROJECT["project"]["optional-dependencies"]["test"] if r.startswith("matrix-synapse")]
    assert compose["services"]["synapse"]["image"] == f"matrixdotorg/synapse:v{tested.partition('~=')[2]}"


# --- bridgekit.service ------------------------------------------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    lines = (DEPLOY / "bridgekit.service").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[str]] = {}
    for key, _, value in (line.partition("=") for line in lines if not line.startswith(("#", "[")) and line):
        found.setdefault(key, []).append(value)
    return found


def test_the_unit_runs_what_the_image_runs() -> None:
    (start,) = unit()["ExecStart"]
    arguments = " ".join([*json.loads(said("ENTRYPOINT")), *json.loads(said("CMD"))])
    assert start == f"/opt/bridge/bin/{arguments.replace('/data', '/var/lib/bridge')}"
    assert unit()["WorkingDirectory"] == ["/var/lib/bridge"] and unit()["StateDirectory"] == ["bridge"]
    assert int(unit()["TimeoutStopSec"][0]) >= STOP_S
    assert not {"ProtectProc", "ProcSubset"} & unit().keys()  # the lease looks into /proc


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        missing("systemd-analyze")
    text = (DEPLOY / "bridgekit.service").read_text(encoding="utf-8")
    path = tmp_path / "bridgekit.service"
    path.write_text(text.replace("/opt/bridge/bin/python", sys.executable), encoding="utf-8")
    done = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# --- deploy.md --------------------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """What the guide says after the word `bridge`, whether or not it can be run here."""
    text = "".join(block.text for block in blocks(GUIDE)).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("bridge ")]


def test_the_guides_commands_are_those_of_the_command_line() -> None:
    group = command_line(WebchatAdapter)
    assert {command[0] for command in commands()} >= {"init", "register", "check"}
    for name, *arguments in commands():
        group.commands[name].make_context(name, arguments)  # raises what a person would be told
    for inline in re.findall(r"`bridge (\w+)[^`]*`", GUIDE.read_text(encoding="utf-8")):
        assert inline in group.commands


def test_the_guides_numbers_are_those_of_the_code() -> None:
    text = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert f"last {gaps.MAX_PAGES * 100:,}" in text
    assert f"lease has expired: {lease.TTL_MS / 1000:g} s" in text
    assert WebchatSession.dedupes_for is not None
    assert f"webchat for {WebchatSession.dedupes_for / timedelta(hours=1):g} hour" in text
    for of, key in ((AppserviceConfig, "port"), (MonitoringConfig, "port")):
        assert str(default(of, key)) in text
    assert image_environment()["BRIDGE_HEALTH"] == f"http://127.0.0.1:{default(MonitoringConfig, 'port')}/healthz"
    assert unit()["RestartPreventExitStatus"] == [str(int(Exit.BAD_INPUT))]
