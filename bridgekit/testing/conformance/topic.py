"""What every part of the contract has."""

from __future__ import annotations

from typing import ClassVar

from bridgekit.adapter.base import Adapter
from bridgekit.testing.conformance.remote import Remote


class Topic:
    """A part of `AdapterContract`."""

    adapter: ClassVar[type[Adapter]]
    """The author's adapter."""
    remote: ClassVar[type[Remote]]
    """The driver of the author's network."""
