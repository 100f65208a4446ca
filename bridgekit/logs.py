"""Logging: text for people or JSON for machines, on standard error; never a message's body, never a token.

The first line of defence is that nothing here logs either. The second is `redact`: it takes out the secrets that it
was told of, and what looks like one. And other people's libraries, whose ``debug`` shows what goes over the wire, are
not asked for more than ``info``.
"""

from __future__ import annotations

import datetime
import logging
import sys
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from bridgekit.core.redaction import Redactor

__all__ = ["redact", "set_up_logging"]

redact: Final = Redactor()
"""The process's: whoever learns a secret tells it here (`Redactor.add`, `Redactor.sources`)."""

_NOISY: Final = ("aiohttp.access", "mau")
"""These are asked for warnings only: the one logs addresses with tokens in them, the other whole requests."""

_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


def set_up_logging(
    level: str = "info", format: Literal["text", "json"] = "text", *, packages: tuple[str, ...] = ()
) -> None:
    """Log to standard error. `packages`: whose loggers get the level besides bridgekit's own (the adapter's); all
    others get it too, but never a finer one than ``info``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if format == "json" else TextFormatter(redact))
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(wanted, logging.INFO), handlers=[handler], force=True)
    for name in ("bridgekit", *packages):
        logging.getLogger(name).setLevel(wanted)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(wanted, logging.WARNING))


class TextFormatter(logging.Formatter):
    """One line, the fields in brackets behind it; an exception's lines follow."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        # Before repr, which would write a secret's odd characters in another way.
        fields = " ".join(f"{name}={_shown(value, self._redact)!r}" for name, value in _fields(record).items() if value)
        line, newline, rest = super().format(record).partition("\n")
        return self._redact(f"{line} [{fields}]{newline}{rest}" if fields else f"{line}{newline}{rest}")


class JsonFormatter(logging.Formatter):
    """One object per line: ``ts`` (RFC 3339, UTC, ms), ``level``, ``logger``, ``msg``, the fields, ``exception``."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": self._redact(record.getMessage()),
        }
        for name, value in _fields(record).items():
            if name not in line:
                line[name] = _shown(value, self._redact)
        if record.exc_info:
            line["exception"] = self._redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self._redact(self.formatStack(record.stack_info))
        # A lone surrogate, which no UTF-8 can hold, must not cost the line.
        readable = {name: _mended(value) for name, value in line.items()}
        return msgspec.json.encode(readable).decode()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra`: room_id, event_id, lane, login ..."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}


def _shown(value: object, redact: Callable[[str], str]) -> object:
    return value if isinstance(value, int | float | bool) else redact(str(value))


def _mended(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
