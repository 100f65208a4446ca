"""Measurements. They print numbers and judge nothing: ``python -m benchmarks.NAME``."""
