"""The network in memory keeps the contract: one that can be asked, and one that shows no nonces."""

from __future__ import annotations

from bridgekit.testing.conformance import AdapterContract
from bridgekit.testing.network import FakeAdapter
from tests.conformance.fake import FakeRemote


class Nameless(FakeRemote):
    """Shows the account its own messages, without the nonces."""

    echo = "plain"
    returns_nonces = False


class TestAsked(AdapterContract):
    adapter = FakeAdapter
    remote = FakeRemote


class TestNameless(AdapterContract):
    adapter = FakeAdapter
    remote = Nameless
