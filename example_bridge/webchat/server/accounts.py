"""Accounts: made, found, renamed, logged out. Functions over the SQLite connection, see `rows`."""

from __future__ import annotations

import secrets
import sqlite3
from hashlib import sha256

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.events import ProfileEvent
from example_bridge.webchat.server.rows import append, next_seq
from example_bridge.webchat.server.store import Written


def _token_hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def create_account(db: sqlite3.Connection, account: p.Account) -> Written[str]:
    """Returns the account's token, which the network itself does not keep in the clear."""
    token = secrets.token_urlsafe(24)
    try:
        db.execute(
            "INSERT INTO account (id, kind, name, avatar_url, token_hash) VALUES (?, ?, ?, ?, ?)",
            (account.id, account.kind, account.name, account.avatar_url, _token_hash(token)),
        )
    except sqlite3.IntegrityError:
        raise p.Refusal("conflict", "this account id is taken") from None
    return Written(token)


def find_account(db: sqlite3.Connection, account: str) -> p.Account:
    row = db.execute("SELECT id, kind, name, avatar_url FROM account WHERE id = ?", (account,)).fetchone()
    if row is None:
        raise p.Refusal("not_found", "no such account")
    return p.Account(*row)


def list_accounts(db: sqlite3.Connection) -> list[p.Account]:
    rows = db.execute("SELECT id, kind, name, avatar_url FROM account ORDER BY name, id")
    return [p.Account(*row) for row in rows]


def account_of_token(db: sqlite3.Connection, token: str) -> p.Account:
    row = db.execute(
        "SELECT id, kind, name, avatar_url FROM account WHERE token_hash = ?", (_token_hash(token),)
    ).fetchone()
    if row is None:
        raise p.Refusal("unauthorized", "no such token")
    return p.Account(*row)


def set_token(db: sqlite3.Connection, account: str, token: str | None) -> Written[None]:
    """Give the account another token; None revokes the one it has."""
    token_hash = None if token is None else _token_hash(token)
    if not db.execute("UPDATE account SET token_hash = ? WHERE id = ?", (token_hash, account)).rowcount:
        raise p.Refusal("not_found", "no such account")
    return Written(None)


def change_profile(
    db: sqlite3.Connection, account: str, name: str | None, avatar_url: str | None, now: int
) -> Written[p.Account]:
    """None leaves a field as it is; an empty `avatar_url` takes the avatar away. Every chat of the account is told."""
    old = find_account(db, account)
    new = p.Account(
        old.id,
        old.kind,
        old.name if name is None else name,
        old.avatar_url if avatar_url is None else avatar_url or None,
    )
    if new == old:
        return Written(old)
    db.execute("UPDATE account SET name = ?, avatar_url = ? WHERE id = ?", (new.name, new.avatar_url, account))
    chats = db.execute("SELECT chat FROM member WHERE account = ? AND left_seq IS NULL", (account,)).fetchall()
    events = []
    for (chat,) in chats:
        seq = next_seq(db, chat)
        event = ProfileEvent(chat=chat, seq=seq, timestamp=now, actor=account, profile=new)
        events.append(append(db, event))
    return Written(new, tuple(events))
