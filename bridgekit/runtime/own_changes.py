"""Which changes we have told the network ourselves: their echoes change nothing, and often nothing in them says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Generic, TypeVar

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

EARLY = 1_000
"""So many edits that came back before their call are remembered, over all chats, until it returns."""

AGAIN = "="
"""Before a nonce: of an edit that was not told now, but says what was. It may be told yet, or its echo be due."""

REACTIONS = 200
"""So many reactions of each chat, added or taken back, are remembered at most, on disk."""

EXPECTED_S = 120.0
"""How long the echo of a reaction may take. After that it is taken for one of the person's own, on another device; that
is told from what is there, so nothing is doubled. What an earlier process told counts from when this one asks first, as
the network could not show it in between."""

T = TypeVar("T")


class OwnReaction(msgspec.Struct, frozen=True):
    """A reaction that the network was told, or that it was taken back."""

    portal: PortalKey
    target: RemoteMessageID
    emoji: str
    added: bool


class _Expected(msgspec.Struct):
    """`since` (monotonic, s) it may show itself; `nonce` with which it was told."""

    reaction: OwnReaction
    nonce: Nonce
    since: float


class _Cached(Generic[T]):
    """What is known of each chat, those asked about last."""

    def __init__(self) -> None:
        self._chats: dict[PortalKey, T] = {}

    def get(self, portal: PortalKey) -> T | None:
        known = self._chats.pop(portal, None)
        if known is not None:
            self._chats[portal] = known
        return known

    def put(self, portal: PortalKey, known: T) -> T:
        self._chats[portal] = known
        if len(self._chats) > CACHE_SIZE:
            del self._chats[next(iter(self._chats))]
        return known


_Edits = dict[str, list[tuple[str, str]]]
"""Message -> (nonce, digest of the text) of each edit that we told, the last of which may not have shown itself."""


class OwnChanges:
    """Said by the lanes of rooms, asked by the lanes of chats, once nothing is in flight between the two.

    What is to be written down is all that is known of a chat, and both lanes write it: it is asked for last, right
    before an entry ends, or an older state could come after a newer one. Every coroutine raises `StoreError`.
    """

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._edits: _Cached[_Edits] = _Cached()
        self._early: dict[Nonce, None] = {}  # of edits that came back before the call that made them
        self._reactions: _Cached[list[_Expected]] = _Cached()

    # --- edits ------------------------------------------------------------------------------------------------------
    async def edited(self, portal: PortalKey, target: RemoteMessageID, text: Text, nonce: Nonce) -> tuple[Fact, ...]:
        """The network was told this edit: what to write down with its end."""
        edits = await self._known_edits(portal)
        told = edits.pop(target, [])
        if all(known != nonce for known, _ in told):  # repeated after a crash, it keeps its place
            told = [*told, (nonce, _digest(text))][-TEXTS:]
        if nonce in self._early:
            del self._early[nonce]
            told = told[-1:]
        edits[target] = told
        if len(edits) > EDITS:
            del edits[next(iter(edits))]
        return _edits_saved(portal, edits)

    async def edits_saved(self, portal: PortalKey) -> tuple[Fact, ...]:
        """What to write down with the end of an edit that took several calls."""
        return _edits_saved(portal, await self._known_edits(portal))

    async def own_edit(
        self, portal: PortalKey, target: RemoteMessageID, text: Text, nonce: Nonce | None
    ) -> tuple[Fact, ...] | None:
        """What to write down if this is one of those that we told last, by its nonce or else its text; None if it is
        not. Echoes come in order: what was told before it is none any more."""
        edits = await self._known_edits(portal)
        told, digest = edits.get(target, []), _digest(text)
        places = [place for place, (known, _) in enumerate(told) if known == nonce]
        places += [place for place, (_, known) in enumerate(told) if known == digest]
        if not places:
            return None
        if places[0] == 0:
            return ()
        edits[target] = told[places[0] :]
        return _edits_saved(portal, edits)

    async def told_last(self, portal: PortalKey, nonces: Collection[Nonce]) -> RemoteMessageID | None:
        """The message that the edit with one of these nonces has changed, and that was told no other text since; None
        if it is not known, or says something else by now."""
        for target, told in (await self._known_edits(portal)).items():
            for nonce, digest in reversed(told):
                if digest != told[-1][1]:
                    break
                if nonce.removeprefix(AGAIN) in nonces:
                    return RemoteMessageID(target)
        return None

    async def says_again(self, portal: PortalKey, target: RemoteMessageID, nonce: Nonce) -> tuple[Fact, ...]:
        """What the message was told last is what the edit with this nonce had told: what to write down."""
        edits = await self._known_edits(portal)
        told = edits.get(target, [])
        if told:
            edits[target] = [*told, (f"{AGAIN}{nonce}", told[-1][1])][-TEXTS:]
        return _edits_saved(portal, edits)

    def came_early(self, nonce: Nonce) -> None:
        """An edit with a nonce of ours has come back, of which we do not know yet that we told it."""
        self._early[nonce] = None
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]

    async def edited_elsewhere(self, portal: PortalKey, target: RemoteMessageID) -> tuple[Fact, ...]:
        """The message says something else than what we told last: what to write down."""
        edits = await self._known_edits(portal)
        if edits.pop(target, None) is None:
            return ()
        return _edits_saved(portal, edits)

    async def _known_edits(self, portal: PortalKey) -> _Edits:
        if (known := self._edits.get(portal)) is not None:
            return known
        stored = await self._books.directory.value(_edits_key(portal))
        # Anew: another lane may have asked meanwhile, and changed it.
        if (known := self._edits.get(portal)) is not None:
            return known
        return self._edits.put(portal, json.loads(stored) if stored else {})

    # --- reactions --------------------------------------------------------------------------------------------------
    async def reacted(self, reaction: OwnReaction, nonce: Nonce) -> None:
        """The network was told this."""
        expected = await self._expected(reaction.portal)
        if all(each.nonce != nonce for each in expected):
            expected.append(_Expected(_bare(reaction), nonce, self._clock.monotonic()))
            del expected[:-REACTIONS]

    async def reactions_saved(self, portal: PortalKey) -> tuple[Fact, ...]:
        """What to write down with the end of one that was told."""
        return _reactions_saved(portal, await self._expected(portal))

    async def is_own_reaction(self, reaction: OwnReaction) -> bool:
        """Whether this is the echo of one that we told."""
        return any(each.reaction == _bare(reaction) for each in await self._expected(reaction.portal))

    async def has_more_to_come(self, reaction: OwnReaction, *, other_emoji: bool) -> bool:
        """Whether something else that we told of this reaction (`other_emoji`: of any to that message) has still to
        show itself: the room says what is there after that."""
        shown = _bare(reaction)
        of_it = [
            each.reaction
            for each in await self._expected(reaction.portal)
            if each.reaction.target == shown.target and (other_emoji or each.reaction.emoji == shown.emoji)
        ]
        return len(of_it) > (shown in of_it)

    async def echoed(self, reaction: OwnReaction) -> tuple[Fact, ...]:
        """The echo of a reaction is done with: what to write down. Each has one echo, and they come in order."""
        expected = await self._expected(reaction.portal)
        for each in expected:
            if each.reaction == _bare(reaction):
                expected.remove(each)
                return _reactions_saved(reaction.portal, expected)
        return ()

    async def reacted_elsewhere(self, reaction: OwnReaction) -> tuple[Fact, ...]:
        """The person has done this on another device: what to write down. The network says things in their order, so
        whatever we told of the same reaction before has no echo any more."""
        expected = await self._expected(reaction.portal)
        bare = _bare(reaction)
        of_it = [
            each for each in expected if each.reaction.target == bare.target and bare.emoji in (each.reaction.emoji, "")
        ]
        if not of_it:
            return ()
        expected[:] = [each for each in expected if each not in of_it]
        return _reactions_saved(reaction.portal, expected)

    async def _expected(self, portal: PortalKey) -> list[_Expected]:
        expected = self._reactions.get(portal)
        if expected is None:
            stored = await self._books.directory.value(_reactions_key(portal))
            # Anew: another lane may have asked meanwhile.
            expected = self._reactions.get(portal)
            if expected is None:
                expected = self._reactions.put(portal, _read(portal, stored, self._clock.monotonic()))
        oldest = self._clock.monotonic() - EXPECTED_S
        expected[:] = [each for each in expected if each.since >= oldest]
        return expected


def _bare(reaction: OwnReaction) -> OwnReaction:
    return msgspec.structs.replace(reaction, emoji=bare(reaction.emoji))


def _digest(text: Text) -> str:
    # A text may be long, and all of a chat's are written down each time.
    return hashlib.blake2b(text.body.strip().encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _edits_saved(portal: PortalKey, edits: _Edits) -> tuple[Fact, ...]:
    return (ValueSaved(_edits_key(portal), json.dumps(edits)),)


def _reactions_saved(portal: PortalKey, expected: list[_Expected]) -> tuple[Fact, ...]:
    rows = [[each.reaction.target, each.reaction.emoji, each.reaction.added, each.nonce] for each in expected]
    return (ValueSaved(_reactions_key(portal), json.dumps(rows)),)


def _read(portal: PortalKey, stored: str | None, now: float) -> list[_Expected]:
    return [
        _Expected(OwnReaction(portal, RemoteMessageID(target), emoji, added), Nonce(nonce), now)
        for target, emoji, added, nonce in (json.loads(stored) if stored else ())
    ]


def _edits_key(portal: PortalKey) -> str:
    return f"own edits {_name(portal)}"


def _reactions_key(portal: PortalKey) -> str:
    return f"own reactions {_name(portal)}"


def _name(portal: PortalKey) -> str:
    return json.dumps([portal.chat, portal.receiver])
