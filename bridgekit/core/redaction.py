"""Takes secrets out of a text before it is shown. The second line of defence: nothing should have put them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

REDACTED: Final = "(redacted)"

SHORTEST: Final = 6
"""Characters. Shorter secrets are not looked for: they would be found inside ordinary words."""

_PATTERNS: Final = (
    # Spec, client-server API, "Using access tokens": the query parameter, wherever an address is quoted.
    re.compile(r"((?:access_token|hs_token|as_token)=)[^&\s\"'<>#]+", re.IGNORECASE),
    # The header, as it stands on the wire, and as the item of a mapping that was printed.
    re.compile(r"(authorization['\"]?\s*[:=,]\s*['\"]?)(?:(?:bearer|basic|token)\s+)?[^\s'\",)}]+", re.IGNORECASE),
    re.compile(r"(\bbearer\s+)[\w.~+/-]{6,}=*", re.IGNORECASE),
    # A password in a URL.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE),
)

Secrets = Callable[[], Iterable[str]]


class Redactor:
    """``redact(text)`` is the text without what looks like a token, and without the secrets that it was told of.

    `sources` are asked anew each time, so that what is known for the first time now is left out from now on.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self.sources: list[Secrets] = []
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Never show these."""
        self._known.update(secret for secret in secrets if len(secret) >= SHORTEST)

    def __call__(self, text: str) -> str:
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{REDACTED}", text)
        found = {secret for secret in self._known if secret in text}
        for source in self.sources:
            found.update(secret for secret in source() if len(secret) >= SHORTEST and secret in text)
        # The longest first: one secret may be the beginning of another.
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return text
