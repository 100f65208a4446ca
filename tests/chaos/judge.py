"""What counts as lost, doubled and out of order: one room, one direction, what was accepted against what arrived."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from tests.chaos.words import Piece

Report = Literal["uncertain", "failed"]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the sending side has taken. `sender`: who must stand for its sender at the far end. `at`: ms.

    `stream`: its place in the order in which the side streamed it, None where that is not known. Where that order
    contradicts the one of the list, either is right.
    """

    id: str
    token: str
    words: int
    sender: str
    at: int
    stream: int | None = None


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message at the far end."""

    id: str
    piece: Piece
    sender: str
    at: int


class Way(msgspec.Struct, kw_only=True):
    """One direction of a chat; `room` is given for the way to the network. `reports`: message id -> what its sender was
    told, and when (ms). `late`: how many messages the gap check has said that it bridged late, out of order.
    """

    name: str
    accepted: list[Accepted]
    arrived: list[Arrived]
    reports: dict[str, tuple[Report, int]] = {}
    late: int = 0
    room: str = ""


class Findings(msgspec.Struct, kw_only=True):
    """Counts, and in `problems` a line for each message that is counted as wrong."""

    sent: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    late: int = 0
    uncertain: int = 0
    uncertain_but_sent: int = 0
    uncertain_in_part: int = 0
    failed: int = 0
    misattributed: int = 0
    problems: list[str] = []

    def add(self, other: Findings) -> None:
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))


def judge(way: Way) -> Findings:
    """Compare."""
    found = Findings(sent=len(way.accepted), problems=[])
    accepted: dict[str, list[Accepted]] = {}
    for message in way.accepted:
        accepted.setdefault(message.token, []).append(message)
    arrived: dict[str, list[Arrived]] = {}
    for event in way.arrived:
        arrived.setdefault(event.piece.token, []).append(event)
    for token, strangers in arrived.items():
        if token not in accepted:
            found.duplicated += len(strangers)
            ids = ", ".join(f"{event.id} from {event.sender}" for event in strangers)
            found.problems.append(f"doubled: {way.name}: nobody sent {token!r} there ({ids})")
    for token, messages in accepted.items():
        _judge_one(way, messages, arrived.get(token, []), found)
    _judge_order(way, accepted, found)
    return found


def _judge_one(way: Way, messages: list[Accepted], pieces: list[Arrived], found: Findings) -> None:
    """All messages with one token: one, or several if its sender's homeserver took it twice."""
    size = messages[0].words
    copies = Counter(word for event in pieces for word in range(event.piece.first, event.piece.last + 1))
    whole = min(copies[word] for word in range(size))
    most = max(copies.values(), default=0)
    what = f"{way.name}: {messages[0].token} (accepted as {', '.join(message.id for message in messages)})"
    where = f"at the far end: {[(event.id, event.piece.first, event.piece.last) for event in pieces]}"
    if most > len(messages):
        found.duplicated += most - len(messages)
        found.problems.append(f"doubled: {what}; {where}")
    reported = [way.reports[message.id][0] for message in messages if message.id in way.reports]
    silent = len(messages) - len(reported)
    if whole < silent:
        found.lost += silent - whole
        found.problems.append(f"lost: {what}, {size} words; {where}")
    found.uncertain += reported.count("uncertain")
    found.failed += reported.count("failed")
    found.problems += [f"reported as {report}: {what}; {where}" for report in reported if report == "failed"]
    if reported:
        but_sent = min(len(reported), max(0, whole - silent))
        found.uncertain_but_sent += but_sent
        found.uncertain_in_part += int(not but_sent and most > whole)
    wrong = [event for event in pieces if event.sender != messages[0].sender]
    found.misattributed += len(wrong)
    found.problems += [f"from {event.sender} instead of {messages[0].sender}: {what}" for event in wrong]


def _judge_order(way: Way, accepted: dict[str, list[Accepted]], found: Findings) -> None:
    place = {message.id: index for index, message in enumerate(way.accepted)}
    begun: Counter[str] = Counter()
    sequence: list[Accepted] = []
    before: Arrived | None = None
    for event in way.arrived:
        messages = accepted.get(event.piece.token)
        if messages is None:
            continue
        if event.piece.first > 0:
            # The parts of a message follow each other, with nothing in between.
            follows = before is not None and before.piece.token == event.piece.token
            if not follows or before is None or before.piece.last + 1 != event.piece.first:
                found.reordered += 1
                found.problems.append(f"torn: {way.name}: {event.id} ({event.piece}) came after {before}")
        else:
            nth = begun[event.piece.token]
            begun[event.piece.token] += 1
            if nth < len(messages):
                sequence.append(messages[nth])
        before = event

    def is_pair(earlier: Accepted, later: Accepted) -> bool:
        """Whether the first to arrive was accepted after the second."""
        if place[earlier.id] < place[later.id]:
            return False
        return earlier.stream is None or later.stream is None or earlier.stream > later.stream

    pairs = [
        (first, second)
        for index, first in enumerate(sequence)
        for second in sequence[index + 1 :]
        if is_pair(first, second)
    ]
    # What the gap check has said to be late may be out of order, and nothing else.
    for _ in range(way.late):
        if not pairs:
            break
        most = Counter(message.id for pair in pairs for message in pair).most_common(1)[0][0]
        pairs = [pair for pair in pairs if all(message.id != most for message in pair)]
        found.late += 1
    found.reordered += len(pairs)
    found.problems += [
        f"reordered: {way.name}: {first.token} ({first.id}) came before {second.token} ({second.id})"
        for first, second in pairs[:10]
    ]
