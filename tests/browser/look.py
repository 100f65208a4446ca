"""What can be measured of a page's look: contrast, names for screen readers, and whether anything sticks out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from playwright.async_api import Frame, Page

Place = Page | Frame

_SCRIPT: Final = Path(__file__).with_name("js") / "look.js"


class Look:
    """Each gives what is wrong, in words; nothing when all is well."""

    async def contrast(self, place: Place) -> list[str]:
        """Text with less than 4.5 : 1 (WCAG 2.2, 1.4.3)."""
        return await self._run(place, "contrast")

    async def basics(self, place: Place) -> list[str]:
        """Names, landmarks, lists, references, sizes of targets."""
        return await self._run(place, "basics")

    async def sticks_out(self, place: Place) -> list[str]:
        """What is wider than the screen."""
        return await self._run(place, "sticksOut")

    async def _run(self, place: Place, name: str) -> list[str]:
        script = "".join(line for line in _SCRIPT.read_text().splitlines(True) if not line.startswith("//")).strip()
        found: list[str] = await place.evaluate(f"() => {script}.{name}()")
        return found
