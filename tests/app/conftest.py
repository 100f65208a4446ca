from __future__ import annotations

import pytest

from tests.app.toy import Cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """The toy bridge's command line."""
    return Cli(capsys)
