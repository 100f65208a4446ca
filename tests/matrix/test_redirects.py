"""Where redirects may lead."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bridgekit.matrix.redirects import BadRedirect, Guard, Hop, host_of, is_public

HOME = "https://hs.test/_matrix/client/v1/media/download/hs.test/a"


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "fec0::1",
        "::127.0.0.1",
        "64:ff9b:1::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("location", "url", "token", "home"),
    [
        ("/other?a=b#c", "https://hs.test/other?a=b", True, True),
        ("https://hs.test/x", "https://hs.test/x", True, True),
        ("https://hs.test:443/x", "https://hs.test/x", True, True),
        ("https://HS.test/x", "https://hs.test/x", True, True),
        ("https://hs.test:8448/x", "https://hs.test:8448/x", False, True),
        ("//cdn.test/x", "https://cdn.test/x", False, False),
        ("https://cdn.test/x?sig=%2F", "https://cdn.test/x?sig=%2F", False, False),
        ("https://hs.test.evil.test/x", "https://hs.test.evil.test/x", False, False),
        ("https://9.9.9.9/x", "https://9.9.9.9/x", False, False),
        ("https://cdn.test/a%2Fb+c?d=%2f+%26", "https://cdn.test/a%2Fb+c?d=%2f+%26", False, False),
        ("HTTPS://CDN.test/x", "https://cdn.test/x", False, False),
        ("/\\cdn.test/x", "https://hs.test/\\cdn.test/x", True, True),
        ("/a b/ä", "https://hs.test/a%20b/%C3%A4", True, True),
    ],
)
def test_redirects_that_are_followed(location: str, url: str, token: bool, home: bool) -> None:
    hop = Hop(URL(HOME)).follow(location)
    assert (str(hop.url), hop.token, hop.home) == (url, token, home)


@pytest.mark.parametrize(
    "location",
    [
        "http://hs.test/x",
        "http://cdn.test/x",
        "ftp://cdn.test/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user:secret@cdn.test/x",
        "https://user@cdn.test/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1%25eth0]/x",
        "https://cdn.test:99999/x",
        "https://hs.test\\@cdn.test/x",
        "https://①②⑦.⓪.⓪.①/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://127.0.0.1./x",
        "https://[oops/x",
    ],
)
def test_redirects_that_are_not(location: str) -> None:
    with pytest.raises(BadRedirect):
        Hop(URL(HOME)).follow(location)


def test_nobody_sends_us_back_home_with_the_token() -> None:
    away = Hop(URL(HOME)).follow("https://cdn.test/x")
    back = away.follow("https://hs.test/_synapse/admin")
    assert (back.token, back.home) == (False, False)
    beside = Hop(URL(HOME)).follow("https://hs.test:8448/x").follow("https://hs.test/x")
    assert (beside.token, beside.home) == (False, True)


def test_a_homeserver_without_https() -> None:
    hop = Hop(URL("http://127.0.0.1:8008/x"))
    beside = hop.follow("http://127.0.0.1:9000/x")
    assert (beside.token, beside.home) == (False, True)
    up = hop.follow("https://cdn.test/x")
    with pytest.raises(BadRedirect):
        up.follow("http://cdn.test/x")
    with pytest.raises(BadRedirect):
        hop.follow("http://127.0.0.2/x")


class Names(AbstractResolver):
    def __init__(self) -> None:
        self.addresses = ["127.0.0.1", "9.9.9.9", "10.0.0.1"]
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def test_private_addresses_of_a_name_are_left_out() -> None:
    names = Names()
    guard = Guard(resolver=lambda: names)
    assert [each["host"] for each in await guard.resolve("cdn.test", 443)] == ["9.9.9.9"]
    names.addresses = ["127.0.0.1", "::1"]
    with pytest.raises(BadRedirect, match=r"a private address \(cdn\.test\)"):
        await guard.resolve("cdn.test", 443)
    await guard.close()
    assert names.closed


@pytest.mark.parametrize("named", ["10.0.0.1", "[fd00::1]", "FD00:0::1", "Store.internal", "2130706433"])
def test_hosts_that_the_admin_trusts(named: str) -> None:
    host = host_of(named)
    location = f"https://[{host}]:9000/x" if ":" in host else f"https://{host}:9000/x"
    hop = Hop(URL(HOME)).follow(location, private_hosts={host})
    assert (hop.token, hop.home) == (False, False)
    with pytest.raises(BadRedirect, match=r"from https to http"):
        Hop(URL(HOME)).follow(location.replace("https", "http"), private_hosts={host})
    with pytest.raises(BadRedirect, match=r"media\.private_hosts"):
        Hop(URL(HOME)).follow("https://10.0.0.2/x", private_hosts={host})


def test_nobody_but_the_homeserver_leads_to_hosts_that_the_admin_trusts() -> None:
    trusted = {"store.internal", "10.0.0.1"}
    store = Hop(URL(HOME)).follow("https://store.internal/x", private_hosts=trusted)
    assert store.follow("https://10.0.0.1/x", private_hosts=trusted).trusted
    away = store.follow("https://cdn.test/x", private_hosts=trusted)
    with pytest.raises(BadRedirect, match="somebody else"):
        away.follow("https://store.internal/x", private_hosts=trusted)


async def test_a_name_that_the_admin_trusts_may_stand_for_a_private_address() -> None:
    names = Names()
    names.addresses = ["10.0.0.1"]
    guard = Guard(resolver=lambda: names, private_hosts={"store.internal"})
    assert [each["host"] for each in await guard.resolve("store.internal", 9000)] == ["10.0.0.1"]
    with pytest.raises(BadRedirect, match=r"media\.private_hosts"):
        await guard.resolve("other.internal", 9000)
    await guard.close()
