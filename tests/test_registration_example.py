"""registration.example.yaml is what the bridge writes. Made anew by ``python -m tests.test_registration_example``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridgekit.core.namespace import GhostNamespace, exclusive_alias_regex
from bridgekit.matrix.registration import generate, load, to_yaml

EXAMPLE: Final = Path(__file__).parents[1] / "registration.example.yaml"
SERVER: Final = "example.org"


def example() -> str:
    tokens = iter(("not-a-real-as_token-make-your-own", "not-a-real-hs_token-make-your-own"))
    return to_yaml(
        generate(
            id="webchat",
            url="http://127.0.0.1:29328",
            server_name=SERVER,
            sender_localpart="webchatbot",
            users=[GhostNamespace("webchat_", SERVER).exclusive_regex()],
            aliases=[exclusive_alias_regex("webchat_", SERVER)],
            new_token=lambda: next(tokens),
        )
    )


def test_the_example_is_what_the_bridge_writes() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example()
    assert load(EXAMPLE).sender_localpart == "webchatbot"


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")
