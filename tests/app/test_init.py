"""``init`` and ``register``: from nothing to the two files that a bridge needs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from bridgekit.config import Config, load
from bridgekit.matrix.registration import load as load_registration
from bridgekit.settings import sections
from tests.app.toy import GOOD, Cli, ToyAdapter, ToyConfig, process, written

GIVEN = ("--homeserver-url", "http://127.0.0.1:8008", "--server-name", "hs.test", "--network-host", "example.org")


def test_what_no_option_says_has_its_default(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    said = cli("init", "--no-ask", *GIVEN, "-c", path)
    assert (said.code, said.err) == (0, "")
    assert "register" in said.out
    assert path.stat().st_mode & 0o777 == 0o600
    config, settings = load(path, ToyAdapter)
    homeserver = msgspec.structs.replace(config.homeserver, url="http://127.0.0.1:8008", server_name="hs.test")
    assert config == Config(homeserver=homeserver, network={"host": "example.org"})
    assert settings == ToyConfig(host="example.org")


def test_what_is_commented_out_has_the_value_shown(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    cli("init", "--no-ask", *GIVEN, "-c", path)
    before = load(path, ToyAdapter)
    keys = [key for kind, at in ((Config, ""), (ToyConfig, "network")) for s in sections(kind, at) for key in s.keys]
    names = {key.name for key in keys}
    lines = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        indent, comment, rest = line.partition("# ")
        # A list that is commented out goes on as deep as it began.
        inside = bool(comment) and (rest.partition(":")[0] in names or (inside and rest.startswith("  ")))
        lines.append(indent + rest if inside and not indent.strip() else line)
    path.write_text("\n".join(lines), encoding="utf-8")
    for key in keys:
        if key.name != "network":
            assert _at(yaml.safe_load("\n".join(lines)), key.path) is not KeyError, key.path
    after = load(path, ToyAdapter)
    assert msgspec.structs.replace(after[0], network={}) == msgspec.structs.replace(before[0], network={})
    assert after[1] == before[1]


def _at(data: object, path: str) -> object:
    for part in path.split("."):
        if not isinstance(data, dict) or part not in data:
            return KeyError
        data = data[part]
    return data


def test_options_for_everything(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    options = (
        *("--url", "http://bridge:8090", "--database", "{env: TOY_DATABASE}", "--network-port", "9"),
        *("--admin", "@me:hs.test", "--set", "logging.level=debug", "--set", "network.rooms=[a, b]"),
    )
    assert cli("init", "--no-ask", *GIVEN, *options, "-c", path).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_DATABASE", "sqlite:toy.db")
        config, settings = load(path, ToyAdapter)
    assert settings == ToyConfig(host="example.org", port=9, rooms=["a", "b"])
    assert (config.database, config.logging.level) == ("sqlite:toy.db", "debug")
    assert (config.appservice.url, config.appservice.port) == ("http://bridge:8090", 8090)
    assert config.permissions == {"*": "relay", "hs.test": "user", "@me:hs.test": "admin"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (GIVEN[:4], "network.host: it is missing; expected text that is not empty\n       Give --network-host."),
        ((*GIVEN, "--set", "homeserver.name=x"), "there is no key `homeserver.name`"),
        ((*GIVEN, "--set", "database"), "there is no = in it"),
        (
            (*GIVEN, "--set", "appservice.port=big"),
            "appservice.port: expected a whole number from 0 to 65535, found the",
        ),
        ((*GIVEN, "--network-port", "[1"), "--network-port: the value is not YAML"),
        ((*GIVEN, "--database", "hunter2"), "database: expected a sqlite: or postgresql: URL, found text that is not"),
        ((*GIVEN, "--admin", "me"), "--admin: me is no Matrix user id"),
        ((*GIVEN, "--set", "permissions={@x: user}"), "--set permissions: the value is not YAML"),
        ((*GIVEN, "--set", "permissions={'@x': user}"), "this is not a Matrix user id"),
    ],
)
def test_nothing_is_written_that_does_not_load(cli: Cli, tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    said = cli("init", "--no-ask", *args, "-c", tmp_path / "config.yaml")
    assert said.code == 2
    assert words in said.err
    assert "hunter2" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_kept(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path)
    said = cli("init", "--no-ask", *GIVEN, "-c", path)
    assert (said.code, path.read_text(encoding="utf-8")) == (2, GOOD)
    assert "--force" in said.err
    assert cli("init", "--no-ask", *GIVEN, "-c", path, "--force").code == 0
    assert "8008" in path.read_text(encoding="utf-8")


def test_from_nothing_to_two_files_with_the_real_program(tmp_path: Path) -> None:
    # Homeserver, server name, where the homeserver finds the bridge, database, webchat, admin.
    said = process("init", cwd=tmp_path, answers="\nexample.org\nhttp://bridge:8090\n\nhttp://w\n@me:example.org\n")
    assert said.code == 0, said.err
    assert "python -m example_bridge register" in said.out
    said = process("register", cwd=tmp_path)
    assert said.code == 0, said.err
    registration = load_registration(tmp_path / "registration.yaml")
    assert registration.url == "http://bridge:8090"
    assert registration.namespaces.users[0].regex == r"^@webchatbot:example\.org$"


def test_nobody_to_ask(tmp_path: Path) -> None:
    said = process("init", "--network-url", "http://w", "--homeserver-url", "http://h", cwd=tmp_path)
    assert said.code == 2
    assert "there is nobody to ask\n       Give --server-name." in said.err
    assert list(tmp_path.iterdir()) == []


# --- register -----------------------------------------------------------------------------------------------------
def test_register_writes_a_file_that_nobody_else_may_read(cli: Cli, tmp_path: Path) -> None:
    config = written(tmp_path)
    said = cli("register", "--config", config, "--url", "http://bridge:29328")
    assert said.code == 0
    path = tmp_path / "registration.yaml"
    assert str(path) in said.out
    assert "app_service_config_files" in said.out
    assert path.stat().st_mode & 0o777 == 0o600
    made = load_registration(path)
    assert (made.id, made.url, made.sender_localpart) == ("toy", "http://bridge:29328", "toybot")
    assert [n.regex for n in made.namespaces.users] == [r"^@toybot:hs\.test$", r"^@toy_.*:hs\.test$"]
    assert (made.rate_limited, made.receive_ephemeral, made.push_ephemeral) == (False, True, True)
    assert (made.org_matrix_msc3202, made.io_element_msc4190) == (True, True)
    for token in (made.as_token, made.hs_token):
        assert token not in said.out + said.err


def test_register_compares_with_what_is_there(cli: Cli, tmp_path: Path) -> None:
    config, path = written(tmp_path), tmp_path / "registration.yaml"
    cli("register", "--config", config)
    made = load_registration(path)
    assert made.url == "http://127.0.0.1:29328"
    said = cli("register", "--config", config)
    assert said.code == 0
    assert "is what the configuration asks for" in said.out
    # A second one would lock the bridge out of the homeserver that has the first.
    other = written(tmp_path, GOOD.replace("hs.test", "hs.example"))
    said = cli("register", "--config", other, "--url", "http://other")
    assert said.code == 2
    assert "differs in url, namespaces.users, namespaces.aliases" in said.err
    assert load_registration(path) == made
    assert cli("register", "--config", other, "--url", "http://other", "--update").code == 0
    updated = load_registration(path)
    assert (updated.url, updated.as_token, updated.hs_token) == ("http://other", made.as_token, made.hs_token)
    assert cli("register", "--config", other, "--force").code == 0
    assert load_registration(path).as_token != made.as_token


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--url", "bridge:8090"), '--url: expected an http:// or https:// URL, found the text "bridge:8090"'),
        (("--bot", "@toybot:hs.test"), "--bot: expected the part between @ and : of a user id"),
    ],
)
def test_what_would_make_no_registration(cli: Cli, tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    said = cli("register", "--config", written(tmp_path), *args)
    assert said.code == 2
    assert words in said.err
    assert not (tmp_path / "registration.yaml").exists()


def test_force_replaces_what_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    config, path = written(tmp_path), tmp_path / "registration.yaml"
    path.write_text("url: http://half\n", encoding="utf-8")
    assert cli("register", "--config", config).code == 2
    assert cli("register", "--config", config, "--force").code == 0
    assert load_registration(path).id == "toy"


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:29328"), ("::1", "http://[::1]:29328"), ("0.0.0.0", None)]
)
def test_where_the_homeserver_finds_the_bridge(cli: Cli, tmp_path: Path, host: str, url: str | None) -> None:
    config = written(tmp_path, GOOD.replace("registration: registration.yaml", f'host: "{host}"'))
    said = cli("register", "--config", config)
    if url is None:
        assert said.code == 2
        assert "appservice.url: it is missing" in said.err
        assert "--url" in said.err
    else:
        assert load_registration(tmp_path / "registration.yaml").url == url


def test_a_file_that_is_replaced_is_not_for_everybody_to_read(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.touch(mode=0o600)
    config.chmod(0o644)
    said = cli("init", "--config", config, *GIVEN, "--no-ask", "--force")
    assert said.code == 0, said.err
    assert config.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_doctor_shows_no_password_of_an_address(cli: Cli, tmp_path: Path, options: tuple[str, ...]) -> None:
    config = written(tmp_path, GOOD.replace("http://127.0.0.1:1", "http://user:hunter2@127.0.0.1:1"))
    said = cli("check", "--config", config, *options)
    assert said.code == 3
    assert "hunter2" not in said.out + said.err
    assert "nothing listens at http://user:(redacted)@127.0.0.1:1" in said.out
