"""What can be done in the network, as functions over the SQLite connection. They run on the store's thread.

A function that writes runs inside a SQL transaction that the store commits; it raises `Refusal` to have no effect.
"""

from __future__ import annotations

import secrets
import sqlite3
from hashlib import sha256

import msgspec

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.store import Published, Written, public_json


def _token_hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


# -- accounts ---------------------------------------------------------------------------------------------------------


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
        seq = _next_seq(db, chat)
        event = p.ProfileEvent(chat=chat, seq=seq, timestamp=now, actor=account, profile=new)
        events.append(_append(db, event))
    return Written(new, tuple(events))


# -- chats ------------------------------------------------------------------------------------------------------------


def create_chat(
    db: sqlite3.Connection, creator: str, chat: p.ChatInfo, members: tuple[str, ...], now: int, *, reuse: bool
) -> Written[p.Chat]:
    """Make a chat of `members` and the creator. `reuse`: return the direct one these two already have."""
    people = [find_account(db, account) for account in dict.fromkeys((creator, *members))]
    if chat.kind == "direct":
        if len(people) != 2:
            raise p.Refusal("bad_request", "a direct chat has exactly two members")
        found = (
            reuse
            and db.execute(
                "SELECT chat.id FROM chat JOIN member AS a ON a.chat = chat.id JOIN member AS b ON b.chat = chat.id"
                " WHERE chat.kind = 'direct' AND a.account = ? AND b.account = ? ORDER BY chat.rowid LIMIT 1",
                (people[0].id, people[1].id),
            ).fetchone()
        )
        if found:
            return Written(get_chat(db, creator, found[0]))
    try:
        db.execute(
            "INSERT INTO chat (id, kind, name, avatar_url, last_seq) VALUES (?, ?, ?, ?, 0)",
            (chat.id, chat.kind, chat.name, chat.avatar_url),
        )
    except sqlite3.IntegrityError:
        raise p.Refusal("conflict", "this chat id is taken") from None
    db.executemany("INSERT INTO member (chat, account) VALUES (?, ?)", [(chat.id, person.id) for person in people])
    seq = _next_seq(db, chat.id)
    created = p.ChatEvent(chat=chat.id, seq=seq, timestamp=now, actor=creator, change="created", info=chat)
    events = [_append(db, created)]
    events += [_append_member(db, chat.id, creator, "join", person, now) for person in people]
    return Written(get_chat(db, creator, chat.id), tuple(events))


def get_chat(db: sqlite3.Connection, account: str, chat: str) -> p.Chat:
    row = db.execute("SELECT id, kind, name, avatar_url, last_seq FROM chat WHERE id = ?", (chat,)).fetchone()
    if row is None:
        raise p.Refusal("not_found", "no such chat")
    left_seq = _left_seq(db, account, chat)
    members = db.execute(
        "SELECT account.id, account.kind, account.name, account.avatar_url FROM member"
        " JOIN account ON account.id = member.account WHERE member.chat = ? AND member.left_seq IS NULL"
        " ORDER BY account.id",
        (chat,),
    )
    return p.Chat(
        id=row[0],
        kind=row[1],
        name=row[2],
        avatar_url=row[3],
        last_seq=row[4] if left_seq is None else left_seq,
        members=tuple(p.Account(*member) for member in members),
    )


def list_chats(db: sqlite3.Connection, account: str) -> list[p.Chat]:
    """The chats the account is in now."""
    rows = db.execute("SELECT chat FROM member WHERE account = ? AND left_seq IS NULL ORDER BY chat", (account,))
    return [get_chat(db, account, chat) for (chat,) in rows.fetchall()]


