"""``python -m tests.support.impatient``: the webchat bridge, but it waits shortly where the real one waits long."""

from __future__ import annotations

from bridgekit.cli import main
from bridgekit.runtime import portals
from example_bridge.webchat.adapter import WebchatAdapter

if __name__ == "__main__":
    portals.ABANDON_AFTER_S = 0.5
    portals.LOOK_AGAIN_S = 0.1
    main(WebchatAdapter)
