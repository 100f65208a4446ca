"""Session descriptions (RFC 8866) as far as a call's way through the bridge needs them: read without losing a line that
we do not know, candidates put in and taken out, streams named.

Whatever reads is given what anybody may have sent: it raises `BadSDP`, and nothing else. What changes a description is
idempotent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

import msgspec

from bridgekit.model.calls import CallKind, Candidate

MAX_BYTES: Final = 64 * 1024
MAX_SECTIONS: Final = 32
MAX_CANDIDATES: Final = 256
"""So many in one description; what is beyond is left out."""

DISCARD_PORT: Final = 9
"""RFC 8840: the port of a description whose candidates are yet to come."""

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_MEDIA = re.compile(r"m=(\S+) ([0-9]{1,5})((?:/[0-9]+)? [^\r\n]*)")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_TYPES = {"relay": 0, "srflx": 1, "prflx": 2, "host": 3}


class BadSDP(ValueError):
    """This is no session description, or one that is too large."""


class Section:
    """A media section. `lines` begin with the ``m=`` line and have their line ends."""

    __slots__ = ("lines",)

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    @property
    def _media(self) -> re.Match[str]:
        found = _MEDIA.match(self.lines[0])
        if found is None:
            raise BadSDP("a media section without kind and port")
        return found

    @property
    def kind(self) -> str:
        return self._media[1]

    @property
    def port(self) -> int:
        return int(self._media[2])

    @property
    def refused(self) -> bool:
        """RFC 3264: port 0, but for sections that are sent together with another one (RFC 9143)."""
        return self.port == 0 and self.value("bundle-only") is None

    def values(self, name: str) -> Iterator[str]:
        """Of each ``a=name:value`` its value, ``""`` where it has none."""
        prefix = f"a={name}"  # most lines are not it, and this is asked of all of them
        for line in self.lines:
            if line.startswith(prefix) and (found := _attribute(line, name)) is not None:
                yield found

    def value(self, name: str) -> str | None:
        return next(self.values(name), None)

    def without(self, *names: str) -> None:
        """Take attributes out."""
        prefixes = tuple(f"a={name}" for name in names)
        self.lines = [
            line
            for line in self.lines
            if not line.startswith(prefixes) or all(_attribute(line, name) is None for name in names)
        ]


class Description:
    """A description taken apart: the lines before the first section, and the sections."""

    __slots__ = ("head", "sections")

    def __init__(self, head: list[str], sections: list[Section]) -> None:
        self.head = head
        self.sections = sections

    def value(self, section: Section, name: str) -> str | None:
        """An attribute of a section, or else of the whole."""
        own = section.value(name)
        return own if own is not None else Section(self.head).value(name)

    def direction(self, section: Section) -> str:
        for where in (section.lines, self.head):
            for line in where:
                if line.startswith(("a=send", "a=recvonly", "a=inactive")) and (said := line[2:].strip()) in DIRECTIONS:
                    return said
        return "sendrecv"

    def sends(self, section: Section) -> bool:
        return not section.refused and self.direction(section) in ("sendrecv", "sendonly")

    def place(self, candidate: Candidate) -> Section:
        """Which section a candidate is for: by its tag, by its number, else the first."""
        for section in self.sections:
            if candidate.mid is not None and section.value("mid") == candidate.mid:
                return section
        index = candidate.index if candidate.index is not None else 0
        return self.sections[index if 0 <= index < len(self.sections) else 0]

    def render(self) -> str:
        return "".join(line for part in (self.head, *(one.lines for one in self.sections)) for line in part)


def parse(text: str) -> Description:
    """Take a description apart; `Description.render` gives the same text again."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadSDP(f"a description of more than {MAX_BYTES // 1024} KiB")
    if "\0" in text or not text.startswith("v=0"):
        raise BadSDP("no session description")
    head: list[str] = []
    sections: list[Section] = []
    for line in _LINE.findall(text):
        if line.startswith("m="):
            sections.append(Section([line]))
        else:
            (sections[-1].lines if sections else head).append(line)
    if not 0 < len(sections) <= MAX_SECTIONS:
        raise BadSDP("no media, or too many")
    for section in sections:
        section.port  # noqa: B018 - raises
    return Description(head, sections)


def tidy(text: str) -> str:
    """The same with every line ended as RFC 8866 says, and without empty lines: what browsers insist on. Raises
    `BadSDP`."""
    parse(text)
    lines = [line.rstrip("\r\n") for line in _LINE.findall(text)]
    made = "".join(f"{line}\r\n" for line in lines if line.strip())
    if made != text:
        parse(made)  # a line more to end can make it too large
    return made


# --- what it says -----------------------------------------------------------------------------------------------
class Facts(msgspec.Struct, frozen=True):
    """What a call must know of a description.

    `ufrags`: the generations of its sections' candidates. `candidates`: whether it has usable ones. `complete`: that it
    has all. `held`: its side takes nothing in. `kind`: whether there is video in it.
    """

    ufrags: tuple[str, ...]
    candidates: bool
    complete: bool
    held: bool
    kind: CallKind


@lru_cache(16)  # a description that waits is looked at again for each candidate, and for its timer
def facts(text: str) -> Facts:
    """Raises `BadSDP`."""
    description = parse(text)
    live = [one for one in description.sections if not one.refused]
    ufrags = tuple(dict.fromkeys(filter(None, (description.value(one, "ice-ufrag") for one in live))))
    has = any(_usable(value) for one in live for value in one.values("candidate"))
    ended = any(description.value(one, "end-of-candidates") is not None for one in live)
    trickles = any("trickle" in (description.value(one, "ice-options") or "").split() for one in live)
    media = [one for one in live if one.kind in ("audio", "video")]
    return Facts(
        ufrags=ufrags,
        candidates=has,
        complete=ended or (has and not trickles),
        held=bool(media) and all(description.direction(one) in ("sendonly", "inactive") for one in media),
        kind=CallKind.VIDEO
        if any(one.kind == "video" and description.direction(one) != "inactive" for one in media)
        else CallKind.AUDIO,
    )


# --- candidates -------------------------------------------------------------------------------------------------
def usable(candidate: Candidate) -> bool:
    """Whether an end without trickle ICE can use it: UDP, and an address rather than a name that, as a rule,
    only its own network knows (mDNS)."""
    return _usable(candidate.candidate.removeprefix("candidate:"))


def _usable(value: str) -> bool:
    fields = value.split()
    return (
        len(fields) >= 8
        and fields[2].lower() == "udp"
        and _is_address(fields[4])
        and fields[5].isascii()
        and fields[5].isdigit()
        and 0 < int(fields[5][:6]) < 65536
        and fields[6] == "typ"
        and is_line(value)
    )


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return "%" not in value  # RFC 4007: a zone means something on one machine only


def same(candidate: Candidate | str) -> tuple[str, ...]:
    """What makes two candidates the same: foundation, component, transport, priority, address, port and type."""
    value = candidate if isinstance(candidate, str) else candidate.candidate.removeprefix("candidate:")
    fields = value.split()[:8]
    return tuple(field.lower() if number in (2, 4) else field for number, field in enumerate(fields))


def generations(candidate: Candidate) -> set[str]:
    """The user fragments that a candidate says it belongs to: none where it does not say, two where it contradicts
    itself."""
    fields = candidate.candidate.split()
    inside = (value for name, value in zip(fields[8::2], fields[9::2], strict=False) if name == "ufrag")
    return {one for one in (candidate.ufrag, *inside) if one}


def is_line(value: str) -> bool:
    """Whether a candidate is one line of printable ASCII: another would put lines of its own into a description."""
    return all(32 <= ord(letter) < 127 for letter in value)


def belongs(candidate: Candidate, ufrags: Collection[str | None]) -> bool:
    """Whether a candidate can be of one of these generations."""
    return all(one in ufrags for one in generations(candidate))


def merge(text: str, candidates: Iterable[Candidate], *, final: bool = True) -> str:
    """The description with these candidates in it, each once, those of other generations left out.

    `final`: for an end without trickle ICE. Then what it cannot use is left out, too, there is a real address for
    whoever reads no candidates, and the description says that it is complete. Raises `BadSDP`.
    """
    description = parse(tidy(text))
    pools: dict[int, dict[tuple[str, ...], str]] = {}
    total = 0
    given = [
        (section, Candidate(f"candidate:{value}"))
        for section in description.sections
        for value in section.values("candidate")
    ]
    for section, candidate in [*given, *((description.place(one), one) for one in candidates)]:
        ufrag = description.value(section, "ice-ufrag")
        if section.refused or not is_line(candidate.candidate) or not belongs(candidate, (ufrag,)):
            continue
        if final and not usable(candidate):
            continue
        pool = pools.setdefault(id(section), {})
        if same(candidate) not in pool and total < MAX_CANDIDATES:
            pool[same(candidate)] = candidate.candidate.removeprefix("candidate:")
            total += 1
    for section in description.sections:
        section.without("candidate", *(("end-of-candidates",) if final else ()))
        found = pools.get(id(section), {})
        section.lines += [f"a=candidate:{value}\r\n" for value in found.values()]
        if found and final:
            section.lines.append("a=end-of-candidates\r\n")
            _default(section, found.values())
    if final:
        description.head = _without_end(description.head)  # each section says that for itself
        _default_for_bundled(description)
        _without_trickle(description)
    return description.render()


def _default(section: Section, values: Iterable[str]) -> None:
    if section.port != DISCARD_PORT:
        return
    fields = [value.split() for value in values]
    # RFC 8445, 5.1.4: relayed ones first, for they reach most; and who reads only this may know no IPv6.
    ranked = sorted(
        (one for one in fields if one[1] == "1"),
        key=lambda one: (_IPV4.fullmatch(one[4]) is None, _TYPES.get(one[7], 9)),
    )
    if ranked:
        _address(section, ranked[0][5], ranked[0][4])


def _address(section: Section, port: str, address: str) -> None:
    family = "IP4" if _IPV4.fullmatch(address) else "IP6"
    where = f"IN {family} {address}"
    media = section._media
    lines = [f"m={media[1]} {int(port)}{media[3]}\r\n"]
    for line in section.lines[1:]:
        if line.startswith("c="):
            continue
        lines.append(f"a=rtcp:{int(port)} {where}\r\n" if _attribute(line, "rtcp") is not None else line)
    after = next((n for n, line in enumerate(lines) if n and not line.startswith("i=")), len(lines))
    lines.insert(after, f"c={where}\r\n")
    section.lines = lines


def _default_for_bundled(description: Description) -> None:
    """RFC 9143: what is bundled goes where the first one of its group goes."""
    for group in Section(description.head).values("group"):
        kind, _, mids = group.partition(" ")
        members = [one for one in description.sections if one.value("mid") in mids.split() and not one.refused]
        real = [one for one in members if one.port not in (0, DISCARD_PORT)]
        if kind != "BUNDLE" or not real:
            continue
        connection = next((line for line in real[0].lines if line.startswith("c=")), None)
        if connection is None:
            continue
        address = connection.split()[-1]
        for section in members:
            if section.port == DISCARD_PORT:
                _address(section, str(real[0].port), address)


def _without_trickle(description: Description) -> None:
    for lines in (description.head, *(one.lines for one in description.sections)):
        for number in range(len(lines) - 1, -1, -1):
            if not lines[number].startswith("a=ice-options"):
                continue
            options = _attribute(lines[number], "ice-options")
            if options is not None and "trickle" in options.split():
                left = [one for one in options.split() if one != "trickle"]
                lines[number : number + 1] = [f"a=ice-options:{' '.join(left)}\r\n"] if left else []


def split(text: str) -> tuple[str, tuple[Candidate, ...], bool]:
    """The other way, for a network that takes candidates one by one: the description without them, what was in it, and
    whether that was all. Raises `BadSDP`."""
    description = parse(tidy(text))
    complete = facts(text).complete
    found = [
        Candidate(f"candidate:{value}", section.value("mid"), number, description.value(section, "ice-ufrag"))
        for number, section in enumerate(description.sections)
        for value in section.values("candidate")
    ]
    for section in description.sections:
        section.without("candidate", "end-of-candidates")
    description.head = _without_end(description.head)
    return description.render(), tuple(found[:MAX_CANDIDATES]), complete


def _without_end(lines: list[str]) -> list[str]:
    return [line for line in lines if _attribute(line, "end-of-candidates") is None]


def _attribute(line: str, name: str) -> str | None:
    if not line.startswith("a=" + name):
        return None
    rest = line[2 + len(name) :].rstrip("\r\n")
    if rest.startswith(":"):
        return rest[1:]
    return "" if not rest.strip() else None
