"""Judges what anybody can see of the homeserver: where it is, how old it is, what it can do, what time it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from yarl import URL

from bridgekit.core.finding import Finding, failed, ok, skipped, warning
from bridgekit.matrix.doctor.reply import Answer, NoAnswer, Reply

WHERE = "homeserver.url"

SPEC = (1, 7)
"""The Matrix version that has all the bridge cannot do without: ping (MSC2659) and media made ahead (MSC2246)."""

SKEW_WARNING_S, SKEW_FAILED_S = 5.0, 60.0
SMALL_UPLOAD = 10 * 1024 * 1024


# --- is it there? -----------------------------------------------------------------------------------------------------
def judge_homeserver(reply: Reply, url: str, other: tuple[str, Reply] | None = None) -> Finding:
    """What `GET /_matrix/client/versions` says of the address. `other`: the address with the other scheme of http and
    https and what was said there, asked where there was no answer."""
    name = "homeserver"
    if isinstance(reply, NoAnswer):
        if other is not None and (isinstance(other[1], Answer) or other[1].kind == "certificate"):
            speaks = "no TLS" if other[0].startswith("http:") else "TLS only"
            return failed(name, f"{url} gives no answer: it speaks {speaks}", f"Write {other[0]} there.", where=WHERE)
        what, fix = _lack(reply, url)
        return failed(name, what, fix, where=WHERE)
    if reply.status == 200 and isinstance((reply.body or {}).get("versions"), list):
        return ok(name, f"{server_software(reply)} answers at {url}")
    address = _parsed(url)
    if 300 <= reply.status < 400:
        target = reply.headers.get("location", "")
        better = target.split("/_matrix/")[0]
        return failed(
            name,
            f"{url} redirects to {target or 'nowhere'}, and a request with a token is not sent on",
            f"Write {better or 'the address behind the redirect'} there.",
            where=WHERE,
        )
    if reply.status in (502, 503, 504):
        return failed(
            name,
            f"a proxy answers {reply.status} at {url}: the homeserver behind it does not",
            "Start the homeserver.",
            where=WHERE,
        )
    if address is not None and address.path not in ("", "/"):
        return failed(
            name,
            f"{url} is not a homeserver's client-server API: it answers {reply.status}",
            f"Write {address.origin()} there, without {address.path}: the bridge adds /_matrix itself.",
            where=WHERE,
        )
    page = "a web page" if reply.text.lstrip().lower().startswith("<") else f"{reply.status}"
    return failed(
        name,
        f"something answers at {url}, but it is no homeserver: it answers with {page}",
        "Write the address of the homeserver's client-server API (Synapse: its public_baseurl).",
        where=WHERE,
    )


def _lack(reply: NoAnswer, url: str) -> tuple[str, str]:
    match reply.kind:
        case "address":
            return f"{url} is no address", "Write it like https://matrix.example.com."
        case "refused":
            return (
                f"nothing listens at {url}",
                "Start the homeserver, or correct the address (in a container, localhost is the container itself).",
            )
        case "name":
            return f"the host name in {url} is not known here", "Correct the name."
        case "timeout":
            return (
                f"no answer came from {url}",
                "Open the way from here to the homeserver: a firewall drops it, or the address is another machine's.",
            )
        case "certificate":
            return (
                f"the certificate of {url} is not trusted here: {reply.message}",
                "Write the name that the certificate is for, or have this machine trust who signed it (SSL_CERT_FILE).",
            )
        case "tls":
            return (
                f"the TLS of {url} does not work: {reply.message}",
                "Correct the port, or the TLS settings of what listens there.",
            )
        case "broken":
            return (
                f"{url} hangs up without an answer: {reply.message}",
                "Look in the log of what listens there.",
            )


def other_scheme(reply: Reply, url: str) -> str | None:
    """The address that may be meant: the same with https instead of http, or the other way round. None if the lack of
    an answer has another reason."""
    if not isinstance(reply, NoAnswer) or reply.kind not in ("timeout", "tls", "broken"):
        return None
    scheme, _, rest = url.partition("://")
    return f"{'https' if scheme == 'http' else 'http'}://{rest}"


def server_software(reply: Answer) -> str:
    """What runs there, by the header ``Server``: nothing that a decision may hang on."""
    found = reply.headers.get("server", "").partition(" ")[0]
    return found.replace("/", " ") if found else "a homeserver"


def _parsed(url: str) -> URL | None:
    try:
        return URL(url)
    except ValueError:
        return None


# --- the time ---------------------------------------------------------------------------------------------------------
def judge_clock(reply: Answer) -> Finding:
    """Whether the two machines agree what time it is."""
    name = "clock"
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return skipped(name, "the homeserver does not say what time it has")
    # The header has whole seconds, cut off: half a second later on average.
    skew = theirs + 0.5 - (reply.asked_at + reply.answered_at) / 2000
    if abs(skew) <= SKEW_WARNING_S:
        return ok(name, "this machine and the homeserver agree what time it is")
    what = f"the homeserver's clock is {_duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} this machine's"
    fix = "Set both clocks by NTP (timedatectl set-ntp true)."
    if abs(skew) <= SKEW_FAILED_S:
        return warning(name, what, fix)
    return failed(name, f"{what}: messages get wrong times, and what has a deadline fails", fix)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


# --- what it can do ---------------------------------------------------------------------------------------------------
def judge_version(versions: Answer, federation: Reply | None) -> Finding:
    """Whether it is new enough. `federation`: ``/_matrix/federation/v1/version``, which need not be reachable."""
    name = "server_version"
    software = server_software(versions)
    if isinstance(federation, Answer) and isinstance(found := (federation.body or {}).get("server"), dict):
        software = f"{found.get('name', software)} {str(found.get('version', '')).partition(' ')[0]}".strip()
    newest = newest_spec(versions)
    if newest >= SPEC:
        return ok(name, f"{software}, Matrix {_spec(newest)}")
    return failed(
        name,
        f"{software} speaks Matrix {_spec(newest)} at most",
        f"Update the homeserver to a version that speaks Matrix {_spec(SPEC)}.",
    )


def newest_spec(versions: Answer) -> tuple[int, int]:
    """The newest version of the specification that it names; (0, 0) for none."""
    newest = (0, 0)
    for version in (versions.body or {}).get("versions", ()):
        if isinstance(version, str) and (found := re.fullmatch(r"([vr])(\d+)\.(\d+)(?:\.\d+)?", version)):
            newest = max(newest, (int(found[2]), int(found[3])))
    return newest


def _spec(version: tuple[int, int]) -> str:
    return "of no known version" if version == (0, 0) else f"v{version[0]}.{version[1]}"


def feature(versions: Answer, *names: str) -> bool:
    """Whether one of these `unstable_features` is on."""
    features = (versions.body or {}).get("unstable_features")
    return isinstance(features, dict) and any(features.get(name) is True for name in names)


def judge_async_media(create: Reply) -> Finding:
    """MSC2246, by what a GET of ``/_matrix/media/v1/create`` says: it only takes POST, and nothing is made by asking.

    Spec, "API standards": "405 ... the endpoint is known, but the method is not".
    """
    name = "async_media"
    if isinstance(create, Answer) and create.status == 405:
        return ok(name, "media can be announced before it is there (MSC2246)")
    what = str(create) if isinstance(create, NoAnswer) else f"it says {create}"
    return failed(
        name,
        f"the homeserver knows no /_matrix/media/v1/create (MSC2246): {what}",
        "Have the proxy in front of the homeserver pass on all of /_matrix, or update the homeserver.",
    )


def judge_media(config: Reply) -> Finding:
    """MSC3916, by ``/_matrix/client/v1/media/config``."""
    name = "media"
    if isinstance(config, NoAnswer) or config.status != 200:
        what = str(config) if isinstance(config, NoAnswer) else f"it says {config}"
        return warning(
            name,
            f"the homeserver knows no media that asks for a token (MSC3916): {what}",
            "Update the homeserver to a version that speaks Matrix v1.11.",
        )
    size = (config.body or {}).get("m.upload.size")
    if not isinstance(size, int):
        return ok(name, "media asks for a token (MSC3916); the homeserver names no size limit")
    if size < SMALL_UPLOAD:
        return warning(
            name,
            f"files over {_bytes(size)} are refused by the homeserver",
            "Raise its limit (Synapse: max_upload_size).",
        )
    return ok(name, f"media asks for a token (MSC3916), and files may have {_bytes(size)}")


def _bytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"


def judge_delayed_events(versions: Answer, capabilities: Reply) -> Finding:
    """MSC4140."""
    name = "delayed_events"
    found = _capability(capabilities, "m.delayed_events", "org.matrix.msc4140.delayed_events")
    if found is None:
        on, how_long = feature(versions, "org.matrix.msc4140"), ""
    else:
        # Synapse names the capability also where it is switched off, with a longest delay of 0.
        longest = found.get("max_delay_ms")
        on = longest != 0 and found.get("max_scheduled") != 0
        how_long = f", up to {_duration(longest / 1000)}" if isinstance(longest, int) else ""
    if on:
        return ok(name, f"events can be sent later (MSC4140{how_long})")
    return warning(
        name,
        "the homeserver sends no events later (MSC4140), so it cannot speak for a bridge that has died",
        "Switch it on (Synapse: max_event_delay_duration: 24h in homeserver.yaml).",
    )


def judge_login_tokens(capabilities: Reply, login: Reply) -> Finding:
    """MSC3882: by the capability, else by the login flows."""
    name = "login_tokens"
    on = (_capability(capabilities, "m.get_login_token") or {}).get("enabled") is True
    if not on and isinstance(login, Answer) and isinstance(flows := (login.body or {}).get("flows"), list):
        on = any(isinstance(flow, dict) and flow.get("get_login_token") is True for flow in flows)
    if on:
        return ok(name, "people can get login tokens for another device (MSC3882)")
    return warning(
        name,
        "people can get no login tokens from the homeserver (MSC3882)",
        "Switch it on (Synapse: login_via_existing_session: {enabled: true} in homeserver.yaml).",
    )


def _capability(reply: Reply, *names: str) -> Mapping[str, Any] | None:
    if not isinstance(reply, Answer) or not isinstance(found := (reply.body or {}).get("capabilities"), dict):
        return None
    return next((found[name] for name in names if isinstance(found.get(name), dict)), None)
