"""Judges what only the application service sees: whether the homeserver knows this bridge, and lets it do its work."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.core.finding import Finding, failed, ok, skipped
from bridgekit.errors import PingFailed
from bridgekit.matrix.doctor.registration import AGAIN
from bridgekit.matrix.doctor.reply import Answer, NoAnswer, Reply

SAME = f"Give the homeserver this very registration file (Synapse: app_service_config_files), and {AGAIN}."
"""The fix for every difference between the file and what the homeserver has loaded."""


# --- who we are -------------------------------------------------------------------------------------------------------
def judge_as_token(whoami: Reply, *, where: str) -> Finding:
    """Whether the homeserver knows the token: it has loaded the registration, and with this token."""
    name, place = "as_token", f"{where}: as_token"
    if isinstance(whoami, Answer):
        if whoami.status == 200 and isinstance((whoami.body or {}).get("user_id"), str):
            return ok(name, "the homeserver has loaded the registration, and knows its as_token")
        if whoami.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
            return failed(
                name,
                "the homeserver does not know this as_token: it has not loaded the registration, or another one",
                SAME,
                where=place,
            )
    return failed(
        name, f"the homeserver does not say who we are: {whoami}", "Look in its log at this time.", where=place
    )


def judge_server_name(user_id: str, server_name: str) -> Finding:
    """`user_id`: the bot's, as the homeserver says."""
    name = "server_name"
    theirs = user_id.partition(":")[2]
    if theirs == server_name:
        return ok(name, f"its users are @...:{server_name}")
    return failed(
        name,
        f"the homeserver's users are @...:{theirs}, not @...:{server_name}",
        f"Write server_name: {theirs}, and make the registration anew (register --force).",
        where="homeserver.server_name",
    )


def judge_bot(user_id: str, localpart: str, registered: Reply | None, *, where: str) -> Finding:
    """Whether the bot is who the file says, and can be registered. `registered` None: not tried."""
    name, place = "bot", f"{where}: sender_localpart"
    theirs = user_id.partition(":")[0].removeprefix("@")
    if theirs != localpart:
        return failed(
            name, f"the homeserver takes the bot for @{theirs}, the file says @{localpart}", SAME, where=place
        )
    if isinstance(registered, Answer) and registered.errcode == "M_EXCLUSIVE":
        return failed(
            name,
            f"another bridge has {user_id} in its exclusive namespace",
            f"Choose another sender_localpart, or take it out of the other bridge's namespace, and {AGAIN}.",
            where=place,
        )
    if registered is not None and not _made(registered):
        return failed(
            name,
            f"the bot {user_id} cannot be registered: {registered}",
            "Look in the homeserver's log at this time.",
            where=place,
        )
    return ok(name, f"the bot is {user_id}")


def _made(registered: Reply) -> bool:
    return isinstance(registered, Answer) and (registered.status == 200 or registered.errcode == "M_USER_IN_USE")


# --- whom we may be ---------------------------------------------------------------------------------------------------
def judge_namespace(before: Reply, registered: Reply | None, after: Reply | None, ghost: str) -> Finding:
    """Whether the homeserver lets the bridge make and be `ghost`, one that the registration file covers.

    `before` and `after`: who it says we are, asked as the ghost; `registered`: the attempt in between, None where none
    was made (it was there already, or nothing may be changed).
    """
    name = "namespace"
    if _is(before, ghost) or _is(after, ghost):
        return ok(name, f"the homeserver lets the bridge speak for its ghosts ({ghost})")
    last = registered or before
    if isinstance(last, NoAnswer):
        return failed(name, f"{ghost} could not be tried: {last}", "Look in the homeserver's log at this time.")
    if registered is None and "not registered" in last.error:
        return skipped(name, f"{ghost} is not registered, and nothing was to be made")
    if last.errcode == "M_EXCLUSIVE" and "reserved" in last.error:
        return failed(
            name,
            f"another bridge has {ghost} in its exclusive namespace too",
            f"Take it out of the other bridge's registration, or choose another appservice.ghost_prefix, and {AGAIN}.",
            where=ghost,
        )
    if last.errcode in ("M_EXCLUSIVE", "M_FORBIDDEN"):
        return failed(
            name,
            f"the registration that the homeserver has loaded does not cover {ghost}; the file does",
            SAME,
            where=ghost,
        )
    return failed(
        name,
        f"the homeserver does not let the bridge make {ghost}: {last}",
        "Look in the homeserver's log at this time.",
        where=ghost,
    )


def _is(whoami: Reply | None, user: str) -> bool:
    return isinstance(whoami, Answer) and whoami.status == 200 and (whoami.body or {}).get("user_id") == user


def judge_exclusive(available: Reply, ghost: str) -> Finding:
    """Whether a stranger could register a name among the ghosts: ``/register/available``, asked as nobody."""
    name = "exclusive"
    if isinstance(available, Answer):
        if available.errcode == "M_EXCLUSIVE":
            return ok(name, "nobody else can register a name among the ghosts")
        if available.status == 200 and (available.body or {}).get("available") is True:
            return failed(
                name,
                f"anybody may register {ghost}: the namespace that the homeserver has loaded is not exclusive",
                SAME,
                where=ghost,
            )
        if available.errcode == "M_FORBIDDEN":
            return skipped(name, "the homeserver does not say, for nobody can register an account there by themselves")
    return skipped(name, f"the homeserver does not say: {available}")


