"""A port or an address that the bridge cannot have."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.app.toy import GOOD, Cli, Said, written


@pytest.mark.parametrize("section", ["appservice", "monitoring"])
def test_a_taken_port_may_be_free_later(cli: Cli, tmp_path: Path, section: str) -> None:
    """It is no mistake in a file, at which a service manager would give up."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"appservice": 0, "monitoring": 0, section: taken.getsockname()[1]}
        said = _run(cli, tmp_path, f"port: {ports['appservice']}", f"port: {ports['monitoring']}")
    assert said.code == 1
    assert f"error: {section}.port: the bridge cannot listen on 127.0.0.1:{ports[section]}" in said.err
    assert "Choose a free port" in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("section", ["appservice", "monitoring"])
@pytest.mark.parametrize("host", ["192.0.2.1", "999.1.1.1"])
def test_an_address_of_somebody_else(cli: Cli, tmp_path: Path, section: str, host: str) -> None:
    hosts = {"appservice": "127.0.0.1", "monitoring": "127.0.0.1", section: host}
    said = _run(cli, tmp_path, *(f"port: 0, host: {hosts[each]}" for each in ("appservice", "monitoring")))
    assert said.code == 2
    assert f"error: {section}.host: the bridge cannot listen on {host}:0" in said.err
    assert "Write 127.0.0.1, 0.0.0.0, or another address of this machine." in said.err


def _run(cli: Cli, directory: Path, appservice: str, monitoring: str) -> Said:
    text = GOOD.replace("registration: registration.yaml", appservice) + f"monitoring: {{{monitoring}}}\n"
    path = written(directory, text)
    assert cli("register", "--config", path, "--url", "http://127.0.0.1:1").code == 0
    return cli("run", "--config", path)
