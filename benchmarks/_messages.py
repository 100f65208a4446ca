"""Transactions as Synapse sends them: the bytes of whole HTTP requests, made before the clock runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count, islice

TOKEN = "hs_token_of_the_benchmark"
SERVER_NAME = "example.org"
BOT_LOCALPART = "benchbot"
USER = f"@alice:{SERVER_NAME}"
"""Who says everything: the one person with a login, so that every message crosses as that login's."""

ROOMS = tuple(f"!bench{number:04d}abcdefghij:{SERVER_NAME}" for number in range(50))

Post = bytes
"""One HTTP request, head and body."""

_BODIES = (
    "Shall we meet at the station at ten, or is that too early for you? The train leaves at 10:24 from platform 7.",
    "ok, and thank you: I will bring the soup, the bread and the small table, so nobody else needs to carry anything",
    "I have read the whole thread now. Who keeps the keys over the weekend, and where do we put the chairs in rain?",
    "Größe: 42 – passt das? 🙂",
)


def _event(number: int, room: str, sender: str = USER, type: str = "m.room.message") -> dict[str, object]:
    # 43 characters behind the dollar sign, as in every current room version.
    return {
        "age": 38 + number % 90,
        "content": {"body": _BODIES[number % len(_BODIES)], "m.mentions": {}, "msgtype": "m.text"},
        "event_id": f"$Xq{number:041d}",
        "origin_server_ts": 1_760_000_000_000 + number,
        "room_id": room,
        "sender": sender,
        "type": type,
        "unsigned": {"age": 38 + number % 90, "membership": "join"},
        "user_id": sender,
    }


def _post(txn: int, events: Sequence[object]) -> Post:
    # Compact and in UTF-8, as Synapse's encoder writes it.
    body = json.dumps({"events": events}, ensure_ascii=False, separators=(",", ":")).encode()
    head = (
        f"PUT /_matrix/app/v1/transactions/{txn} HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nUser-Agent: Synapse/1.163.2\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Messages:
    """Makes transactions; no event and no transaction id is ever used twice."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._txns = count(1)

    def transactions(self, how_many: int, *, size: int, rooms: Sequence[str] = ROOMS) -> list[Post]:
        """Transactions of `size` messages, spread over the rooms in turn."""
        return list(islice(self._endless(size, rooms), how_many))

    def _endless(self, size: int, rooms: Sequence[str]) -> Iterator[Post]:
        while True:
            numbers = list(islice(self._numbers, size))
            yield _post(next(self._txns), [_event(number, rooms[number % len(rooms)]) for number in numbers])

    def own_event(self, event_id: str) -> Post:
        """The homeserver brings the bot's own event back to it."""
        event = _event(0, ROOMS[0], f"@{BOT_LOCALPART}:{SERVER_NAME}", "io.bridgekit.canary")
        return _post(next(self._txns), [{**event, "event_id": event_id}])


def average_event_bytes() -> float:
    """How large one event's JSON is, in bytes."""
    sizes = [len(json.dumps(_event(n, ROOMS[0]), ensure_ascii=False, separators=(",", ":")).encode()) for n in range(4)]
    return sum(sizes) / len(sizes)
