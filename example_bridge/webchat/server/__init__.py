"""The webchat network: one process, one SQLite file. Run: ``python -m example_bridge.webchat.server --db FILE``."""
