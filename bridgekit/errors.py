"""Everything bridgekit raises. The type says whose fault it is, and what happens next.

::

    BridgekitError
    ├── AdapterError                    raised by the author's adapter; the type is the policy (core.policy)
    │   ├── Transient                   the network took nothing: the lane waits and tries again
    │   ├── Rejected                    refused for good: the lane goes on, the person is told why
    │   │   └── NotSupported            the network cannot do this
    │   ├── Uncertain                   it may or may not have happened: never repeated by itself
    │   └── AuthFailed                  the login is no longer valid: the person has to log in again
    ├── HomeserverError                 a client-server request that did not succeed
    │   ├── HomeserverUnreachable       no answer: refused, reset, or timed out (`timed_out`)
    │   └── MatrixRequestError          an answer with an errcode
    ├── WrongSize                       a file is longer or shorter than was said of it
    ├── PingFailed                      the homeserver cannot reach the bridge, or not this bridge
    ├── StoreError                      the database
    │   ├── StoreUnavailable            try again later (busy, restarting, disk full)
    │   ├── LeaseLost                   another process has taken over: send nothing more
    │   ├── LeaseHeld                   another process is running on this database
    │   └── MigrationFailed             the schema is newer than this program, or a migration failed
    ├── ConfigError                     the configuration: where, what, and the fix
    └── LoginCancelled                  a person ended a login conversation
"""

from __future__ import annotations

from collections.abc import Sequence


class BridgekitError(Exception):
    """Base of every error that bridgekit raises on purpose."""


# --- raised by adapters -----------------------------------------------------------------------------------------
class AdapterError(BridgekitError):
    """Base of what an adapter raises. `reason` is shown to the person, so it is a plain sentence."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or type(self).__name__)
        self.reason = reason


class Transient(AdapterError):
    """The network took nothing; try again.

    `retry_after` is in seconds: what the network asked for, or None to let the lane back off by its own schedule.
    """

    def __init__(self, reason: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Rejected(AdapterError):
    """The network refused for good. The entry ends, the lane goes on, the person reads `reason`."""


class NotSupported(Rejected):
    """The network has no such thing."""


class Uncertain(AdapterError):
    """The message may have been sent. It is never repeated by itself; the person is told so."""


class AuthFailed(AdapterError):
    """The login's credentials no longer work. The person is asked to log in again; nothing is lost meanwhile."""


class LoginCancelled(BridgekitError):
    """The person cancelled the login conversation, or did not answer in time."""


# --- the homeserver ---------------------------------------------------------------------------------------------
class HomeserverError(BridgekitError):
    """A request to the homeserver that did not succeed. `endpoint` is method and path, without tokens."""

    def __init__(self, message: str, *, endpoint: str = "") -> None:
        super().__init__(f"{endpoint}: {message}" if endpoint else message)
        self.message = message
        self.endpoint = endpoint


class HomeserverUnreachable(HomeserverError):
    """There was no answer. The request may or may not have taken effect."""

    def __init__(self, message: str, *, endpoint: str = "", timed_out: bool = False) -> None:
        super().__init__(message, endpoint=endpoint)
        self.timed_out = timed_out


class MatrixRequestError(HomeserverError):
    """The homeserver answered with an error (spec: client-server API, standard error response).

    `retry_after_ms` is what a 429 asked for, None where it did not say. `data` is the whole error body.
    """

    def __init__(
        self,
        status: int,
        errcode: str,
        message: str,
        *,
        endpoint: str = "",
        retry_after_ms: int | None = None,
        data: dict[str, object] | None = None,
    ) -> None:
        super().__init__(f"{status} {errcode}: {message}", endpoint=endpoint)
        self.message = message  # the homeserver's own words alone; str() has all
        self.status = status
        self.errcode = errcode
        self.retry_after_ms = retry_after_ms
        self.data = data or {}


class WrongSize(BridgekitError):
    """A file has not as many bytes as was said of it. `said` and `got` are in bytes; `got` None: more than `said`."""

    def __init__(self, said: int, got: int | None) -> None:
        super().__init__(f"the file was said to have {said} bytes, and has {'more' if got is None else got}")
        self.said = said
        self.got = got


class PingFailed(BridgekitError):
    """The start-up ping (MSC2659) did not come back.

    `errcode` is the homeserver's, or one of ours: ``WRONG_BRIDGE`` (another program answered the ping),
    ``UNREACHABLE`` (the bridge cannot reach the homeserver). `fix` is the one thing to do.
    """

    def __init__(self, errcode: str, message: str, fix: str) -> None:
        super().__init__(f"{message} ({errcode}). {fix}")
        self.errcode = errcode
        self.message = message
        self.fix = fix


# --- the database -----------------------------------------------------------------------------------------------
class StoreError(BridgekitError):
    """The database refused."""


class StoreUnavailable(StoreError):
    """The database cannot answer now: busy, restarting, out of disk. Nothing was written, or a repeat does no harm."""


class LeaseLost(StoreError):
    """Another process holds the lease now; whatever this one still wants to write is refused."""


class LeaseHeld(StoreError):
    """Another process runs on this database. `owner` and `epoch` are its lease's; `expires_at` is in ms."""

    def __init__(self, owner: str, expires_at: int, epoch: int) -> None:
        super().__init__(f"this database is in use by {owner}")
        self.owner = owner
        self.epoch = epoch
        self.expires_at = expires_at


class MigrationFailed(StoreError):
    """The schema cannot be brought to this version."""


# --- configuration ----------------------------------------------------------------------------------------------
class ConfigError(BridgekitError):
    """A mistake in a file the admin wrote: `where` (file and YAML path), `what` is wrong, and the `fix`.

    `more`: the other mistakes in the same file, so that a person need not find one after the other.
    """

    def __init__(self, where: str, what: str, fix: str, *, more: Sequence[ConfigError] = ()) -> None:
        super().__init__("\n".join([f"{where}: {what}. {fix}", *map(str, more)]))
        self.where = where
        self.what = what
        self.fix = fix
        self.more = tuple(more)


class AddressTaken(ConfigError):
    """Another program listens on the port. It may end, so that to start again may help, as it never does with a mistake
    in a file."""
