"""What the operations share. An operation is a function over the SQLite connection and runs on the store's thread.

One that writes runs inside a SQL transaction that the store commits; it raises `Refusal` to have no effect.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.events import EditEvent, KnownEvent, MessageEvent, nonce_of
from example_bridge.webchat.server.store import Published, Written, public_json

RANK: dict[p.Role, int] = {"member": 0, "moderator": 1, "admin": 2}


def once(
    db: sqlite3.Connection,
    account: str,
    nonce: str | None,
    now: int,
    dedupe_ms: int,
    act: Callable[[], Written[p.Receipt]],
) -> Written[p.Receipt]:
    """Do it, unless the account's nonce still counts: then what was answered to it first is the answer."""
    if nonce is None or not dedupe_ms:
        return act()
    db.execute("DELETE FROM nonce WHERE expires <= ?", (now,))
    row = db.execute(
        "SELECT id, seq, timestamp FROM nonce WHERE account = ? AND nonce = ?", (account, nonce)
    ).fetchone()
    if row is not None:
        return Written(p.Receipt(*row))
    written = act()
    receipt = written.value
    db.execute(
        "INSERT INTO nonce (account, nonce, id, seq, timestamp, expires) VALUES (?, ?, ?, ?, ?, ?)",
        (account, nonce, receipt.id, receipt.seq, receipt.timestamp, now + dedupe_ms),
    )
    return written


def next_seq(db: sqlite3.Connection, chat: str) -> int:
    row = db.execute("UPDATE chat SET last_seq = last_seq + 1 WHERE id = ? RETURNING last_seq", (chat,)).fetchall()
    return int(row[0][0])


def append(db: sqlite3.Connection, event: KnownEvent) -> Published:
    message_id = event.message.id if isinstance(event, MessageEvent) else None
    edit_of = event.target if isinstance(event, EditEvent) else None
    db.execute(
        "INSERT INTO event (chat, seq, actor, message_id, edit_of, nonce, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event.chat, event.seq, event.actor, message_id, edit_of, nonce_of(event), public_json(event)),
    )
    return Published(event, audience(db, event.chat))


def rewrite(db: sqlite3.Connection, event: KnownEvent) -> None:
    """What is read from now on in this event's place; who saw the old one is told by another event."""
    db.execute("UPDATE event SET data = ? WHERE chat = ? AND seq = ?", (public_json(event), event.chat, event.seq))


def audience(db: sqlite3.Connection, chat: str) -> tuple[str, ...]:
    """The present members."""
    rows = db.execute("SELECT account FROM member WHERE chat = ? AND left_seq IS NULL", (chat,))
    return tuple(account for (account,) in rows)


def done(event: Published, id: str) -> Written[p.Receipt]:
    return Written(p.Receipt(id, event.event.seq, event.event.timestamp), (event,))


def nothing_to_do(db: sqlite3.Connection, chat: str, id: str, now: int) -> Written[p.Receipt]:
    (last,) = db.execute("SELECT last_seq FROM chat WHERE id = ?", (chat,)).fetchone()
    return Written(p.Receipt(id, last, now))


def chat_info(db: sqlite3.Connection, chat: str) -> p.ChatInfo:
    row = db.execute(
        "SELECT id, kind, name, avatar_url, topic FROM chat WHERE id = ? AND NOT deleted", (chat,)
    ).fetchone()
    if row is None:
        raise p.Refusal("not_found", "no such chat")
    return p.ChatInfo(*row)


def is_member(db: sqlite3.Connection, account: str, chat: str) -> bool:
    row = db.execute("SELECT left_seq IS NULL FROM member WHERE chat = ? AND account = ?", (chat, account)).fetchone()
    return bool(row and row[0])


def require_member(db: sqlite3.Connection, account: str, chat: str) -> None:
    if not is_member(db, account, chat):
        chat_info(db, chat)  # not_found rather than forbidden
        raise p.Refusal("forbidden", "not a member of this chat")


def require_group(db: sqlite3.Connection, chat: str) -> None:
    if chat_info(db, chat).kind != "group":
        raise p.Refusal("forbidden", "a direct chat keeps its two members")


def rank(db: sqlite3.Connection, account: str, chat: str) -> int:
    """What the account may do in a group, as in `RANK`; agents may do everything."""
    row = db.execute(
        "SELECT member.role, account.kind FROM member JOIN account ON account.id = member.account"
        " WHERE member.chat = ? AND member.account = ? AND member.left_seq IS NULL",
        (chat, account),
    ).fetchone()
    if row is None:
        return -1
    return RANK["admin"] if row[1] == "agent" else RANK[row[0]]


def left_seq(db: sqlite3.Connection, account: str, chat: str) -> int | None:
    """Up to which seq the account may see the chat; None: without end."""
    row = db.execute("SELECT left_seq FROM member WHERE chat = ? AND account = ?", (chat, account)).fetchone()
    if row is None:
        raise p.Refusal("forbidden", "never a member of this chat")
    seq: int | None = row[0]
    return seq


def message_of(db: sqlite3.Connection, chat: str, message: str) -> MessageEvent:
    """The event of a message as it is now, without its nonce."""
    row = db.execute("SELECT data FROM event WHERE message_id = ? AND chat = ?", (message, chat)).fetchone()
    if row is None:
        raise p.Refusal("not_found", "no such message in this chat")
    return msgspec.json.decode(row[0], type=MessageEvent)
