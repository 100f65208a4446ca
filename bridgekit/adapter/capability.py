"""The base of all capabilities."""

from __future__ import annotations

from abc import ABC


class Capability(ABC):  # noqa: B024 - a name for what its subclasses are; each of them has its method
    """Base of all capabilities. A session inherits from those in `CAPABILITIES`, not from this one alone."""