def change_chat(
    db: sqlite3.Connection, account: str, chat: str, name: str | None, avatar_url: str | None, now: int
) -> Written[p.Chat]:
    """None leaves a field as it is; an empty `avatar_url` takes the avatar away."""
    _require_member(db, account, chat)
    old = _chat_info(db, chat)
    new = p.ChatInfo(
        old.id,
        old.kind,
        old.name if name is None else name,
        old.avatar_url if avatar_url is None else avatar_url or None,
    )
    if new == old:
        return Written(get_chat(db, account, chat))
    db.execute("UPDATE chat SET name = ?, avatar_url = ? WHERE id = ?", (new.name, new.avatar_url, chat))
    seq = _next_seq(db, chat)
    changed = p.ChatEvent(chat=chat, seq=seq, timestamp=now, actor=account, change="changed", info=new)
    return Written(get_chat(db, account, chat), (_append(db, changed),))


def add_member(db: sqlite3.Connection, actor: str, chat: str, account: str, now: int) -> Written[None]:
    """Any member may bring in anybody. Somebody who is already there stays, without an event."""
    _require_member(db, actor, chat)
    person = find_account(db, account)
    _require_group(db, chat)
    changed = db.execute(
        "INSERT INTO member (chat, account) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET left_seq = NULL WHERE left_seq IS NOT NULL",
        (chat, account),
    ).rowcount
    return Written(None, (_append_member(db, chat, actor, "join", person, now),) if changed else ())


def remove_member(db: sqlite3.Connection, actor: str, chat: str, account: str, now: int) -> Written[None]:
    """Everybody may leave; agents may remove others. Somebody who is not there is no error, and makes no event."""
    _require_member(db, actor, chat)
    person = find_account(db, account)
    _require_group(db, chat)
    if actor != account and find_account(db, actor).kind != "agent":
        raise p.Refusal("forbidden", "only agents remove others")
    if not _is_member(db, account, chat):
        return Written(None)
    event = _append_member(db, chat, actor, "leave", person, now)  # its audience still has the leaver
    db.execute("UPDATE member SET left_seq = ? WHERE chat = ? AND account = ?", (event.event.seq, chat, account))
    return Written(None, (event,))


# -- messages and history ---------------------------------------------------------------------------------------------


def send(
    db: sqlite3.Connection, sender: str, chat: str, draft: p.Draft, now: int, dedupe_ms: int
) -> Written[p.Receipt]:
    """Append a message. A nonce that still counts gets the receipt it got first, and nothing is appended."""
    if draft.nonce is not None and dedupe_ms:
        db.execute("DELETE FROM nonce WHERE expires <= ?", (now,))
        row = db.execute(
            "SELECT message_id, seq, timestamp FROM nonce WHERE account = ? AND nonce = ?", (sender, draft.nonce)
        ).fetchone()
        if row is not None:
            return Written(p.Receipt(*row))
    _require_member(db, sender, chat)
    if draft.shown_as is not None and find_account(db, sender).kind != "agent":
        raise p.Refusal("forbidden", "only agents relay for others")
    if draft.reply_to is not None:
        known = db.execute("SELECT 1 FROM event WHERE message_id = ? AND chat = ?", (draft.reply_to, chat)).fetchone()
        if known is None:
            raise p.Refusal("not_found", "reply_to: no such message in this chat")
    seq = _next_seq(db, chat)
    message = p.Message(
        id="m" + secrets.token_urlsafe(12),
        chat=chat,
        sender=sender,
        timestamp=now,
        text=draft.text,
        format=draft.format,
        mentions=draft.mentions,
        reply_to=draft.reply_to,
        nonce=draft.nonce,
        shown_as=draft.shown_as,
    )
    event = _append(db, p.MessageEvent(chat=chat, seq=seq, timestamp=now, actor=sender, message=message))
    if draft.nonce is not None and dedupe_ms:
        db.execute(
            "INSERT INTO nonce (account, nonce, message_id, seq, timestamp, expires) VALUES (?, ?, ?, ?, ?, ?)",
            (sender, draft.nonce, message.id, seq, now, now + dedupe_ms),
        )
    return Written(p.Receipt(message.id, seq, now), (event,))


