"""Chats: made, shown, changed, ended. Functions over the SQLite connection, see `rows`."""

from __future__ import annotations

import sqlite3

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.accounts import find_account
from example_bridge.webchat.server.acts import ChangeChat
from example_bridge.webchat.server.events import ChatDeletedEvent, ChatEvent
from example_bridge.webchat.server.media import check_picture
from example_bridge.webchat.server.members import append_member
from example_bridge.webchat.server.rows import (
    RANK,
    append,
    chat_info,
    done,
    left_seq,
    next_seq,
    nothing_to_do,
    rank,
    require_member,
)
from example_bridge.webchat.server.store import Written


def create_chat(
    db: sqlite3.Connection, creator: str, chat: p.ChatInfo, members: tuple[str, ...], now: int, *, reuse: bool
) -> Written[p.Chat]:
    """Make a chat of `members` and the creator. `reuse`: return the direct one these two already have."""
    check_picture(db, creator, chat.avatar_url)
    people = [find_account(db, account) for account in dict.fromkeys((creator, *members))]
    if chat.kind == "direct":
        if len(people) != 2:
            raise p.Refusal("bad_request", "a direct chat has exactly two members")
        found = (
            reuse
            and db.execute(
                "SELECT chat.id FROM chat JOIN member AS a ON a.chat = chat.id JOIN member AS b ON b.chat = chat.id"
                " WHERE chat.kind = 'direct' AND NOT chat.deleted AND a.account = ? AND b.account = ?"
                " ORDER BY chat.rowid LIMIT 1",
                (people[0].id, people[1].id),
            ).fetchone()
        )
        if found:
            return Written(get_chat(db, creator, found[0]))
    try:
        db.execute(
            "INSERT INTO chat (id, kind, name, avatar_url, topic, last_seq) VALUES (?, ?, ?, ?, ?, 0)",
            (chat.id, chat.kind, chat.name, chat.avatar_url, chat.topic),
        )
    except sqlite3.IntegrityError:
        raise p.Refusal("conflict", "this chat id is taken") from None
    roles: dict[str, p.Role] = {creator: "admin"} if chat.kind == "group" else {}
    db.executemany(
        "INSERT INTO member (chat, account, role) VALUES (?, ?, ?)",
        [(chat.id, person.id, roles.get(person.id, "member")) for person in people],
    )
    first = ChatEvent(
        chat=chat.id, seq=next_seq(db, chat.id), timestamp=now, actor=creator, change="created", info=chat
    )
    events = [append(db, first)]
    events += [
        append_member(db, chat.id, creator, "join", person, now, role=roles.get(person.id, "member"))
        for person in people
    ]
    return Written(get_chat(db, creator, chat.id), tuple(events))


def get_chat(db: sqlite3.Connection, account: str, chat: str) -> p.Chat:
    info = chat_info(db, chat)
    until = left_seq(db, account, chat)
    (last,) = db.execute("SELECT last_seq FROM chat WHERE id = ?", (chat,)).fetchone()
    rows = db.execute(
        "SELECT account.id, account.kind, account.name, account.avatar_url, member.role, member.read_seq FROM member"
        " JOIN account ON account.id = member.account WHERE member.chat = ? AND member.left_seq IS NULL"
        " ORDER BY account.id",
        (chat,),
    ).fetchall()
    banned = db.execute("SELECT account FROM ban WHERE chat = ? ORDER BY account", (chat,))
    return p.Chat(
        id=info.id,
        kind=info.kind,
        name=info.name,
        avatar_url=info.avatar_url,
        topic=info.topic,
        last_seq=last if until is None else until,
        members=tuple(p.Account(*row[:4]) for row in rows),
        roles={row[0]: row[4] for row in rows if row[4] != "member"},
        read={row[0]: row[5] for row in rows if row[5]},
        banned=tuple(banned_account for (banned_account,) in banned),
    )


def list_chats(db: sqlite3.Connection, account: str) -> list[p.Chat]:
    """The chats the account is in now."""
    rows = db.execute("SELECT chat FROM member WHERE account = ? AND left_seq IS NULL ORDER BY chat", (account,))
    return [get_chat(db, account, chat) for (chat,) in rows.fetchall()]


def change_chat(db: sqlite3.Connection, account: str, chat: str, change: ChangeChat, now: int) -> Written[p.Receipt]:
    """Any member may. None leaves a field as it is; an empty one is taken away."""
    require_member(db, account, chat)
    old = chat_info(db, chat)
    if change.avatar_url != old.avatar_url:
        check_picture(db, account, change.avatar_url)
    new = p.ChatInfo(
        old.id,
        old.kind,
        old.name if change.name is None else change.name,
        old.avatar_url if change.avatar_url is None else change.avatar_url or None,
        old.topic if change.topic is None else change.topic,
    )
    if new == old:
        return nothing_to_do(db, chat, chat, now)
    db.execute(
        "UPDATE chat SET name = ?, avatar_url = ?, topic = ? WHERE id = ?", (new.name, new.avatar_url, new.topic, chat)
    )
    event = ChatEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=account,
        nonce=change.nonce,
        change="changed",
        info=new,
    )
    return done(append(db, event), chat)


def delete_chat(db: sqlite3.Connection, account: str, chat: str, nonce: str | None, now: int) -> Written[p.Receipt]:
    """Either of a direct chat, an admin or an agent of a group. The history stays for those who were in it."""
    row = db.execute("SELECT deleted FROM chat WHERE id = ?", (chat,)).fetchone()
    if row is not None and row[0]:
        left_seq(db, account, chat)  # forbidden to who never was in it
        return nothing_to_do(db, chat, chat, now)
    require_member(db, account, chat)
    if chat_info(db, chat).kind == "group" and rank(db, account, chat) < RANK["admin"]:
        raise p.Refusal("forbidden", "only admins and agents delete a group")
    event = append(db, ChatDeletedEvent(chat=chat, seq=next_seq(db, chat), timestamp=now, actor=account, nonce=nonce))
    db.execute("UPDATE chat SET deleted = 1 WHERE id = ?", (chat,))
    db.execute("UPDATE member SET left_seq = ? WHERE chat = ? AND left_seq IS NULL", (event.event.seq, chat))
    return done(event, chat)
