"""The configuration: one YAML file, read into Structs, every mistake named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.core.loops import DEFAULT_IGNORE
from bridgekit.core.permissions import BadPermission, Permissions, default_permissions
from bridgekit.logs import redact
from bridgekit.runtime.media_rules import DEFAULT_MODE, DEFAULT_SPOOL_MIB, MediaMode
from bridgekit.settings import Document, Problem, load_yaml, problems_as_error, read

HTTP_URL = r"^https?://[^/\s]+(/\S*)?\Z"
# As `core.permissions` and `core.namespace` have them; here the mistake gets the name of its key.
SERVER_NAME = r"^([0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z"
HOST = r"^([0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?)\Z"
PREFIX = r"^[a-z0-9._-]*\Z"
IN_A_PREFIX = {"kind": "text of a-z, 0-9, and . _ -"}

TEN_YEARS_S, CENTURY_DAYS = 10 * 365 * 86_400, 36_500
"""The longest times that can be meant; what is far beyond fits no clock and no database."""


class HomeserverConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The homeserver that the bridge belongs to."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=HTTP_URL,
            description="Where the bridge reaches the client-server API, such as http://127.0.0.1:8008.",
        ),
    ]
    server_name: Annotated[
        str,
        msgspec.Meta(
            pattern=SERVER_NAME,
            description="The part behind the colon in its users' ids; often not the host of its url.",
            extra={"kind": "a server name, such as example.com"},
        ),
    ]


class AppserviceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bridge as the homeserver sees it: an application service."""

    registration: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="The registration, which the homeserver has too: a path, relative to this file. "
            "The register command writes it.",
        ),
    ] = "registration.yaml"
    url: Annotated[
        str,
        msgspec.Meta(
            pattern=f"^$|{HTTP_URL}",
            description="Where the homeserver reaches the bridge; the register command writes it into the "
            "registration. Left out: http:// with the host and port below.",
        ),
    ] = ""
    host: Annotated[
        str,
        msgspec.Meta(min_length=1, description="The address to listen on for the homeserver; 0.0.0.0 in a container."),
    ] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535, description="The TCP port to listen on for the homeserver.")] = (
        29328
    )
    ghost_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=PREFIX,
            description="How the localparts of ghosts begin, as the registration's namespaces say. "
            "Left out: the network's id and an underscore.",
            extra=IN_A_PREFIX,
        ),
    ] = ""
    alias_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=PREFIX,
            description="How the localparts of the bridge's room aliases begin, as the registration's namespaces say. "
            "Left out: the network's id and an underscore.",
            extra=IN_A_PREFIX,
        ),
    ] = ""
    max_body_mib: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="The largest transaction taken, in MiB. A homeserver repeats one that is refused for ever, "
            "so give it room.",
        ),
    ] = 64


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the bridge tries, and how long it remembers."""

    retry_for_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=TEN_YEARS_S,
            description="How long a message is tried again before it becomes a dead letter, in seconds.",
        ),
    ] = 86_400
    tell_after_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=TEN_YEARS_S, description="When its sender is told that a message still waits, in seconds."
        ),
    ] = 60
    send_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, le=TEN_YEARS_S, description="How long one call to the network may take, in seconds."),
    ] = 60
    drain_s: Annotated[
        float, msgspec.Meta(ge=0, le=TEN_YEARS_S, description="How long a stop lets begun work go on, in seconds.")
    ] = 10
    keep_event_ids_days: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=CENTURY_DAYS,
            description="How long the ids of bridged events are kept, so that none crosses twice, in days.",
        ),
    ] = 30
    keep_dead_letters_days: Annotated[
        float,
        msgspec.Meta(gt=0, le=CENTURY_DAYS, description="How long dead letters are kept with their content, in days."),
    ] = 90


class ChatsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the network's chats become rooms, and who is in them."""

    create: Annotated[
        Literal["on_first_message", "eagerly"],
        msgspec.Meta(
            description="When a chat becomes a room: with the first message that is bridged there, or eagerly, as soon "
            "as the network lists it."
        ),
    ] = "on_first_message"
    max_members: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="How many members of a chat join its room before they have said anything; "
            "the others join when they speak.",
        ),
    ] = 100
    leave_with_room: Annotated[
        bool,
        msgspec.Meta(
            description="Whether a person who leaves the room of a group leaves the group at the network, where that "
            "can be. Otherwise the next message invites them again."
        ),
    ] = True


class CatchUpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of messages that were said while the bridge was away for long."""

    older_than_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=TEN_YEARS_S,
            description="How old a message is, when its account connects, to count as old, in seconds. Newer ones are "
            "all bridged as ever.",
        ),
    ] = 6 * 3600
    replay: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="How many old messages of a chat are bridged at most, the newest of them; a notice tells how "
            "many were not.",
        ),
    ] = 50
    send_as: Annotated[
        Literal["notice", "message"],
        msgspec.Meta(
            description="How old messages are sent: notice (m.notice, which notifies nobody) or message (as new ones)."
        ),
    ] = "notice"


class MediaConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How files are carried, which no message waits for."""

    mode: Annotated[
        MediaMode,
        msgspec.Meta(
            description="async: a file from the network is in the room at once, in its place, and its bytes follow; "
            "whoever opens it meanwhile waits. wait: the message waits for its file, and what was said after it for "
            "both; for people whose clients show a file badly that is not there yet."
        ),
    ] = DEFAULT_MODE
    stall_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=TEN_YEARS_S,
            description="A transfer of which nothing has moved for so long, or less than 1 KiB/s over that time, is "
            "broken off and tried again, in seconds.",
        ),
    ] = 60
    at_once: Annotated[
        int, msgspec.Meta(ge=1, description="How many files are carried at the same time, at most, each way.")
    ] = 16
    per_login: Annotated[int, msgspec.Meta(ge=1, description="How many of them through one account, at most.")] = 4
    directory: Annotated[
        str,
        msgspec.Meta(
            description="Where a file is kept meanwhile whose size the network does not say. Give it a disk, not "
            "memory. Left out: the system's directory for temporary files."
        ),
    ] = ""
    spool_mib: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=2**40,
            description="How much all such files may take there together, in MiB. One that is larger is not bridged; "
            "the others wait until there is room.",
        ),
    ] = DEFAULT_SPOOL_MIB
    private_hosts: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=HOST, extra={"kind": "a host without a port"})], ...],
        msgspec.Meta(
            description="Hosts at private addresses to which the homeserver may redirect whoever downloads a file, "
            "such as an object store in its own network: names or IP addresses, without ports. Its own host need not "
            "be named. Left out: none, and such a redirect is refused."
        ),
    ] = ()


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people without a login speak, in portals where a relay is set."""

    command_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^\S*\Z",
            description="What a command in a portal begins with. Left out: an exclamation mark and the network's id.",
            extra={"kind": "text without spaces"},
        ),
    ] = ""
    ignore: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^@")], ...],
        msgspec.Meta(
            description="User ids of other bridges' users, which are never relayed, with * for anything. Left out: "
            "those with an underscore in front, and the usual names of bridges, such as @telegram_*:*."
        ),
    ] = DEFAULT_IGNORE
    avatar_url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^$|^https?://.*\{server\}.*\{media\}",
            description="Where the network can fetch people's pictures: an address that anybody may open, with "
            "{server} and {media} in it. Left out: relayed people have no picture.",
        ),
    ] = ""


class StatusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sender of a message sees what became of it."""

    receipts: Annotated[
        bool, msgspec.Meta(description="Whether the bot's read receipt shows how far the messages have crossed.")
    ] = True
    events: Annotated[
        bool,
        msgspec.Meta(
            description="Whether a com.beeper.message_send_status event says that a message waits or has failed; "
            "clients that know it show that beside the message."
        ),
    ] = True
    notices: Annotated[
        bool, msgspec.Meta(description="Whether the bot also answers such a message with the reason, in words.")
    ] = True


class CallsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls between people on Matrix and on the network."""

    notices: Annotated[
        bool,
        msgspec.Meta(description="Whether a call that was missed, declined or has ended leaves one line in its room."),
    ] = True


class MonitoringConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where health, readiness and metrics are served: a port of their own, which the homeserver does not need."""

    enabled: Annotated[bool, msgspec.Meta(description="Whether /healthz, /readyz and /metrics are served.")] = True
    host: Annotated[
        str,
        msgspec.Meta(
            description="The address to listen on. Whoever reaches it can read the numbers, without a token: leave it "
            "on loopback, or in a network of your own."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="The TCP port to listen on; each bridge on a machine needs one.")
    ] = 29329


class LoggingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged to standard error, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        msgspec.Meta(
            description="How much is logged. At debug the libraries below still log no finer than info, because theirs "
            "would show what goes over the wire."
        ),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        msgspec.Meta(description="text for people; json for machines, with one object on each line."),
    ] = "text"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    homeserver: HomeserverConfig
    appservice: AppserviceConfig = AppserviceConfig()
    database: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(sqlite|postgres|postgresql):.",
            description="sqlite:bridge.db (relative to this file), sqlite:///an/absolute/path.db, or "
            "postgresql://user:password@host/database.",
            extra={"secret": True, "kind": "a sqlite: or postgresql: URL"},
        ),
    ] = "sqlite:bridge.db"
    delivery: DeliveryConfig = DeliveryConfig()
    chats: ChatsConfig = ChatsConfig()
    catch_up: CatchUpConfig = CatchUpConfig()
    permissions: Annotated[
        dict[str, Literal["none", "relay", "user", "admin"]],
        msgspec.Meta(
            description='Who may do what: "*", a server name or a user id, and a level, none, relay, user or admin; '
            'the most specific wins. Left out: the homeserver\'s own people are user, everybody else ("*") is relay, '
            "and nobody is admin."
        ),
    ] = {}
    media: MediaConfig = MediaConfig()
    relay: RelayConfig = RelayConfig()
    status: StatusConfig = StatusConfig()
    calls: CallsConfig = CallsConfig()
    logging: LoggingConfig = LoggingConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    network: Annotated[dict[str, object], msgspec.Meta(description="The adapter's own part.")] = {}


def load(path: Path, adapter: type[Adapter]) -> tuple[Config, msgspec.Struct]:
    """Read the file: the framework's part, and the adapter's. Raises `ConfigError`, which names every mistake.

    Paths inside the file are relative to the file. A text may be written as ``{env: NAME}`` or ``{file: path}``; what
    those hold is never shown in the log.
    """
    document = load_yaml(path, missing="Write it with the init command, or name another with --config.")
    return load_document(document, adapter)


def load_document(document: Document, adapter: type[Adapter]) -> tuple[Config, msgspec.Struct]:
    """As `load`, for a file that was parsed already."""
    reading = read(document, Config, parts={"network": adapter.config})
    redact.add(*reading.secrets)
    if reading.value is None:
        raise problems_as_error(document, reading.problems)
    try:
        permissions_of(reading.value)
    except BadPermission as bad:
        raise problems_as_error(document, [Problem(("permissions", bad.key), bad.what, bad.fix)]) from None
    return reading.value, msgspec.convert(reading.value.network, adapter.config)


def permissions_of(config: Config) -> Permissions:
    """Who may do what. Raises `BadPermission` for a key that is none."""
    return Permissions(config.permissions or default_permissions(config.homeserver.server_name))
