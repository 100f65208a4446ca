"""What counts as lost, doubled, out of order and wrong in the end: one room, one direction, what was accepted against
what arrived, each as it is after all edits, reactions and deletions."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from tests.chaos.files import Shown
from tests.chaos.words import Piece

Report = Literal["uncertain", "failed"]

Reactions = frozenset[tuple[str, str]]
"""Who (the network's account) has reacted with what. A set: an account reacts with each emoji once."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the sending side has taken. `sender`: who must stand for its sender at the far end. `at`: ms.

    In the end it is `words` words of its edit number `revision`, with `reactions`, or `deleted`. `file`: what was sent
    with it, of which the words are the caption. `stream`: its place in
    the order in which the side streamed it, None where that is not known. Where that order contradicts the one of the
    list, either is right.
    """

    id: str
    token: str
    words: int
    sender: str
    at: int
    stream: int | None = None
    revision: int = 0
    deleted: bool = False
    reactions: Reactions = frozenset()
    file: Shown | None = None


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message at the far end, with the text and the files that it has in the end; one that is deleted there is
    none."""

    id: str
    piece: Piece
    sender: str
    at: int
    files: tuple[Shown, ...] = ()


class Way(msgspec.Struct, kw_only=True):
    """One direction of a chat; `room` is given for the way to the network. `reports`: message id -> what its sender was
    told, and when (ms). `refused`: message id -> what the bridge said of changes to it that did not cross. `late`: how
    many messages the gap check has said that it bridged late, out of order. `reactions`: token -> those at the far end.
    """

    name: str
    accepted: list[Accepted]
    arrived: list[Arrived]
    reports: dict[str, tuple[Report, int]] = {}
    refused: dict[str, list[str]] = {}
    late: int = 0
    room: str = ""
    reactions: dict[str, Reactions] = {}


class Findings(msgspec.Struct, kw_only=True):
    """Counts, and in `problems` a line for each message that is counted as wrong. `wrong_files`: messages that do not
    have exactly the file that was sent with them, whole; `dead_placeholders`: such that have it, but its bytes are not
    to be had. `refused`: changes of messages that
    were there, of which the bridge said that they did not cross; those of a message that is deleted by now, or that
    itself was reported, are none."""

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
    wrong_text: int = 0
    wrong_reactions: int = 0
    undeleted: int = 0
    wrong_files: int = 0
    dead_placeholders: int = 0
    refused: int = 0
    problems: list[str] = []

    def wrong(self) -> int:
        """Messages that are not in the end what they should be."""
        return self.wrong_text + self.wrong_reactions + self.undeleted + self.wrong_files + self.dead_placeholders

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
    what = f"{way.name}: {messages[0].token} (accepted as {', '.join(message.id for message in messages)})"
    where = f"at the far end: {[(event.id, _span(event.piece)) for event in pieces]}"
    _judge_state(way, messages, pieces, found, what=what, where=where)
    _judge_files(messages, pieces, found, what=what)
    messages = [message for message in messages if not message.deleted]
    if not messages:
        return
    # By their places: a text that is not the last one is wrong, and not lost besides.
    stale = any(event.piece.revision != messages[0].revision for event in pieces)
    if stale:
        size = 1
    copies = Counter(
        word for event in pieces for word in range(event.piece.first, event.piece.last + 1) if not stale or word == 0
    )
    whole = min(copies[word] for word in range(size))
    most = max(copies.values(), default=0)
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


def _judge_state(
    way: Way, messages: list[Accepted], pieces: list[Arrived], found: Findings, *, what: str, where: str
) -> None:
    """What it says in the end, what was reacted to it, and whether it is there at all."""
    gone = all(message.deleted for message in messages)
    reported = any(message.id in way.reports for message in messages)
    if gone and pieces:
        found.undeleted += 1
        found.problems.append(f"not deleted: {what}; {where}")
    if gone or reported:
        # What was to be changed was not there (any more), or nobody knew.
        return
    for message in messages:
        for words in way.refused.get(message.id, []):
            found.refused += 1
            found.problems.append(f"refused: {what}: {words!r}")
    if len(messages) > 1 or not pieces:
        return  # which of several was changed is not known; what is not there is lost
    (message,) = messages
    if any(event.piece.revision != message.revision for event in pieces):
        found.wrong_text += 1
        found.problems.append(f"wrong text: {what}, after {message.revision} edits; {where}")
    if (there := way.reactions.get(message.token, frozenset())) != message.reactions:
        found.wrong_reactions += 1
        found.problems.append(
            f"wrong reactions: {what}: missing {sorted(message.reactions - there)}, "
            f"too many {sorted(there - message.reactions)}; {where}"
        )


def _judge_files(messages: list[Accepted], pieces: list[Arrived], found: Findings, *, what: str) -> None:
    """Each message that is there has its file, whether its sender was told that nobody knows, or not."""
    if all(message.deleted for message in messages):
        return
    expected = messages[0].file
    for event in pieces:
        # Of a message in several parts the first has the file.
        due = (expected,) if expected is not None and event.piece.first == 0 else ()
        if event.files == due:
            continue
        if len(due) == len(event.files) == 1 and event.files[0].sha256 == "":
            found.dead_placeholders += 1
            found.problems.append(f"dead placeholder: {what}; {event.id} at the far end shows {event.files}")
        else:
            found.wrong_files += 1
            found.problems.append(f"wrong files: {what}; {event.id} at the far end has {event.files} instead of {due}")


def _span(piece: Piece) -> str:
    return f"{piece.first}-{piece.last}" + (f" of edit {piece.revision}" if piece.revision else "")


def _judge_order(way: Way, accepted: dict[str, list[Accepted]], found: Findings) -> None:
    place = {message.id: index for index, message in enumerate(way.accepted)}
    begun: Counter[str] = Counter()
    sequence: list[Accepted] = []
    before: Arrived | None = None
    for event in way.arrived:
        messages = accepted.get(event.piece.token)
        if messages is None:
            continue
        if event.piece.first > 0 and event.piece.revision:
            # A part that an edit has added stands at the end of the chat.
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
