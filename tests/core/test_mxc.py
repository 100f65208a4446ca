"""``mxc://`` URIs: what is let through can do no harm in a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.mxc import MXC, parse_mxc
from bridgekit.matrix.wire import path


@pytest.mark.parametrize(
    ("uri", "server", "media_id"),
    [
        ("mxc://hs.test/abc", "hs.test", "abc"),
        ("mxc://hs.test:8448/aB-_9", "hs.test:8448", "aB-_9"),
        ("mxc://localhost/a", "localhost", "a"),
        ("mxc://1.2.3.4:80/a", "1.2.3.4:80", "a"),
        ("mxc://[2001:db8::1]/a", "[2001:db8::1]", "a"),
        ("mxc://[::ffff:1.2.3.4]:8448/a", "[::ffff:1.2.3.4]:8448", "a"),
        ("mxc://" + "a" * 230 + "/" + "b" * 255, "a" * 230, "b" * 255),
    ],
)
def test_uris(uri: str, server: str, media_id: str) -> None:
    read = parse_mxc(uri)
    assert read == MXC(server, media_id)
    assert str(read) == uri


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        b"mxc://hs.test/a",
        ["mxc://hs.test/a"],
        "",
        "mxc://",
        "mxc:///",
        "mxc:///a",
        "mxc://hs.test",
        "mxc://hs.test/",
        "https://hs.test/a",
        "MXC://hs.test/a",
        " mxc://hs.test/a",
        "mxc://hs.test/a ",
        "mxc://hs.test/a\n",
        "mxc://hs.test\n/a",
        "mxc://../admin",
        "mxc://./admin",
        "mxc://a..b/c",
        "mxc://.a/c",
        "mxc://-/c",
        "mxc://hs.test/..",
        "mxc://hs.test/.",
        "mxc://hs.test/../admin",
        "mxc://hs.test/a/b",
        "mxc://hs.test//a",
        "mxc://%2e%2e/admin",
        "mxc://hs.test/%2e%2e",
        "mxc://hs.test/a%2fb",
        "mxc://hs.test/a?b=c",
        "mxc://hs.test/a#b",
        "mxc://hs.test?x/a",
        "mxc://hs.test/a\\b",
        "mxc://user@hs.test/a",
        "mxc://hs.test:/a",
        "mxc://hs.test:123456/a",
        "mxc://hs.test:x/a",
        "mxc://[::1/a",
        "mxc://::1]/a",
        "mxc://[::1%25eth0]/a",
        "mxc://[g::1]/a",
        "mxc://hs_.test/a",
        "mxc://hs.test/ä",
        "mxc://hs.tést/a",
        "mxc://hs.test/٣",  # a digit, but not one of ASCII
        "mxc://" + "a" * 231 + "/b",
        "mxc://a/" + "b" * 256,
    ],
)
def test_what_is_none(uri: object) -> None:
    assert parse_mxc(uri) is None


@given(
    st.one_of(
        st.text(),
        st.text().map("mxc://".__add__),
        st.text(alphabet="ab./:[]%2e?#@\\-_ \0\nä", max_size=30).map("mxc://".__add__),
        st.from_regex(r"mxc://[a-z.\[\]:%]{0,20}/[a-z.%/?#]{0,20}", fullmatch=True),
    )
)
def test_what_is_let_through_stays_two_segments_of_a_path(uri: str) -> None:
    read = parse_mxc(uri)
    if read is None:
        return
    assert str(read) == uri
    made = path("v3", "download", read.server_name, read.media_id, api="_matrix/media").split("/")
    assert len(made) == 6
    for part in (read.server_name, read.media_id):
        assert part.isascii()
        assert not set(part) & set("/\\?#%@ \t\r\n\0")
        assert part.strip(".")
