"""Adapters, good and broken, in the hands of `bridgekit.testing.conformance`."""
