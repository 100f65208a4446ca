"""The webchat adapter keeps the contract."""

from __future__ import annotations

from bridgekit.testing.conformance import AdapterContract
from example_bridge.webchat.adapter import WebchatAdapter
from tests.conformance.webchat import WebchatRemote


class TestWebchat(AdapterContract):
    adapter = WebchatAdapter
    remote = WebchatRemote
