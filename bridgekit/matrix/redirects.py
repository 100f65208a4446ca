"""Where a redirect of the homeserver's may lead (MSC3860, MSC3916). No I/O, but for the names that are looked up."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Collection

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

STATUSES = frozenset({301, 302, 303, 307, 308})
"""The specification says 307 and 308; what they lead to says the others too."""

MAX_HOPS = 5

SETTING = "; where that is right, name the host in media.private_hosts"

_PLAIN = re.compile(r"[!-~]+")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class BadRedirect(Exception):
    """A redirect that must not be followed, and why, in words."""


def is_public(address: str) -> bool:
    """Whether anybody on the internet could reach this IP address: not a loopback, private, link-local or other special
    one, whichever way it is written."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_for_all(each) for each in _meant(ip))


def _is_for_all(ip: _Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:  # RFC 3879: private, and no longer given out
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def host_of(named: str) -> str:
    """A host as `URL.raw_host` has it: in lower case, an IPv6 address in its short form and without brackets."""
    bare = named.strip("[]").lower()
    return str(ipaddress.ip_address(bare)) if _is_address(bare) else bare


def _meant(ip: _Address) -> list[_Address]:
    """The address, or the IPv4 addresses that it stands for."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if ip.teredo is not None:
        return list(ip.teredo)
    return [ip]


class Hop:
    """A request on the way to a file.

    `token`: it goes to the homeserver itself, and so bears the token. `home`: to the homeserver's own host, of which
    nothing is asked. `trusted`: so far nobody has led it but the homeserver, and hosts that the admin trusts. All are
    lost for good with the first step away: else somebody else could send us back with them.
    """

    def __init__(self, url: URL, *, token: bool = True, home: bool = True, trusted: bool = True) -> None:
        self.url = url
        self.token = token
        self.home = home
        self.trusted = trusted

    def follow(
        self,
        location: str,
        *,
        reachable: Callable[[str], bool] = is_public,
        private_hosts: Collection[str] = frozenset(),
    ) -> Hop:
        """The next one, where this one's answer says. Raises `BadRedirect`. `reachable` judges an IP address; what a
        name stands for is judged by `Guard`. `private_hosts` (`host_of`) are trusted by the admin, whatever they are.
        """
        try:
            url = self.url.join(_read(location)).with_fragment(None)
        except ValueError:
            raise BadRedirect("it redirects to what is no address") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise BadRedirect(f"it redirects to what is not the web ({url.scheme or 'no'} scheme)")
        if self.url.scheme == "https" and url.scheme != "https":
            raise BadRedirect(f"it redirects from https to http ({url.host})")
        if url.user is not None or url.password is not None:
            raise BadRedirect(f"it redirects with a password ({url.host})")
        home = self.home and url.host == self.url.host
        is_private = url.raw_host in private_hosts
        if is_private and not self.trusted:
            raise BadRedirect(
                f"somebody else than the homeserver redirects to a host of media.private_hosts ({url.host})"
            )
        trusted = home or is_private
        if not trusted and _is_address(url.host) and not reachable(url.host):
            raise BadRedirect(f"it redirects to a private address ({url.host}){SETTING}")
        if not trusted and not _is_address(url.host) and _is_numeric(url.host):
            # The operating system takes 2130706433 and 127.1 for addresses; no resolver is asked for them, nor `Guard`.
            raise BadRedirect(f"it redirects to what is neither a name nor an address ({url.host})")
        return Hop(url, token=self.token and _origin(url) == _origin(self.url), home=home, trusted=trusted)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.host, url.port


def _read(location: str) -> URL:
    """As it is written, where that is possible: many a store signs what stands there."""
    url = URL(location)
    if _PLAIN.fullmatch(location) and (raw := URL(location, encoded=True)).raw_host == url.raw_host:
        return raw
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_numeric(host: str) -> bool:
    """Whether its last part is a number, as in no name (WHATWG URL, "ends in a number")."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0[xX][0-9A-Fa-f]*", last) is not None


class Guard(AbstractResolver):
    """Looks up names for requests to others than the homeserver: private addresses are left out; a name that has no
    other raises `BadRedirect`.

    `private_hosts` are left as they are.

    The connection is made to what this returned, so a name that stands for another address a moment later (DNS
    rebinding) gains nothing.
    """

    def __init__(
        self,
        *,
        reachable: Callable[[str], bool] = is_public,
        private_hosts: Collection[str] = frozenset(),
        resolver: Callable[[], AbstractResolver] | None = None,
    ) -> None:
        self.reachable = reachable
        self.private_hosts = private_hosts
        self._resolver = (resolver or ThreadedResolver)()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host in self.private_hosts:
            return found
        public = [each for each in found if self.reachable(each["host"])]
        if not public:
            raise BadRedirect(f"it redirects to a private address ({host}){SETTING}")
        return public

    async def close(self) -> None:
        await self._resolver.close()
