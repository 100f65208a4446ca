"""Mistakes in the configuration are named with their place, what was expected and found, and one thing to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bridgekit.app import database_url, prefixes, times_of
from bridgekit.config import Config, load
from bridgekit.errors import ConfigError
from bridgekit.settings import expected, parse_yaml, read, sections
from bridgekit.store import open_store
from bridgekit.store.sqlite import SqliteStore
from example_bridge.webchat.adapter import WebchatConfig
from tests.app.toy import GOOD, Cli, ToyAdapter, ToyConfig, written


def test_a_good_file(tmp_path: Path) -> None:
    config, settings = load(written(tmp_path), ToyAdapter)
    assert settings == ToyConfig(host="example.org")
    assert config.appservice.port == 29328
    assert prefixes(config, ToyAdapter) == ("toy_", "toy_")
    assert database_url(config, tmp_path) == f"sqlite://{tmp_path}/bridge.db"
    assert times_of(config).delivery.retry_for_ms == 86_400_000


def test_the_database_lies_beside_the_file_whatever_the_directory_is_called(tmp_path: Path) -> None:
    directory = tmp_path / "a b#c%41?d"
    directory.mkdir()
    config, _ = load(written(directory), ToyAdapter)
    store = open_store(database_url(config, directory))
    assert isinstance(store, SqliteStore) and store.path == directory / "bridge.db"


def mistakes(directory: Path, text: str) -> list[str]:
    path = written(directory, text)
    with pytest.raises(ConfigError) as caught:
        load(path, ToyAdapter)
    errors = [caught.value, *caught.value.more]
    return [f"{error.where}: {error.what}. {error.fix}".removeprefix(str(path)) for error in errors]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            GOOD.replace("database:", "databse:"),
            ", line 4: databse: unknown key `databse`; did you mean `database`?. Mend the name.",
        ),
        (
            GOOD.replace("homeserver:", "homesever:"),
            ", line 2: homesever: unknown key `homesever`; did you mean `homeserver`?. Mend the name.",
        ),
        (
            GOOD.replace("network: {", "network: {zzz: 1, "),
            (
                ", line 5: network.zzz: unknown key `zzz`. "
                "Remove it; the keys here are `host`, `password`, `port`, `rooms`."
            ),
        ),
        (
            GOOD.replace("network: {", "network: {hots: x, "),
            ", line 5: network.hots: unknown key `hots`; did you mean `host`?. Mend the name.",
        ),
        (
            GOOD.replace(", server_name: hs.test", ""),
            (
                ", line 2: homeserver.server_name: it is missing; expected a server name, such as example.com. "
                "Add it. The part behind the colon in its users' ids; often not the host of its url."
            ),
        ),
        (
            GOOD.replace("hs.test", "no"),
            (
                ", line 2: homeserver.server_name: expected a server name, such as example.com, found false. "
                "Put it in quotes."
            ),
        ),
        (
            GOOD.replace("http://127.0.0.1:1", "127.0.0.1:1"),
            (
                ", line 2: homeserver.url: expected an http:// or https:// URL, "
                'found the text "127.0.0.1:1". Mend that value.'
            ),
        ),
        (
            GOOD.replace("registration: registration.yaml", "port: 70000"),
            (
                ", line 3: appservice.port: expected a whole number from 0 to 65535, found the number 70000. "
                "Mend that value."
            ),
        ),
        (
            GOOD.replace("registration: registration.yaml", "port: {env: PORT}"),
            (
                ", line 3: appservice.port: expected a whole number from 0 to 65535, found a mapping. "
                "Write the value itself: the environment and files stand for text only."
            ),
        ),
        (
            GOOD.replace("registration: registration.yaml", "registration: {evn: X}"),
            (
                ", line 3: appservice.registration: expected text that is not empty, found a mapping. "
                "Write the text itself, {env: NAME} or {file: path}."
            ),
        ),
        (
            GOOD + "delivery: {drain_s: .inf}",
            ", line 6: delivery.drain_s: expected a number from 0 to 315360000, found the number inf. Mend that value.",
        ),
        (
            GOOD + "logging: {level: loud}",
            ', line 6: logging.level: expected debug, info, warning or error, found the text "loud". Mend that value.',
        ),
        (
            GOOD + "logging: [info]",
            (
                ", line 6: logging: expected a mapping of keys to values, found a list. "
                "Write one `key: value` on each line."
            ),
        ),
        (
            GOOD + "logging:\n  level: info\n  level: debug\n",
            ", line 8: logging.level: the key is there twice, first on line 7. Keep one of the two.",
        ),
        (
            GOOD + "database: sqlite:other.db\n",
            ", line 6: database: the key is there twice, first on line 4. Keep one of the two.",
        ),
        (
            GOOD.replace("host: example.org", "host: example.org, rooms: [a, 5]"),
            ", line 5: network.rooms[1]: expected text, found the number 5. Put it in quotes.",
        ),
        (
            GOOD.replace("host: example.org", "host: same, password: same"),
            ", line 5: network: the word must not be the place. Mend that.",
        ),
        (
            GOOD.replace("host: example.org", ""),
            ", line 5: network.host: it is missing; expected text that is not empty. Add it. Where it is.",
        ),
        (
            GOOD + 'permissions: {"*": king}',
            ', line 6: permissions["*"]: expected none, relay, user or admin, found the text "king". Mend that value.',
        ),
        (
            GOOD.replace("hs.test", "https://hs.test"),
            (
                ", line 2: homeserver.server_name: expected a server name, such as example.com, "
                'found the text "https://hs.test". Mend that value.'
            ),
        ),
        (
            GOOD + "media: {private_hosts: [store.internal, '[fd00::1]', '10.0.0.1:9000']}",
            (
                ", line 6: media.private_hosts[2]: expected a host without a port, "
                'found the text "10.0.0.1:9000". Mend that value.'
            ),
        ),
        (
            GOOD.replace("http://127.0.0.1:1", "http://127.0.0.1 :1"),
            (
                ", line 2: homeserver.url: expected an http:// or https:// URL, "
                'found the text "http://127.0.0.1 :1". Mend that value.'
            ),
        ),
        (
            GOOD.replace("registration: registration.yaml", "ghost_prefix: .*"),
            (
                ", line 3: appservice.ghost_prefix: expected text of a-z, 0-9, and . _ -, "
                'found the text ".*". Mend that value.'
            ),
        ),
        (
            GOOD + "delivery: {keep_event_ids_days: 1.0e+308}",
            (
                ", line 6: delivery.keep_event_ids_days: expected a number, above 0 and at most 36500, "
                "found the number 1e+308. Mend that value."
            ),
        ),
        (
            GOOD.replace("host: example.org", 'host: "a\\0b"'),
            ", line 5: network.host: there is a character in it that no text has (NUL, or half of one). Take it out.",
        ),
        (
            GOOD.replace("host: example.org", 'host: "\\ud800"'),
            ", line 5: network.host: there is a character in it that no text has (NUL, or half of one). Take it out.",
        ),
        (
            "a: \x01",
            ": it is not YAML (special characters are not allowed). Mend that line, or the one before it.",
        ),
        ("a: " + "[" * 5000, ": it is not YAML that could be meant (too deep). Write it anew."),
        (
            "password: *hunter2",
            ", line 1: it is not YAML (found undefined alias). Mend that line, or the one before it.",
        ),
        (
            "password: !hunter2 x",
            (
                ", line 1: it is not YAML (could not determine a constructor for the tag). "
                "Mend that line, or the one before it."
            ),
        ),
        (
            "a: [",
            (
                ", line 1: it is not YAML (expected the node content, but found '<stream end>'). "
                "Mend that line, or the one before it."
            ),
        ),
        (
            "a: 2024-13-45",
            ": it is not YAML (a value is not what it looks like, such as the date 2024-13-32). Put it in quotes.",
        ),
        ("[]", ": expected a mapping of keys to values, found a list. Write one `key: value` on each line."),
        ("", ": expected a mapping of keys to values, found nothing. Write one `key: value` on each line."),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, text) == [mistake]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "databse: x\nappservice: {port: no, prot: 1}\nlogging: {level: loud}\n")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "databse",
        "appservice.port",
        "appservice.prot",
        "logging.level",
        "homeserver",
        "network.host",
    ]


def test_sections_that_are_empty_or_left_out(tmp_path: Path) -> None:
    whole = load(written(tmp_path), ToyAdapter)
    empty = load(written(tmp_path, GOOD + "logging:\ndelivery: # nothing\n"), ToyAdapter)
    assert empty == whole


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "config.yaml", ToyAdapter)


# --- texts from elsewhere -----------------------------------------------------------------------------------------
def test_texts_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PASSWORD", "open sesame")
    (tmp_path / "host.txt").write_text("example.net\r\n", encoding="utf-8")
    text = GOOD.replace(
        "network: {host: example.org}",
        "network: {host: {file: host.txt}, password: {env: TOY_PASSWORD}, rooms: [{env: TOY_PASSWORD}]}",
    )
    _, settings = load(written(tmp_path, text), ToyAdapter)
    assert settings == ToyConfig(host="example.net", password="open sesame", rooms=["open sesame"])


@pytest.mark.parametrize(
    ("reference", "mistake"),
    [
        ("{env: TOY_NOTHING}", "the environment variable TOY_NOTHING is not set. Set it where the bridge is started."),
        ("{file: no.txt}", "there is no file {dir}/no.txt. Write the value into it, or name another file."),
        ("{file: .}", "the file {dir} cannot be read (Is a directory). Make it a text file that this user may read."),
        (
            "{file: raw}",
            "the file {dir}/raw cannot be read (it is not UTF-8 text). Make it a text file that this user may read.",
        ),
    ],
)
def test_what_is_not_there(tmp_path: Path, reference: str, mistake: str) -> None:
    (tmp_path / "raw").write_bytes(b"\xff\xfe")
    (found,) = mistakes(tmp_path, GOOD.replace("host: example.org", f"host: {reference}"))
    assert found == f", line 5: network.host: {mistake.replace('{dir}', str(tmp_path))}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (GOOD.replace("host: example.org", "host: h, password: 123456789"), "network.password"),
        (GOOD.replace("host: example.org", "host: h, password: [hunter2]"), "network.password"),
        (GOOD.replace('"sqlite:bridge.db"', "mysql://me:hunter2@host/db"), "database"),
        (GOOD + "logging: {level: {env: TOY_SECRET}}", "logging.level"),
        (GOOD.replace('"sqlite:bridge.db"', '"postgresql://me:hunter2@host'), "line 6"),
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SECRET", "hunter2")
    (found, *_) = mistakes(tmp_path, text)
    assert place in found
    assert "hunter2" not in found
    assert "123456789" not in found


# --- what the keys say --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Config, WebchatConfig])
def test_every_key_is_explained(kind: type[msgspec.Struct]) -> None:
    for section in sections(kind):
        assert section.description or not section.path, section.path
        for key in section.keys:
            assert len(key.description) > 10, key.path
            assert key.description.endswith("."), key.path


class Inner(msgspec.Struct):
    c: int = 0


class Outer(msgspec.Struct):
    a: Inner = msgspec.field(default_factory=Inner)


def test_unknown_keys_are_mistakes_whatever_the_struct_says() -> None:
    (problem,) = read(parse_yaml("a: {b: 1}", Path("x.yaml")), Outer).problems
    assert (problem.path, problem.what) == (("a", "b"), "unknown key `b`")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (bool, "true or false"),
        (str | None, "text or null"),
        (list[int], "a list, each item a whole number"),
        (dict[str, float], "a mapping, each key text, each value a number"),
        (ToyConfig, "a mapping of keys to values"),
    ],
)
def test_what_may_stand_somewhere_in_words(annotation: object, words: str) -> None:
    assert expected(annotation) == words


# --- on the command line ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("run",), None),
        (("run",), "a: ["),
        (("run",), GOOD),  # there is no registration yet
        (("status",), GOOD),  # nor a database
        (("dead", "list"), GOOD),
        (("fly",), GOOD),
        (("run", "--nonsense"), GOOD),
        (("dead", "show", "seven"), GOOD),
    ],
)
def test_bad_input_gets_words_and_no_traceback(
    cli: Cli, tmp_path: Path, args: tuple[str, ...], text: str | None
) -> None:
    if text is not None:
        written(tmp_path, text)
    said = cli(*args) if args == ("fly",) else cli(*args, "--config", tmp_path / "config.yaml")
    assert said.code == 2
    assert "rror" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_help_names_the_network_and_the_exit_codes(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert "Toy" in said.out
    assert "Exit codes" in said.out
