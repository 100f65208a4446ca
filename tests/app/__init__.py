"""The composition root: configuration and command line."""