def judge_rate_limits(replies: Sequence[Reply]) -> Finding:
    """Whether the ghosts are slowed down: what the homeserver says when one tells its presence twice at once, of which
    a homeserver by default takes one in ten seconds."""
    name = "rate_limits"
    if any(isinstance(reply, Answer) and reply.status == 429 for reply in replies):
        return failed(name, "the homeserver slows the ghosts down, though the file says rate_limited: false", SAME)
    if replies and all(isinstance(reply, Answer) and reply.status == 200 for reply in replies):
        return ok(name, "the homeserver slows no ghost down")
    return skipped(name, "the file says rate_limited: false; whether the homeserver obeys cannot be seen here")


# --- what we may do ---------------------------------------------------------------------------------------------------
def judge_devices(put: Reply, *, where: str) -> Finding:
    """Whether the bridge's users may have devices (MSC4190), by giving the bot the one that it has anyway."""
    name = "devices"
    if isinstance(put, Answer) and put.status in (200, 201):
        return ok(name, "the bridge's users have devices (MSC4190)")
    return failed(
        name,
        f"the homeserver gives the bot no device (MSC4190), so a message may come twice after a restart: {put}",
        f"Write io.element.msc4190: true and org.matrix.msc3202: true, and {AGAIN}; if they are there, update it.",
        where=where,
    )


def judge_encryption(made: Reply, encryption: Reply | None) -> Finding:
    """Whether a room is encrypted though nobody asked for it. `made`: createRoom; `encryption`: that room's state."""
    name = "encryption"
    if not isinstance(made, Answer) or made.status != 200:
        return failed(
            name,
            f"the bot cannot make a room: {made}",
            "Let the bridge's bot make rooms; the homeserver's log says what is in the way.",
        )
    if isinstance(encryption, Answer):
        if encryption.status == 200:
            return failed(
                name,
                "the homeserver encrypts every new room by itself, and the bridge cannot read what is encrypted",
                'Write encryption_enabled_by_default_for_room_type: "off" in homeserver.yaml, and restart it.',
                where="homeserver.yaml: encryption_enabled_by_default_for_room_type",
            )
        if encryption.status == 404:
            return ok(name, "a new room is not encrypted unless somebody asks for it")
    return skipped(name, f"the homeserver does not say whether a new room is encrypted: {encryption}")


def judge_room_alias(put: Reply, alias: str) -> Finding:
    """Whether the bridge may name a room by an alias that the registration file covers."""
    name = "room_alias"
    if isinstance(put, Answer):
        if put.status == 200 or put.status == 409:
            return ok(name, f"the homeserver lets the bridge name its rooms ({alias})")
        if put.errcode == "M_EXCLUSIVE":
            return failed(
                name,
                f"the registration that the homeserver has loaded does not cover {alias}; the file does",
                SAME,
                where=alias,
            )
    return failed(
        name,
        f"the homeserver does not let the bridge make {alias}: {put}",
        "Look in its log at this time.",
        where=alias,
    )


# --- the way back -----------------------------------------------------------------------------------------------------
PING = ("id", "hs_token", "ping")
"""The checks that one ping decides."""


def judge_ping(result: int | PingFailed, *, where: str, listener: str) -> list[Finding]:
    """What a ping (MSC2659) tells, or how many ms it took: findings for `PING`, in that order.

    `listener`: who answered, for people.
    """
    id_, hs_token, ping = PING
    if isinstance(result, int):
        return [
            ok(id_, "the id is the homeserver's too"),
            ok(hs_token, "the homeserver's token is the file's"),
            ok(ping, f"the homeserver reaches {listener} (it took {result} ms)"),
        ]
    what = result.message[:1].lower() + result.message[1:]

    def after(culprit: str, *names: str) -> list[Finding]:
        return [skipped(name, f"not before {culprit} is mended", because=culprit) for name in names]

    if result.errcode == "M_FORBIDDEN":
        return [failed(id_, what, result.fix, where=f"{where}: id"), *after(id_, hs_token, ping)]
    known = ok(id_, "the id is the homeserver's too")
    if result.errcode == "M_BAD_STATUS" and "hs_token" in result.fix:
        return [known, failed(hs_token, what, result.fix, where=f"{where}: hs_token"), *after(hs_token, ping)]
    if result.errcode in ("M_URL_NOT_SET", "M_BAD_STATUS", "M_CONNECTION_TIMEOUT", "M_CONNECTION_FAILED"):
        return [known, *after(ping, hs_token), failed(ping, what, result.fix, where=f"{where}: url")]
    if result.errcode == "WRONG_BRIDGE":
        return [known, *after(ping, hs_token), failed(ping, what, result.fix, where=f"{where}: url")]
    return [*after(ping, id_, hs_token), failed(ping, what, result.fix, where="homeserver.url")]
