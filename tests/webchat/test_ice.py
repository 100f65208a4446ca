"""The STUN and TURN servers that a network is told, and tells its pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from example_bridge.webchat.client import WebchatClient
from example_bridge.webchat.server.__main__ import parse
from example_bridge.webchat.server.ice import read_ice_servers
from example_bridge.webchat.server.protocol import IceServer
from tests.webchat.conftest import StartServer

STUN = {"urls": "stun:stun.example.org"}
TURN = {"urls": ["turn:[2001:db8::1]:3478?transport=udp", "turns:turn.example.org"], "username": "u", "credential": "c"}


def written(directory: Path, content: Any) -> Path:
    file = directory / "ice.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_what_the_file_says(tmp_path: Path) -> None:
    file = written(tmp_path, [STUN, TURN])
    servers = (IceServer(("stun:stun.example.org",)), IceServer(tuple(TURN["urls"]), "u", "c"))
    assert read_ice_servers(file) == servers
    assert parse(["--db", "x", "--ice-servers", str(file)]).ice_servers == servers
    assert parse(["--db", "x"]).ice_servers == ()


@pytest.mark.parametrize(("content", "words"), [
    ("", "is no list such as"),
    ("{}", "is no list such as"),
    ([{"url": "stun:a"}], "is no list such as"),
    ([{"urls": []}], "server 1: urls is empty"),
    ([STUN, {"urls": "stun.example.org"}], "server 2: 'stun.example.org' is none of stun:HOST"),
    ([{"urls": "stun:a?transport=udp"}], "is none of"),
    ([{"urls": "https://a"}], "is none of"),
    ([{"urls": "turn:a?transport=sctp", "username": "u", "credential": "c"}], "is none of"),
    ([{"urls": ["stun:a", "turn:a"], "username": "u"}], "a TURN server needs a username and a credential"),
    ([{"urls": "turn:a", "username": "", "credential": "c"}], "a TURN server needs"),
    ([STUN] * 5, "lists 5 servers; at most 4"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, words: str
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(SystemExit):
        parse(["--db", "x", "--ice-servers", str(file)])
    said = capsys.readouterr().err
    assert words in said and str(file) in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_ice_servers(tmp_path / "nothing.json")


async def test_pages_are_told(start_server: StartServer) -> None:
    servers = (IceServer(("stun:stun.example.org",)), IceServer(("turn:turn.example.org",), "u", "c"))
    server = await start_server(ice_servers=servers)
    async with WebchatClient(server.url) as anybody:
        assert (await anybody.info()).ice_servers == servers
