"""Mistakes in the configuration are named with their place, and one thing to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bridgekit.adapter import Adapter, Login, Network, Prompt, Session
from bridgekit.app import database_url, prefixes, times_of
from bridgekit.cli import main
from bridgekit.config import Config, load
from bridgekit.errors import ConfigError
from bridgekit.matrix.registration import load as load_registration

GOOD = """
homeserver: {url: "http://127.0.0.1:1", server_name: hs.test}
appservice: {registration: registration.yaml}
database: "sqlite:bridge.db"
network: {host: example.org}
"""


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """`run` sets logging up for a process of its own; this one's goes on as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


class ToyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: int = 7


class ToyAdapter(Adapter):
    network = Network(id="toy", name="Toy")
    config = ToyConfig

    async def login(self, prompt: Prompt) -> Login:
        raise NotImplementedError

    def connect(self, login: Login) -> Session:  # type: ignore[override]  # never connected
        raise NotImplementedError


def written(directory: Path, text: str) -> Path:
    path = directory / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    config, settings = load(written(tmp_path, GOOD), ToyAdapter)
    assert settings == ToyConfig(host="example.org")
    assert config.appservice.port == 29328
    assert prefixes(config, ToyAdapter) == ("toy_", "toy_")
    assert database_url(config, tmp_path) == f"sqlite://{tmp_path}/bridge.db"
    assert times_of(config).delivery.retry_for_ms == 86_400_000


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (GOOD.replace("homeserver:", "homesever:"), "config.yaml", "homesever"),
        (GOOD.replace("server_name: hs.test", "server_name: 5"), "homeserver.server_name", "`str`, got `int`"),
        (GOOD.replace("server_name: hs.test", "servername: x"), "homeserver", "server"),
        (GOOD.replace("host: example.org", "host: 5"), "network.host", "`str`, got `int`"),
        (GOOD.replace("host: example.org", "hots: x"), "network", "hots"),
        (GOOD + "logging: {level: loud}", "logging.level", "loud"),
        ("a: [", "config.yaml", "not YAML"),
        ("[]", "config.yaml", "not a mapping"),
        ("", "config.yaml", "not a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), ToyAdapter)
    assert where in caught.value.where
    assert what in caught.value.what
    assert caught.value.fix


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "config.yaml", ToyAdapter)


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(ToyAdapter, list(args))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_register_writes_a_file_that_nobody_else_may_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, GOOD)
    assert run("register", "--config", str(config), "--url", "http://bridge:29328") == 0
    path = tmp_path / "registration.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    registration = load_registration(path)
    assert (registration.id, registration.url, registration.sender_localpart) == (
        "toy",
        "http://bridge:29328",
        "toybot",
    )
    assert [n.regex for n in registration.namespaces.users] == [r"^@toybot:hs\.test$", r"^@toy_.*:hs\.test$"]
    assert str(path) in capsys.readouterr().out
    # A second one would lock the bridge out of the homeserver that has the first.
    assert run("register", "--config", str(config), "--url", "http://other") == 2
    assert load_registration(path) == registration
    assert "--force" in capsys.readouterr().err
    assert run("register", "--config", str(config), "--url", "http://other", "--force") == 0
    assert load_registration(path).url == "http://other"


@pytest.mark.parametrize(
    ("args", "text", "code"),
    [
        (("run",), None, 2),
        (("run",), "a: [", 2),
        (("run",), GOOD, 2),  # there is no registration yet
        (("fly",), GOOD, 2),
        (("run", "--nonsense"), GOOD, 2),
    ],
)
def test_bad_input_gets_words_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], text: str | None, code: int
) -> None:
    if text is not None:
        written(tmp_path, text)
    given = [*args, "--config", str(tmp_path / "config.yaml")] if args == ("run",) else list(args)
    assert run(*given) == code
    said = capsys.readouterr().err
    assert "rror" in said
    assert "Traceback" not in said


def test_help_names_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "Toy" in capsys.readouterr().out


def test_every_setting_is_explained() -> None:
    def check(kind: type[msgspec.Struct], doc: str) -> None:
        for field in msgspec.structs.fields(kind):
            nested = field.type
            if isinstance(nested, type) and issubclass(nested, msgspec.Struct):
                check(nested, nested.__doc__ or "")
            elif kind is not Config:
                assert f"`{field.name}`" in doc, f"{kind.__name__}.{field.name}"

    check(Config, Config.__doc__ or "")
