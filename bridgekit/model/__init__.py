"""The values everything else speaks in: identifiers, content, events, journal entries.

Frozen msgspec Structs only. Nothing in this package does I/O or knows the time.
"""
