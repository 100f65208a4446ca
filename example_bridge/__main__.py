"""``python -m example_bridge``: the webchat bridge's command line."""

from bridgekit.cli import main
from example_bridge.webchat.adapter import WebchatAdapter

if __name__ == "__main__":
    main(WebchatAdapter)