def events_after(db: sqlite3.Connection, account: str, chat: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(seq, JSON) of at most `limit` events that the account may see, oldest first."""
    if db.execute("SELECT 1 FROM chat WHERE id = ?", (chat,)).fetchone() is None:
        raise p.Refusal("not_found", "no such chat")
    left_seq = _left_seq(db, account, chat)
    rows = db.execute(
        "SELECT seq, data, nonce, actor FROM event WHERE chat = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (chat, after, (1 << 62) if left_seq is None else left_seq, limit),
    )
    return [
        (seq, data if nonce is None or actor != account else _with_nonce(data, nonce))
        for seq, data, nonce, actor in rows
    ]


def streamable(db: sqlite3.Connection, account: str) -> dict[str, int]:
    """For every chat the account is or was in: the last seq it may see."""
    rows = db.execute(
        "SELECT chat.id, COALESCE(member.left_seq, chat.last_seq) FROM member JOIN chat ON chat.id = member.chat"
        " WHERE member.account = ? ORDER BY chat.rowid",
        (account,),
    )
    return dict(rows.fetchall())


# -- inside -----------------------------------------------------------------------------------------------------------


def _with_nonce(data: bytes, nonce: str) -> bytes:
    event = msgspec.json.decode(data, type=p.MessageEvent)
    return msgspec.json.encode(
        msgspec.structs.replace(event, message=msgspec.structs.replace(event.message, nonce=nonce))
    )


def _next_seq(db: sqlite3.Connection, chat: str) -> int:
    row = db.execute("UPDATE chat SET last_seq = last_seq + 1 WHERE id = ? RETURNING last_seq", (chat,)).fetchall()
    return int(row[0][0])


def _append(db: sqlite3.Connection, event: p.KnownEvent) -> Published:
    message = event.message if isinstance(event, p.MessageEvent) else None
    db.execute(
        "INSERT INTO event (chat, seq, actor, message_id, nonce, data) VALUES (?, ?, ?, ?, ?, ?)",
        (event.chat, event.seq, event.actor, message and message.id, message and message.nonce, public_json(event)),
    )
    audience = db.execute("SELECT account FROM member WHERE chat = ? AND left_seq IS NULL", (event.chat,))
    return Published(event, tuple(account for (account,) in audience))


def _append_member(
    db: sqlite3.Connection, chat: str, actor: str, membership: p.Membership, person: p.Account, now: int
) -> Published:
    seq = _next_seq(db, chat)
    return _append(
        db, p.MemberEvent(chat=chat, seq=seq, timestamp=now, actor=actor, membership=membership, member=person)
    )


def _chat_info(db: sqlite3.Connection, chat: str) -> p.ChatInfo:
    row = db.execute("SELECT id, kind, name, avatar_url FROM chat WHERE id = ?", (chat,)).fetchone()
    if row is None:
        raise p.Refusal("not_found", "no such chat")
    return p.ChatInfo(*row)


def _is_member(db: sqlite3.Connection, account: str, chat: str) -> bool:
    row = db.execute("SELECT left_seq IS NULL FROM member WHERE chat = ? AND account = ?", (chat, account)).fetchone()
    return bool(row and row[0])


def _require_member(db: sqlite3.Connection, account: str, chat: str) -> None:
    if not _is_member(db, account, chat):
        _chat_info(db, chat)  # not_found rather than forbidden
        raise p.Refusal("forbidden", "not a member of this chat")


def _require_group(db: sqlite3.Connection, chat: str) -> None:
    if _chat_info(db, chat).kind != "group":
        raise p.Refusal("forbidden", "a direct chat keeps its two members")


def _left_seq(db: sqlite3.Connection, account: str, chat: str) -> int | None:
    """Up to which seq the account may see the chat; None: without end."""
    row = db.execute("SELECT left_seq FROM member WHERE chat = ? AND account = ?", (chat, account)).fetchone()
    if row is None:
        raise p.Refusal("forbidden", "never a member of this chat")
    left_seq: int | None = row[0]
    return left_seq
