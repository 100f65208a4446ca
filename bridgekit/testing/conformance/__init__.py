"""A suite for the author's adapter, chosen by its capabilities. docs/conformance.md has it in a few steps.

::

    class TestMine(AdapterContract):
        adapter = MyAdapter
        remote = MyRemote

`Remote` is the driver of the author's network. Each test starts a network, and speaks with it through the adapter: with
a connection held in the hand, or in a whole bridge with a homeserver in memory. What the adapter or the driver lacks is
skipped, with the reason. Needs pytest (the `test` extra), and none of its plugins.
"""

from __future__ import annotations

from bridgekit.testing.conformance.changes import Changes
from bridgekit.testing.conformance.declaring import Declaring
from bridgekit.testing.conformance.files import Files
from bridgekit.testing.conformance.listening import Listening
from bridgekit.testing.conformance.looks import Looks
from bridgekit.testing.conformance.passing import Passing
from bridgekit.testing.conformance.people import People
from bridgekit.testing.conformance.refusing import Refusing
from bridgekit.testing.conformance.remote import Post, Remote
from bridgekit.testing.conformance.sending import Sending
from bridgekit.testing.conformance.texts import Texts
from bridgekit.testing.conformance.whole import Whole


class AdapterContract(Declaring, Listening, Sending, Refusing, Texts, Changes, Files, Passing, People, Looks, Whole):
    """Every test. Subclass it in a test file, in a class whose name begins with ``Test``, and set `adapter` and
    `remote`. A part for itself (for instance `Listening`) can be subclassed as well."""


__all__ = [
    "AdapterContract",
    "Changes",
    "Declaring",
    "Files",
    "Listening",
    "Looks",
    "Passing",
    "People",
    "Post",
    "Refusing",
    "Remote",
    "Sending",
    "Texts",
    "Whole",
]
