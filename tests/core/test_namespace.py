from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.namespace import GhostNamespace, exclusive_alias_regex, portal_alias, portal_alias_localpart
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteUserID, UserID

GHOSTS = GhostNamespace("webchat_", "example.org", frozenset({"webchat_bot"}))
SECRET = b"secret"

remote_ids = st.one_of(
    st.text(st.characters(codec=None)),
    st.text("aA=._-/+ 0é\ud800", max_size=6),
    st.integers(60, 300).map(lambda length: "x" * length),
    st.integers(60, 100).map(lambda length: "É" * length),
    st.sampled_from(("bot", "=62ot", "==", "==abc", "", "=", "=3d", "\ud83d\ude00", "\U0001f600")),
).map(RemoteUserID)


@pytest.mark.parametrize(
    ("remote", "user_id"),
    [
        ("alice", "@webchat_alice:example.org"),
        ("Alice", "@webchat_=41lice:example.org"),
        ("a=b/c+d", "@webchat_a=3db=2fc=2bd:example.org"),
        ("é\n", "@webchat_=c3=a9=0a:example.org"),
        ("\ud800", "@webchat_=ed=a0=80:example.org"),
        ("", "@webchat_:example.org"),
    ],
)
def test_table(remote: str, user_id: str) -> None:
    assert GHOSTS.user_id(RemoteUserID(remote)) == user_id
    assert GHOSTS.remote(UserID(user_id)) == remote


@given(remote_ids, remote_ids)
def test_injective(one: RemoteUserID, other: RemoteUserID) -> None:
    assert (GHOSTS.user_id(one) == GHOSTS.user_id(other)) == (one == other)


@given(remote_ids, st.sampled_from(("s", "example.org", "[::1]:8448", "h" * 190)))
def test_valid_and_back(remote: RemoteUserID, server: str) -> None:
    ghosts = GhostNamespace("webchat_", server, frozenset({"webchat_bot"}))
    user_id = ghosts.user_id(remote)
    localpart = ghosts.localpart(remote)
    assert user_id == f"@{localpart}:{server}"
    assert len(user_id.encode()) <= 255
    assert re.fullmatch(r"webchat_[a-z0-9._=-]*", localpart)
    assert ghosts.is_ghost(user_id)
    assert re.match(ghosts.exclusive_regex(), user_id)
    hashed = localpart.startswith("webchat_==")
    assert ghosts.remote(user_id) == (None if hashed else remote)
    written_out = re.sub(rb"[^a-z0-9._-]", b"=xx", remote.encode("utf-8", "surrogatepass"))
    if remote != "bot":
        assert hashed == (len(f"@webchat_:{server}") + len(written_out) > 255)


@given(remote_ids, remote_ids)
def test_escaping_keeps_prefixes(one: RemoteUserID, other: RemoteUserID) -> None:
    """Escaped characters stand one by one: what an id begins with, its localpart begins with."""
    joined = RemoteUserID(one + other)
    localpart = GHOSTS.localpart(joined)
    # Two surrogates side by side stay two: nothing melts together at the seam.
    if "==" not in localpart and GHOSTS.localpart(one) != GHOSTS.localpart(RemoteUserID("bot")):
        assert localpart.startswith(GHOSTS.localpart(one))


@pytest.mark.parametrize(
    "user_id",
    [
        "@alice:example.org",
        "@webchat_alice:example.com",
        "@webchat_alice:example.org:8448",
        "@webchat_alice",
        "@webchat_bot:example.org",
        "webchat_alice:example.org",
        "@webchat_a\n:example.org",
        "",
    ],
)
def test_no_ghost(user_id: str) -> None:
    assert not GHOSTS.is_ghost(UserID(user_id))
    assert GHOSTS.remote(UserID(user_id)) is None


@pytest.mark.parametrize("rest", ["=61", "A", "=C3=A9", "=c3", "=", "=6", "a b", "==" + "a" * 40, "=ff", "é", "a/b"])
def test_a_ghost_that_we_did_not_name(rest: str) -> None:
    user_id = UserID(f"@webchat_{rest}:example.org")
    assert GHOSTS.is_ghost(user_id)
    assert GHOSTS.remote(user_id) is None


@given(st.text(st.characters(codec=None)))
def test_any_user_id_may_be_asked_about(rest: str) -> None:
    user_id = UserID(f"@webchat_{rest}:example.org")
    remote = GHOSTS.remote(user_id)
    assert remote is None or GHOSTS.user_id(remote) == user_id


def test_regex_is_escaped() -> None:
    regex = GhostNamespace("web.chat-", "[::1]:8448").exclusive_regex()
    assert regex == r"^@web\.chat-.*:\[::1\]:8448$"
    assert not re.match(regex, "@webxchat-a:[::1]:8448")
    assert exclusive_alias_regex("w_", "example.org") == r"^#w_.*:example\.org$"


@pytest.mark.parametrize(
    ("prefix", "server"),
    [("", "s"), ("Web_", "s"), ("a=", "s"), ("a b", "s"), ("a\n", "s"), ("a_", ""), ("a_", "s\n"), ("a_", "h" * 230)],
)
def test_unusable_names_are_refused(prefix: str, server: str) -> None:
    with pytest.raises(ValueError, match=r"prefix|server name"):
        GhostNamespace(prefix, server)


def test_conflicts() -> None:
    assert GHOSTS.conflicts_with(GhostNamespace("web", "example.org"))
    assert GHOSTS.conflicts_with(GhostNamespace("webchat_b_", "example.org"))
    assert not GHOSTS.conflicts_with(GhostNamespace("web_", "example.org"))
    assert not GHOSTS.conflicts_with(GhostNamespace("webchat_", "example.com"))


few = st.sampled_from(("", "a", "b", "ab", "\ud800", "\x00"))
keys = st.builds(PortalKey, few.map(ChatID), st.none() | few.map(LoginID))


@given(keys, keys)
def test_aliases(one: PortalKey, other: PortalKey) -> None:
    localpart = portal_alias_localpart("webchat_", SECRET, one)
    assert re.fullmatch(r"webchat_[a-z2-7]{52}", localpart)
    assert (localpart == portal_alias_localpart("webchat_", SECRET, other)) == (one == other)
    assert localpart != portal_alias_localpart("webchat_", b"other", one)
    alias = portal_alias("webchat_", "example.org", SECRET, one)
    assert re.match(exclusive_alias_regex("webchat_", "example.org"), alias)


def test_aliases_never_change() -> None:
    """They are how a portal's room is found again after a crash."""
    assert portal_alias_localpart("w_", SECRET, PortalKey(ChatID("c"))) == (
        "w_igdmop3rzvdfrjwxei3xlckks5dnsdliikcy6tcymgunh46ht2ya"
    )


def test_unusable_aliases_are_refused() -> None:
    key = PortalKey(ChatID("c"))
    with pytest.raises(ValueError, match="secret"):
        portal_alias_localpart("w_", b"", key)
    with pytest.raises(ValueError, match="prefix"):
        portal_alias_localpart("W ", SECRET, key)
    with pytest.raises(ValueError, match="too long"):
        portal_alias("w_", "h" * 220, SECRET, key)
