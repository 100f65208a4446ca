"""What was, read again: events after a cursor, and how far everybody has read. Queries, see `rows`."""

from __future__ import annotations

import sqlite3

import msgspec

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.events import KnownEvent, ReadSignal, with_nonce
from example_bridge.webchat.server.members import read_signal
from example_bridge.webchat.server.rows import left_seq


def events_after(db: sqlite3.Connection, account: str, chat: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(seq, JSON) of at most `limit` events that the account may see, oldest first."""
    if db.execute("SELECT 1 FROM chat WHERE id = ?", (chat,)).fetchone() is None:
        raise p.Refusal("not_found", "no such chat")
    until = left_seq(db, account, chat)
    rows = db.execute(
        "SELECT seq, data, nonce, actor FROM event WHERE chat = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (chat, after, (1 << 62) if until is None else until, limit),
    )
    return [(seq, data if nonce is None or actor != account else _own(data, nonce)) for seq, data, nonce, actor in rows]


def streamable(db: sqlite3.Connection, account: str) -> dict[str, int]:
    """For every chat the account is or was in: the last seq it may see."""
    rows = db.execute(
        "SELECT chat.id, COALESCE(member.left_seq, chat.last_seq) FROM member JOIN chat ON chat.id = member.chat"
        " WHERE member.account = ? ORDER BY chat.rowid",
        (account,),
    )
    return dict(rows.fetchall())


def reads(db: sqlite3.Connection, account: str) -> list[ReadSignal]:
    """How far everybody has read in the chats that the account is in."""
    rows = db.execute(
        "SELECT other.chat, other.account, other.read_seq, other.read_at FROM member AS own"
        " JOIN member AS other ON other.chat = own.chat AND other.left_seq IS NULL AND other.read_seq > 0"
        " WHERE own.account = ? AND own.left_seq IS NULL",
        (account,),
    )
    return [read_signal(db, *row) for row in rows.fetchall()]


def _own(data: bytes, nonce: str) -> bytes:
    return msgspec.json.encode(with_nonce(msgspec.json.decode(data, type=KnownEvent), nonce))
