"""Which changes we have told the network ourselves: their echoes change nothing, and often nothing in them says so."""

from __future__ import annotations

import hashlib
import json
from collections import deque

import msgspec

from bridgekit.core.reactions import bare
from bridgekit.model.content import Text
from bridgekit.model.ids import Nonce, PortalKey, RemoteMessageID
from bridgekit.model.records import Fact, ValueSaved
from bridgekit.ports import Clock
from bridgekit.runtime.books import CACHE_SIZE, Books

EDITS = 50
"""So many edited messages of each chat are remembered: with digests of their last texts, on disk."""

TEXTS = 20
"""So many texts of each: the echo of one edit may come after the next edit was told."""

REACTIONS = 2_000
"""So many reactions, added or taken back, are remembered at most, over all chats."""

EXPECTED_S = 120.0
"""How long the echo of a reaction may take. After that it is taken for one of the person's own, on another device; that
is told from what is there, so nothing is doubled."""


class _Reaction(msgspec.Struct, frozen=True):
    portal: PortalKey
    target: RemoteMessageID
    emoji: str
    added: bool


class OwnChanges:
    """Said by the lanes of rooms, asked by the lanes of chats, once nothing is in flight between the two."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._edits: dict[PortalKey, dict[str, list[tuple[str, str]]]] = {}
        self._reactions: deque[tuple[float, _Reaction]] = deque(maxlen=REACTIONS)

    # --- edits ------------------------------------------------------------------------------------------------------
    async def edited(self, portal: PortalKey, target: RemoteMessageID, text: Text, nonce: Nonce) -> tuple[Fact, ...]:
        """The network was told this edit: what to write down with its end. Raises `StoreError`."""
        edits = await self._known(portal)
        told = edits.pop(target, [])
        if all(known != nonce for known, _ in told):  # repeated after a crash, it keeps its place
            told = [*told, (nonce, _digest(text))][-TEXTS:]
        edits[target] = told
        if len(edits) > EDITS:
            del edits[next(iter(edits))]
        return (self._saved(portal, edits),)

    async def is_own_edit(self, portal: PortalKey, target: RemoteMessageID, text: Text) -> bool:
        """Whether this is one of those that we told last. Echoes come in order: what was told before it is
        none any more. Raises `StoreError`."""
        edits = await self._known(portal)
        told, digest = edits.get(target, []), _digest(text)
        for place, (_, each) in enumerate(told):
            if each == digest:
                edits[target] = told[place:]
                return True
        return False

    async def edited_elsewhere(self, portal: PortalKey, target: RemoteMessageID) -> tuple[Fact, ...]:
        """The message says something else than what we told last: what to write down. Raises `StoreError`."""
        edits = await self._known(portal)
        if edits.pop(target, None) is None:
            return ()
        return (self._saved(portal, edits),)

    async def _known(self, portal: PortalKey) -> dict[str, list[tuple[str, str]]]:
        if portal not in self._edits:
            stored = await self._books.directory.value(_key(portal))
            if portal not in self._edits:
                self._edits[portal] = json.loads(stored) if stored else {}
            if len(self._edits) > CACHE_SIZE:
                del self._edits[next(iter(self._edits))]
        return self._edits[portal]

    def _saved(self, portal: PortalKey, edits: dict[str, list[tuple[str, str]]]) -> ValueSaved:
        return ValueSaved(_key(portal), json.dumps(edits))

    # --- reactions --------------------------------------------------------------------------------------------------
    def reacted(self, portal: PortalKey, target: RemoteMessageID, emoji: str, *, added: bool) -> None:
        """The network was told this reaction, or that it was taken back."""
        self._reactions.append((self._clock.monotonic(), _Reaction(portal, target, bare(emoji), added)))

    def is_own_reaction(self, portal: PortalKey, target: RemoteMessageID, emoji: str, *, added: bool) -> bool:
        """Whether this is the echo of one that we told; each has one echo."""
        while self._reactions and self._clock.monotonic() - self._reactions[0][0] > EXPECTED_S:
            self._reactions.popleft()
        wanted = _Reaction(portal, target, bare(emoji), added)
        for each in self._reactions:
            if each[1] == wanted:
                self._reactions.remove(each)
                return True
        return False


def _digest(text: Text) -> str:
    # A text has up to 64 KiB, and all of a chat's are written with each edit.
    raw = text.body.strip().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def _key(portal: PortalKey) -> str:
    return f"own edits {json.dumps([portal.chat, portal.receiver])}"
