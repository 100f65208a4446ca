"""The asyncio drivers around the pure cores."""
