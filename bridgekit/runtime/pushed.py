"""What was pushed, taken apart: between its bytes and its entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridgekit.model.entry import NewDeadLetter, NewEntry
from bridgekit.model.raw import MalformedEvent, RawEvent


class Pushed(NamedTuple):
    """Events of one or several transactions, in order; the entries that they become, and what can be none."""

    events: Sequence[RawEvent] = ()
    malformed: Sequence[MalformedEvent] = ()
    entries: Sequence[NewEntry] = ()
    dead: Sequence[NewDeadLetter] = ()


def together(several: Iterable[Pushed]) -> Pushed:
    """One after the other."""
    events: list[RawEvent] = []
    malformed: list[MalformedEvent] = []
    entries: list[NewEntry] = []
    dead: list[NewDeadLetter] = []
    for each in several:
        events += each.events
        malformed += each.malformed
        entries += each.entries
        dead += each.dead
    return Pushed(events, malformed, entries, dead)
