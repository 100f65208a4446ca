"""One answer of the homeserver, or the lack of one, as a value that can be judged without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Lack = Literal["address", "refused", "name", "timeout", "certificate", "tls", "broken"]
"""Why there was no answer: the URL is none, nobody listens, the host name is unknown, silence, a certificate that is
not trusted, no TLS at all, or anything else."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response. `body` is its JSON object, None if it is none; `text` the beginning of it as it came.

    `headers` have lower-case names. `asked_at` and `answered_at` are of our clock, in ms.
    """

    status: int
    body: Mapping[str, Any] | None = None
    text: str = ""
    headers: Mapping[str, str] = {}
    asked_at: int = 0
    answered_at: int = 0

    @property
    def errcode(self) -> str:
        """Of a Matrix error, else empty."""
        found = (self.body or {}).get("errcode")
        return found if isinstance(found, str) else ""

    @property
    def error(self) -> str:
        """What the answer says, for people."""
        found = (self.body or {}).get("error")
        if isinstance(found, str):
            return found.rstrip(".")
        return repr(self.text[:100]) if self.text else "nothing"

    def __str__(self) -> str:
        return f"{self.status} {self.errcode}: {self.error}" if self.errcode else f"{self.status}, saying {self.error}"


class NoAnswer(msgspec.Struct, frozen=True):
    """`message` is what the network said."""

    kind: Lack
    message: str = ""

    def __str__(self) -> str:
        return f"no answer ({self.message or self.kind})"


Reply = Answer | NoAnswer
