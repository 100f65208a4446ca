"""docs/permissions.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bridgekit.core.loops import BRIDGE_MARKS, DEFAULT_IGNORE
from bridgekit.core.permissions import LEVELS, Permissions
from bridgekit.testing.harness import Harness
from tests.runtime.test_permissions import ROOT, person

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_example_is_one(page: str) -> None:
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    assert Permissions(yaml.safe_load(found[1])["permissions"]).has_admin()


def test_levels_and_marks(page: str) -> None:
    for level in LEVELS:
        assert f"| `{level}` |" in page
    for word in (*BRIDGE_MARKS, DEFAULT_IGNORE[0]):
        assert f"`{word}`" in page


async def test_every_command_of_admins_and_of_portals(page: str) -> None:
    harness = Harness(permissions={"@root:test": "admin", "test": "user"})
    await harness.start()
    await harness.settle(1)
    root = await person(harness, ROOT)
    everything = (await root.says("help")).splitlines()
    for name in ("logins", "portals", "dead", "status", "pm", "login", "set-relay", "unset-relay"):
        assert any(line.startswith(f"{name} ") for line in everything)
        assert f"`{name}" in page
    room = await harness.portal()
    for line in (await root.says("!fake help", room)).splitlines()[1:]:
        assert f"`!webchat {line.split()[1]}" in page
    await harness.kill()
