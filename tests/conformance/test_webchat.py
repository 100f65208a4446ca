"""The webchat adapter keeps the contract."""

from __future__ import annotations

from bridgekit.testing.conformance import AdapterContract
from example_bridge.webchat.adapter import WebchatAdapter
from tests.conformance.webchat import WebchatRemote


class TestWebchat(AdapterContract):
    adapter = WebchatAdapter
    remote = WebchatRemote


class Forgetful(WebchatRemote):
    """A webchat that takes every repeat for a new message."""

    dedupe_seconds = 0


class TestForgetfulWebchat(AdapterContract):
    adapter = WebchatAdapter
    remote = Forgetful
