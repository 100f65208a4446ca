"""What every implementation of a port promises, as suites: one class of tests, inherited once per implementation."""

import pytest

# Suites are not named test_*, but their asserts shall tell as much as those that are.
pytest.register_assert_rewrite(
    *(
        f"tests.contract.{part}_contract"
        for part in ("append", "clean", "directory", "durable", "entry", "lease", "repair", "staging")
    )
)
