"""What is sent to the homeserver and what it answers, as bytes: paths, JSON, errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from bridgekit.core.rawjson import mend_surrogates
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError

T = TypeVar("T")
JSON = dict[str, Any]

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(raw: bytes, type: type[T], endpoint: str) -> T:
    """The JSON as a type. Raises `HomeserverUnreachable` for what is none, or another."""
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.json.Decoder(type)
    try:
        try:
            result: T = decoder.decode(raw)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            result = decoder.decode(mend_surrogates(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A proxy's page, or another program: whether the homeserver ever saw the request is unknown.
        raise HomeserverUnreachable(f"the answer is not what a homeserver says: {error}", endpoint=endpoint) from None
    return result


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8. A lone surrogate, which no UTF-8 can hold, becomes U+FFFD."""
    try:
        return msgspec.json.encode(dict(body))
    except UnicodeEncodeError:
        mended = mend_surrogates(json.dumps(dict(body), allow_nan=False).encode())
        return msgspec.json.encode(msgspec.json.decode(mended))


def path(*segments: str, api: str = "_matrix/client") -> str:
    """A path below `api`, each segment percent-encoded whole, so that no id can reach another endpoint."""
    return "/".join([api, *map(_segment, segments)])


def _segment(value: str) -> str:
    # "." and ".." are resolved by URL joining, ours and proxies'; a state key may well be one.
    if value in (".", ".."):
        return "%2E" * len(value)
    return quote(value, safe="", errors="replace")


def words_of(error: Exception) -> str:
    """What went wrong with a request, without its address, whose query may be somebody's signature or a user's id."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.status} {error.message}"
    return type(error).__name__ if isinstance(error, aiohttp.InvalidURL) else str(error) or type(error).__name__


ANSWER_LIMIT = 64 * 1024
"""How much of an answer to a file's request is read, in bytes: none is so long."""


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The body of what is no file, up to `ANSWER_LIMIT`, however it was cut on its way, and however long it is."""
    body = b""
    while len(body) < ANSWER_LIMIT and (piece := await response.content.read(ANSWER_LIMIT - len(body))):
        body += piece
    if len(body) == ANSWER_LIMIT:
        response.close()  # the rest, if there is an end of it, belongs to nobody
    return body


def refusal(response: aiohttp.ClientResponse, body: bytes, endpoint: str, *, now: int) -> MatrixRequestError:
    """The error that an answer other than 2xx says; `now` in ms."""
    try:
        data = decode(body, JSON, endpoint)
    except HomeserverUnreachable:
        data = {}
    errcode, message = data.get("errcode"), data.get("error")
    if not isinstance(message, str):
        if location := response.headers.get("Location"):
            message = f"it redirects to {location}: is that the homeserver's address?"
        else:
            message = f"not a Matrix error: {body[:200].decode(errors='replace')!r}"
    return MatrixRequestError(
        response.status,
        errcode if isinstance(errcode, str) else "M_UNKNOWN",
        message,
        endpoint=endpoint,
        retry_after_ms=_retry_after_ms(response.headers.get("Retry-After"), data.get("retry_after_ms"), now),
        data=data,
    )


def _retry_after_ms(header: str | None, in_body: object, now: int) -> int | None:
    """The longer one of the two places where a server may ask for patience."""
    asked: list[float] = []
    if isinstance(in_body, int | float) and not isinstance(in_body, bool):
        asked.append(in_body)
    if header is not None:
        # RFC 9110: "Retry-After = HTTP-date / delay-seconds"
        try:
            asked.append(int(header) * 1000)
        except ValueError:
            try:
                asked.append(parsedate_to_datetime(header).timestamp() * 1000 - now)
            except (ValueError, OverflowError):
                pass
    sensible = [ms for ms in asked if 0 <= ms <= 2**53]
    return int(max(sensible)) if sensible else None
