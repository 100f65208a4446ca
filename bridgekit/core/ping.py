"""What a failed start-up ping (MSC2659) means: which side cannot reach which, why, and the one thing to do."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bridgekit.errors import PingFailed

UNREACHABLE = "UNREACHABLE"
"""Ours: the bridge got no answer from the homeserver."""

WRONG_BRIDGE = "WRONG_BRIDGE"
"""Ours: the homeserver says that the ping was answered, but it never arrived in this process."""

_UNSTABLE_PREFIX = "FI.MAU.MSC2659_"


class _Case(msgspec.Struct, frozen=True):
    """`registration_url`: where the homeserver looks for us; `listen`: where we really are."""

    message: str
    homeserver_url: str
    registration_url: str
    listen: str
    status: int | None
    body: str | None


def explain(
    errcode: str,
    message: str,
    *,
    registration_url: str | None,
    homeserver_url: str,
    bridge_listen: str,
    status: int | None = None,
    body: str | None = None,
) -> PingFailed:
    """Put a failed ping into words. `errcode` and `message` are the homeserver's (or `UNREACHABLE`, `WRONG_BRIDGE`).

    `status` and `body` are what the bridge's address answered to the homeserver (M_BAD_STATUS).
    """
    # MSC2659: "Error codes can use `FI.MAU.MSC2659_` instead of `M_` as the prefix."
    code = errcode.replace(_UNSTABLE_PREFIX, "M_", 1) if errcode.startswith(_UNSTABLE_PREFIX) else errcode
    case = _Case(
        message.strip().rstrip("."), homeserver_url, registration_url or "(no url)", bridge_listen, status, body
    )
    what, fix = _CASES.get(code, _other)(case)
    return PingFailed(code, what, fix)


def is_recovery_race(errcode: str, message: str) -> bool:
    """Whether this is Synapse's own stumble: pinged while it tries the bridge again anyway, it reports a failure though
    the bridge has answered. Asking once more is all that it takes (notes/synapse.md, "Ping")."""
    return errcode.endswith("CONNECTION_FAILED") and "AlreadyCalled" in message


def _url_not_set(c: _Case) -> tuple[str, str]:
    return (
        "The homeserver cannot reach the bridge: its copy of the registration has no url",
        f"Set url in the registration to an address where the homeserver finds {c.listen}, and restart the homeserver.",
    )


def _bad_status(c: _Case) -> tuple[str, str]:
    answered = "an error" if c.status is None else f"status {c.status}"
    said = f", saying {c.body.strip()[:200]!r}" if c.body and c.body.strip() else ""
    what = f"The homeserver reaches something at {c.registration_url}, but that answered the ping with {answered}{said}"
    if c.status in (401, 403):
        return what, (
            "The hs_token in the homeserver's copy of the registration is not the bridge's: give both the same "
            "registration file, and restart the homeserver."
        )
    if c.status == 404:
        return what, (
            f"Another program, or a proxy without this path, is at that address: let url in the registration lead to "
            f"{c.listen} without any path, and restart the homeserver."
        )
    if c.status is not None and c.status >= 500:
        return (
            what,
            f"Look in the log of what is at that address; a proxy must pass requests on to {c.listen}.",
        )
    return what, f"Let url in the registration lead to {c.listen}, with nothing between that answers by itself."


def _timeout(c: _Case) -> tuple[str, str]:
    return (
        f"The homeserver cannot reach the bridge: no answer came from {c.registration_url}",
        (
            f"Open the way from the homeserver to {c.listen}: a firewall drops it, or url in the registration leads "
            "to the wrong machine, or to a program that does not answer."
        ),
    )


def _connection_failed(c: _Case) -> tuple[str, str]:
    why = f": {c.message}" if c.message else ""
    return (
        f"The homeserver cannot reach the bridge at {c.registration_url}{why}",
        (
            f"The bridge listens on {c.listen}: set url in the registration to where the homeserver can reach that (in "
            "a container, localhost is the container itself; a redirect is not followed), and restart the homeserver."
        ),
    )


def _forbidden(c: _Case) -> tuple[str, str]:
    return (
        f"The homeserver at {c.homeserver_url} knows the as_token, but not for this bridge: {c.message}",
        (
            "Give the bridge's registration file to the homeserver (its id must be the same in both), and restart the "
            "homeserver."
        ),
    )


def _unknown_token(c: _Case) -> tuple[str, str]:
    return (
        f"The homeserver at {c.homeserver_url} does not know the bridge's as_token",
        (
            "Add the registration file to the homeserver's app_service_config_files (or what it calls that), and "
            "restart the homeserver."
        ),
    )


def _unrecognized(c: _Case) -> tuple[str, str]:
    return (
        f"The server at {c.homeserver_url} knows no ping for bridges (MSC2659, Matrix 1.7)",
        "Check that this is the homeserver's address, and update the homeserver if it is older than that.",
    )


def _unreachable(c: _Case) -> tuple[str, str]:
    why = f": {c.message}" if c.message else ""
    return (
        f"The bridge cannot reach the homeserver at {c.homeserver_url}{why}",
        "Start the homeserver, or correct its address in the bridge's configuration.",
    )


def _wrong_bridge(c: _Case) -> tuple[str, str]:
    return (
        f"The homeserver pinged {c.registration_url} and was answered, but not by this bridge",
        (
            f"Another bridge, or an old process of this one, is there: stop it, or let url in the registration lead to "
            f"{c.listen}."
        ),
    )


def _other(c: _Case) -> tuple[str, str]:
    return (
        f"The homeserver at {c.homeserver_url} refused to ping the bridge: {c.message or 'it gave no reason'}",
        "Look in the homeserver's log at this time.",
    )


_CASES: dict[str, Callable[[_Case], tuple[str, str]]] = {
    # MSC2659: "If the appservice doesn't have a URL configured, `M_URL_NOT_SET` and HTTP 400."
    "M_URL_NOT_SET": _url_not_set,
    # MSC2659: "For non-2xx responses, `M_BAD_STATUS` and HTTP 502."
    "M_BAD_STATUS": _bad_status,
    # MSC2659: "For connection timeouts, `M_CONNECTION_TIMEOUT` and HTTP 504."
    "M_CONNECTION_TIMEOUT": _timeout,
    # MSC2659: "For other connection errors, `M_CONNECTION_FAILED` and HTTP 502."
    "M_CONNECTION_FAILED": _connection_failed,
    # MSC2659: "If the token or appservice ID in the path is wrong, the server may return `M_FORBIDDEN`."
    "M_FORBIDDEN": _forbidden,
    "M_UNKNOWN_TOKEN": _unknown_token,
    "M_MISSING_TOKEN": _unknown_token,
    "M_UNRECOGNIZED": _unrecognized,
    "M_NOT_FOUND": _unrecognized,
    UNREACHABLE: _unreachable,
    WRONG_BRIDGE: _wrong_bridge,
}
