"""People whom the network renames: one root for all their ids, and the latest is what they are called."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.identities import PAGE, Identities, page_key
from bridgekit.core.namespace import GhostNamespace
from bridgekit.model.ids import RemoteUserID

names = st.sampled_from([RemoteUserID(name) for name in "abcdef"])
changes = st.lists(st.tuples(names, names), max_size=12)


def told(*renames: tuple[str, str]) -> Identities:
    identities = Identities()
    for old, new in renames:
        identities.change(RemoteUserID(old), RemoteUserID(new))
    return identities


def test_a_chain_and_back() -> None:
    identities = told(("a", "b"), ("b", "c"))
    assert [identities.root(RemoteUserID(name)) for name in "abcx"] == ["a", "a", "a", "x"]
    assert [identities.latest(RemoteUserID(name)) for name in "abcx"] == ["c", "c", "c", "x"]
    identities.change(RemoteUserID("c"), RemoteUserID("a"))
    assert [identities.latest(RemoteUserID(name)) for name in "abc"] == ["a", "a", "a"]


@given(changes)
def test_a_repeat_changes_nothing_and_there_is_no_circle(renames: list[tuple[RemoteUserID, RemoteUserID]]) -> None:
    identities = told(*renames)
    if renames:
        old, new = renames[-1]
        assert identities.same(old, new)
        assert identities.is_known(old, new) or old == new
    for name in "abcdef":
        user = RemoteUserID(name)
        assert identities.root(identities.root(user)) == identities.root(user)
        assert identities.same(user, identities.latest(user))


@given(changes)
def test_what_is_written_is_read_again(renames: list[tuple[RemoteUserID, RemoteUserID]]) -> None:
    disk: dict[str, str] = {}
    identities = Identities()
    for old, new in renames:
        if not identities.is_known(old, new):
            key, page = identities.page_with(old, new)
            disk[key] = page
            identities.change(old, new)
    assert state(loaded(disk)) == state(identities)


def test_many_take_several_pages() -> None:
    disk: dict[str, str] = {}
    identities = Identities()
    for number in range(2 * PAGE + 1):
        old, new = RemoteUserID(f"{number}\ud800"), RemoteUserID(f"{number + 1}\ud800")
        key, page = identities.page_with(old, new)
        disk[key] = page
        identities.change(old, new)
    assert sorted(disk) == [page_key(0), page_key(1), page_key(2)]
    assert loaded(disk).latest(RemoteUserID("0\ud800")) == f"{2 * PAGE + 1}\ud800"


def loaded(disk: dict[str, str]) -> Identities:
    read, number = Identities(), 0
    while page_key(number) in disk:
        read.load(disk[page_key(number)])
        number += 1
    return read


def state(identities: Identities) -> list[tuple[str, str]]:
    return [(identities.root(RemoteUserID(name)), identities.latest(RemoteUserID(name))) for name in "abcdef"]


def test_the_ghost_is_of_the_first_id_and_stands_for_the_latest() -> None:
    plain = GhostNamespace("x_", "example.org")
    ghosts = msgspec.structs.replace(plain, identities=told(("a", "b"), ("old", "a")))
    for name in ("old", "a", "b"):
        assert ghosts.user_id(RemoteUserID(name)) == "@x_old:example.org"
    assert ghosts.remote(ghosts.user_id(RemoteUserID("a"))) == "a"
    # Before they were known to be one, the other had a ghost, too.
    assert ghosts.remote(plain.user_id(RemoteUserID("b"))) == "a"
    assert ghosts.remote(plain.user_id(RemoteUserID("c"))) == "c"
