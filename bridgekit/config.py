"""The configuration: one YAML file, read into Structs, every mistake named with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import yaml

from bridgekit.adapter.base import Adapter
from bridgekit.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)


class HomeserverConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url`: where the bridge reaches the client-server API. `server_name`: the part behind the colon of its users."""

    url: str
    server_name: str


class AppserviceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`registration`: the file that the homeserver has too. `host` and `port`: where the bridge listens for it.

    `ghost_prefix`, `alias_prefix`: how the localparts of ghosts and aliases begin; the network's id and ``_`` if left
    out. They must be what the registration's namespaces say. `max_body_mib`: the largest transaction taken, in MiB; a
    homeserver repeats one that is refused for ever, so give it room.
    """

    registration: str
    host: str = "127.0.0.1"
    port: int = 29328
    ghost_prefix: str = ""
    alias_prefix: str = ""
    max_body_mib: int = 64


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retry_for_s`: how long a message is retried before it is given up. `tell_after_s`: when its sender is told that
    it waits. `send_timeout_s`: how long one call to the network may take. `drain_s`: how long a stop lets begun work go
    on. `keep_event_ids_days`, `keep_dead_letters_days`: how long those are kept."""

    retry_for_s: float = 86_400
    tell_after_s: float = 60
    send_timeout_s: float = 60
    drain_s: float = 10
    keep_event_ids_days: float = 30
    keep_dead_letters_days: float = 90


class LoggingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`level`: how much is said."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `network` is the adapter's own part, see `load`."""

    homeserver: HomeserverConfig
    appservice: AppserviceConfig
    database: str
    delivery: DeliveryConfig = DeliveryConfig()
    logging: LoggingConfig = LoggingConfig()
    network: dict[str, object] = {}


def load(path: Path, adapter: type[Adapter]) -> tuple[Config, msgspec.Struct]:
    """Read the file: the framework's part, and the adapter's. Raises `ConfigError`.

    Paths inside the file are relative to the file.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "there is no such file", "Write it, or name another with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"it cannot be read ({error})", "Mend that.") from None
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"it is not YAML ({_one_line(error)})", "Mend that line.") from None
    if not isinstance(data, dict):
        raise ConfigError(str(path), "it is not a mapping of keys to values", "Start with the key `homeserver:`.")
    config = _convert(data, Config, path, "")
    settings = _convert(config.network, adapter.config, path, "network")
    return config, settings


def _convert(data: object, kind: type[T], path: Path, prefix: str) -> T:
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        place = (prefix + where.rstrip("`").replace("[...]", "")).lstrip(".") or prefix or "the top"
        raise ConfigError(f"{path}: {place}", what, "Mend that key.") from None


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))
