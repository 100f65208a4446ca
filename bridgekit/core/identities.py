"""Which remote user ids are one person: networks rename people (a new phone number), and their ghost stays the same."""

from __future__ import annotations

import json

from bridgekit.model.ids import RemoteUserID

PAGE = 200
"""So many changes are kept in one value of the database: each new one is written with those of its page."""


class Identities:
    """All such changes, in order. The first id of a person is the *root*, under which the bridge keeps what it knows of
    them; the latest is what the network calls them now."""

    def __init__(self) -> None:
        self._changes: list[tuple[RemoteUserID, RemoteUserID]] = []
        self._parent: dict[RemoteUserID, RemoteUserID] = {}
        self._latest: dict[RemoteUserID, RemoteUserID] = {}

    def root(self, user: RemoteUserID) -> RemoteUserID:
        """The id under which this person became known; the id itself for one who was never renamed."""
        while (parent := self._parent.get(user)) is not None:
            user = parent
        return user

    def latest(self, user: RemoteUserID) -> RemoteUserID:
        """What the network calls this person now."""
        if not self._latest:
            return user
        root = self.root(user)
        return self._latest.get(root, user)

    def same(self, one: RemoteUserID, other: RemoteUserID) -> bool:
        """Whether two ids are one person."""
        return one == other or self.root(one) == self.root(other)

    def is_known(self, old: RemoteUserID, new: RemoteUserID) -> bool:
        """Whether this change says nothing new."""
        return self.same(old, new) and self.latest(old) == new

    def change(self, old: RemoteUserID, new: RemoteUserID) -> None:
        """`old` is called `new` from now on. If `new` was somebody else so far, the two are one from now on."""
        if self.is_known(old, new):
            return
        root, other = self.root(old), self.root(new)
        if other != root:
            self._parent[other] = root
        self._latest[root] = new
        self._changes.append((old, new))

    # --- on disk ----------------------------------------------------------------------------------------------------
    def page_with(self, old: RemoteUserID, new: RemoteUserID) -> tuple[str, str]:
        """The value (key and content) to write before `change` is called with the same."""
        number, kept = divmod(len(self._changes), PAGE)
        page = [*self._changes[len(self._changes) - kept :], (old, new)]
        return page_key(number), json.dumps(page)  # as ASCII: an id may hold half a surrogate pair

    def load(self, page: str) -> None:
        """Take up a page that was written; in the order of their numbers."""
        for old, new in json.loads(page):
            self.change(RemoteUserID(old), RemoteUserID(new))


def page_key(number: int) -> str:
    """Under which name a page is on disk; the first is 0."""
    return f"identities {number}"
