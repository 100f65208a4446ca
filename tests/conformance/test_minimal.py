"""The smallest bridge keeps the contract, as far as its network allows."""

from __future__ import annotations

from bridgekit.testing.conformance import AdapterContract
from example_bridge.minimal import ChatAdapter
from tests.conformance.minimal import MinimalRemote


class TestMinimal(AdapterContract):
    adapter = ChatAdapter
    remote = MinimalRemote
