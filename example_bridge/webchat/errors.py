"""What can go wrong for a client of webchat; the type says what became of the request.

WebchatError
├── Unavailable        the network took nothing; later it may
│   ├── RateLimited    the same, because there was too much
│   └── NotYet         the file's bytes are not there yet
├── Unauthorized       the network took nothing; the token does not count (any more)
├── Refused            the network took nothing, and the same request will fare no better
└── Disconnected       nobody knows what became of it
"""

from __future__ import annotations

import msgspec

from example_bridge.webchat.server.protocol import Error


class WebchatError(Exception):
    """Any of the failures below."""


class Unavailable(WebchatError):
    """The network took nothing. `retry_after_ms`: when it would like to be asked again, if it said so."""

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class RateLimited(Unavailable):
    """The network took nothing, because there was too much."""


class NotYet(Unavailable):
    """The file has been announced, but its bytes are not there yet."""


class Unauthorized(WebchatError):
    """There is no such token, or it has been revoked."""


class Refused(WebchatError):
    """The network said no, for good. `code` is one of the table in PROTOCOL.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Disconnected(WebchatError):
    """The connection ended, or no answer came in time: what was asked may have been done or not."""


def error_of(error: Error) -> WebchatError:
    """The exception for an error of the protocol."""
    match error.code:
        case "unavailable":
            return Unavailable(error.message, error.retry_after_ms)
        case "rate_limited":
            return RateLimited(error.message, error.retry_after_ms)
        case "not_yet":
            return NotYet(error.message, error.retry_after_ms)
        case "unauthorized":
            return Unauthorized(error.message)
    return Refused(error.code, error.message)


def error_of_body(status: int, body: bytes) -> WebchatError:
    """The exception for an HTTP answer that is not a success."""
    try:
        return error_of(msgspec.json.decode(body, type=Error))
    except (msgspec.MsgspecError, UnicodeDecodeError):  # something between us and the network
        if status == 401:
            return Unauthorized(f"HTTP status {status}")
        if status >= 500:
            return Unavailable(f"HTTP status {status}")
        return Refused(f"http_{status}", f"HTTP status {status}")
