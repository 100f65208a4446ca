"""Log lines: both formats, and what is taken out of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from bridgekit.core.redaction import Redactor
from bridgekit.logs import JsonFormatter, TextFormatter, set_up_logging

SECRET = 'as_t0ken"\\with\nodd €signs'


def record(message: str, *args: object, error: Exception | None = None, **fields: object) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("bridgekit.x", logging.WARNING, "x.py", 1, message, args, exc_info)
    made.created = 1_700_000_000.0421
    vars(made).update(fields)
    return made


def test_json_has_one_object_on_a_line() -> None:
    line = JsonFormatter(Redactor()).format(
        record("two\nlines of %s", "\ud800", room_id="!r:x", login=None, attempt=3, key=("a", 1))
    )
    assert "\n" not in line
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.042Z",
        "level": "warning",
        "logger": "bridgekit.x",
        "msg": "two\nlines of ?",
        "room_id": "!r:x",
        "attempt": 3,
        "key": "('a', 1)",
    }


def test_json_has_the_exception_as_a_field() -> None:
    try:
        raise ValueError(f"not with {SECRET}")
    except ValueError as error:
        line = JsonFormatter(Redactor([SECRET])).format(record("it failed", error=error))
    found = json.loads(line)
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: not with (redacted)")


def test_text_has_the_fields_behind_the_message() -> None:
    line = TextFormatter(Redactor()).format(record("it waits", room_id="!r:x", event_id=None, lane="m:!r:x"))
    assert line.endswith("WARNING bridgekit.x: it waits [room_id='!r:x' lane='m:!r:x']")


def test_text_has_the_exception_behind_the_fields() -> None:
    line = TextFormatter(Redactor([SECRET])).format(record("it failed", error=ValueError(SECRET), room_id="!r:x"))
    first, *_, last = line.splitlines()
    assert first.endswith("it failed [room_id='!r:x']")
    assert last == "ValueError: (redacted)"


@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
def test_a_known_secret_is_nowhere(formatter: type[TextFormatter] | type[JsonFormatter]) -> None:
    redactor = Redactor()
    redactor.sources.append(lambda: [SECRET])
    for made in (record(f"in the message: {SECRET}"), record("as %s", SECRET), record("beside", token=SECRET)):
        line = formatter(redactor).format(made)
        assert "t0ken" not in line
        assert "(redacted)" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /x?access_token=abc&user_id=@a:x", "GET /x?access_token=(redacted)&user_id=@a:x"),
        ("url='/_matrix?a=1&access_token=syt_abc'", "url='/_matrix?a=1&access_token=(redacted)'"),
        ("Authorization: Bearer abc.def-1=", "Authorization: (redacted)"),
        ("{'Authorization': 'Bearer abcdef', 'A': 'b'}", "{'Authorization': '(redacted)', 'A': 'b'}"),
        ("authorization: Basic dXNlcjpwdw==", "authorization: (redacted)"),
        ("sent bearer abcdef123 to it", "sent bearer (redacted) to it"),
        ("postgresql://bridge:s3cret@db/x is away", "postgresql://bridge:(redacted)@db/x is away"),
        ("http://127.0.0.1:8008/ and a@b stay", "http://127.0.0.1:8008/ and a@b stay"),
        ("longer-secret-2, longer-secret, short", "(redacted), (redacted), short"),
        ("nothing in here", "nothing in here"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert Redactor(["longer-secret", "longer-secret-2", "short"])(text) == shown


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "bridgekit", "mine", "aiohttp.access", "mau")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("_logging_as_it_was")
def test_at_debug_other_libraries_say_no_more_than_info(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging("debug", "json", packages=("mine",))
    for name in ("bridgekit.x", "mine.adapter", "websockets.client", "asyncio", "mau.http"):
        logging.getLogger(name).debug("debug of %s", name)
        logging.getLogger(name).info("info of %s", name)
    said = [json.loads(line)["msg"] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        *("debug of bridgekit.x", "info of bridgekit.x", "debug of mine.adapter", "info of mine.adapter"),
        *("info of websockets.client", "info of asyncio"),
    ]


@pytest.mark.usefixtures("_logging_as_it_was")
def test_the_level_is_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("error")
    for name in ("bridgekit.x", "aiohttp.access", "other"):
        logging.getLogger(name).warning("warning of %s", name)
        logging.getLogger(name).error("error of %s", name)
    shown = capsys.readouterr().err
    assert re.findall(r"\w+ of \S+", shown) == ["error of bridgekit.x", "error of aiohttp.access", "error of other"]
