"""docs/reference/policy.md: what each error leads to, asked of `bridgekit.core.policy` itself."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from bridgekit.core.policy import AWAY_STATUS, TOKEN_ERRCODES, Retry, Verdict, judge_homeserver, judge_network
from bridgekit.core.policy import End as _End
from bridgekit.errors import (
    AuthFailed,
    HomeserverUnreachable,
    LoginCancelled,
    MatrixRequestError,
    NotSupported,
    Rejected,
    Transient,
    Uncertain,
)

HEAD: Final = """\
# What an error leads to

<!-- Written by `make pictures`, which asks bridgekit/core/policy.py. Change it there. -->

Every error that meets an entry at the head of its lane becomes one of three verdicts. None of them loses the message:
what ends without having crossed is a dead letter, with its content, until somebody retries or drops it.

| | the head | the lane |
| --- | --- | --- |
| **retry** | stays, is tried again with growing pauses | waits: nothing overtakes its head |
| **end** | ends as a dead letter; its sender is told in the room | goes on |
| **pause** | stays until its person has logged in again | waits; in a room where others write, too, it ends |

Where others write in the same room, a message whose login is no longer valid is relayed if a relay is set, or ends
after `delivery.tell_after_s`: they do not wait for one person.

"For as long as it takes" has no time limit; every other retry ends as a dead letter after `delivery.retry_for_s`
([configuration](config.md)). "It may have happened": the other side may have taken it although no answer came. A retry
is then made under the same nonce or transaction id, and where that is not enough, see [the promise](../promise.md).
"""

NETWORK: Final = """\
## What an adapter raises

A network *drops repeats* if its session says so: `CanSend.dedupes_for`.
"""

HOMESERVER: Final = """\
## What the homeserver answers
"""

SOME: Final = "M_FORBIDDEN"
"""Stands for any errcode."""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, NETWORK, _table("raised", _network()), HOMESERVER, _table("answer", _homeserver())],
    )


def _network() -> Iterable[tuple[str, Verdict]]:
    def judged(error: BaseException, *, repeatable: bool = False) -> Verdict:
        return judge_network(error, connection_errors=(ConnectionError, TimeoutError), repeatable=repeatable)

    for kind in (Transient, Rejected, NotSupported, Uncertain, AuthFailed):
        yield f"`{kind.__name__}`", judged(kind())
    yield "`LoginCancelled`", judged(LoginCancelled("the login was cancelled"))
    lost = "a connection error or a timeout that escapes"
    yield f"{lost}, on a network that drops repeats", judged(ConnectionError(), repeatable=True)
    yield f"{lost}, on another network", judged(ConnectionError())
    yield "anything else: a bug in the adapter", judged(ZeroDivisionError())


def _homeserver() -> Iterable[tuple[str, Verdict]]:
    def answer(status: int, errcode: str) -> Verdict:
        return judge_homeserver(MatrixRequestError(status, errcode, "..."))

    yield "none: refused, reset, timed out", judge_homeserver(HomeserverUnreachable("..."))
    yield "429, or `M_LIMIT_EXCEEDED`", answer(429, "M_LIMIT_EXCEEDED")
    yield f"{', '.join(map(str, sorted(AWAY_STATUS)))}: a proxy, or too late", answer(min(AWAY_STATUS), "M_UNKNOWN")
    yield " or ".join(f"`{code}`" for code in sorted(TOKEN_ERRCODES)), answer(401, "M_UNKNOWN_TOKEN")
    yield "any other 5xx", answer(500, "M_UNKNOWN")
    yield "any other error: 403, 404, 413, `M_BAD_JSON` ...", answer(403, SOME)


def _table(first: str, rows: Iterable[tuple[str, Verdict]]) -> str:
    lines = [f"| {first} | verdict | |", "| --- | --- | --- |"]
    lines += [f"| {what} | {_name(verdict)} | {_words(verdict)} |" for what, verdict in rows]
    return "\n".join(lines) + "\n"


def _name(verdict: Verdict) -> str:
    return f"**{type(verdict).__name__.lower()}**"


def _words(verdict: Verdict) -> str:
    if isinstance(verdict, Retry):
        words = ["for as long as it takes"] if verdict.forever else ["for `delivery.retry_for_s`"]
        words += ["it may have happened"] if verdict.ambiguous else []
    elif isinstance(verdict, _End):
        words = [f"code `{verdict.code}`" if verdict.code != SOME else "the code is the answer's errcode"]
        words += ['its sender reads "may not have been sent"; never tried again by itself'] if verdict.uncertain else []
        words += ["the log has the traceback"] if verdict.bug else []
    else:
        words = ["its person is asked to log in again"]
    return textwrap.shorten("; ".join(words), 200)
