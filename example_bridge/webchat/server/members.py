"""Who is in a chat, as what, and how far they have read. Functions over the SQLite connection, see `rows`."""

from __future__ import annotations

import sqlite3

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.accounts import find_account
from example_bridge.webchat.server.acts import AddMember, Read, RemoveMember, SetRole, Unban
from example_bridge.webchat.server.events import MemberEvent, ReadSignal, RoleEvent, TypingSignal
from example_bridge.webchat.server.rows import (
    RANK,
    append,
    audience,
    done,
    is_member,
    message_of,
    next_seq,
    nothing_to_do,
    rank,
    require_group,
    require_member,
)
from example_bridge.webchat.server.store import Published, Signalled, Written


def add_member(db: sqlite3.Connection, actor: str, chat: str, act: AddMember, now: int) -> Written[p.Receipt]:
    """Any member may bring in anybody who is not banned. Somebody who is already there stays, without an event."""
    require_member(db, actor, chat)
    person = find_account(db, act.member)
    require_group(db, chat)
    if db.execute("SELECT 1 FROM ban WHERE chat = ? AND account = ?", (chat, person.id)).fetchone():
        raise p.Refusal("forbidden", "this person is banned")
    changed = db.execute(
        "INSERT INTO member (chat, account) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET left_seq = NULL, role = 'member' WHERE left_seq IS NOT NULL",
        (chat, person.id),
    ).rowcount
    if not changed:
        return nothing_to_do(db, chat, chat, now)
    return done(append_member(db, chat, actor, "join", person, now, nonce=act.nonce), chat)


def remove_member(db: sqlite3.Connection, actor: str, chat: str, act: RemoveMember, now: int) -> Written[p.Receipt]:
    """Everybody may leave; moderators remove others. Somebody who is not there is no error, and makes no event."""
    person = find_account(db, act.member)
    there = is_member(db, person.id, chat)
    if actor == person.id and not there and _was_member(db, actor, chat):
        return nothing_to_do(db, chat, chat, now)
    require_member(db, actor, chat)
    require_group(db, chat)
    if actor == person.id and act.ban:
        raise p.Refusal("bad_request", "nobody bans themselves")
    if actor != person.id:
        _require_over(db, actor, chat, person.id)
    newly_banned = (
        act.ban
        and db.execute(
            "INSERT INTO ban (chat, account) VALUES (?, ?) ON CONFLICT DO NOTHING", (chat, person.id)
        ).rowcount
    )
    if not there and not newly_banned:
        return nothing_to_do(db, chat, chat, now)
    # Before the row changes: the event's audience still has who is removed.
    event = append_member(
        db, chat, actor, "ban" if act.ban else "leave", person, now, nonce=act.nonce, reason=act.reason
    )
    if there:
        db.execute("UPDATE member SET left_seq = ? WHERE chat = ? AND account = ?", (event.event.seq, chat, person.id))
    return done(event, chat)


def unban(db: sqlite3.Connection, actor: str, chat: str, act: Unban, now: int) -> Written[p.Receipt]:
    """They may be brought in again; they are not by this."""
    require_member(db, actor, chat)
    person = find_account(db, act.member)
    _require_over(db, actor, chat, person.id)
    if not db.execute("DELETE FROM ban WHERE chat = ? AND account = ?", (chat, person.id)).rowcount:
        return nothing_to_do(db, chat, chat, now)
    return done(append_member(db, chat, actor, "unban", person, now, nonce=act.nonce), chat)


def set_role(db: sqlite3.Connection, actor: str, chat: str, act: SetRole, now: int) -> Written[p.Receipt]:
    """Admins and agents may, in groups."""
    require_member(db, actor, chat)
    person = find_account(db, act.member)
    require_group(db, chat)
    if rank(db, actor, chat) < RANK["admin"]:
        raise p.Refusal("forbidden", "only admins and agents give roles")
    if not is_member(db, person.id, chat):
        raise p.Refusal("not_found", "not a member of this chat")
    changed = db.execute(
        "UPDATE member SET role = ? WHERE chat = ? AND account = ? AND role != ?", (act.role, chat, person.id, act.role)
    ).rowcount
    if not changed:
        return nothing_to_do(db, chat, chat, now)
    roles = db.execute(
        "SELECT account, role FROM member WHERE chat = ? AND left_seq IS NULL AND role != 'member'", (chat,)
    )
    event = RoleEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=actor,
        nonce=act.nonce,
        member=person,
        role=act.role,
        roles=dict(roles.fetchall()),
    )
    return done(append(db, event), chat)


def read(db: sqlite3.Connection, account: str, chat: str, act: Read, now: int) -> Written[p.Receipt]:
    """Only forward: an older place than before changes nothing, and nobody is told."""
    require_member(db, account, chat)
    (last,) = db.execute("SELECT last_seq FROM chat WHERE id = ?", (chat,)).fetchone()
    seq = min(act.seq, last) if act.message is None else message_of(db, chat, act.message).seq
    changed = db.execute(
        "UPDATE member SET read_seq = ?, read_at = ? WHERE chat = ? AND account = ? AND read_seq < ?",
        (seq, now, chat, account, seq),
    ).rowcount
    receipt = p.Receipt(chat, seq, now)
    return Written(
        receipt, (Signalled(read_signal(db, chat, account, seq, now), audience(db, chat)),) if changed else ()
    )


def typing(db: sqlite3.Connection, account: str, chat: str, writing: bool, now: int) -> Written[p.Receipt]:
    """Nothing is kept: the others who are there are told."""
    require_member(db, account, chat)
    others = tuple(member for member in audience(db, chat) if member != account)
    nothing = nothing_to_do(db, chat, chat, now)
    return Written(nothing.value, (Signalled(TypingSignal(chat, account, writing), others),))


def read_signal(db: sqlite3.Connection, chat: str, account: str, seq: int, at: int) -> ReadSignal:
    row = db.execute(
        "SELECT message_id FROM event WHERE chat = ? AND seq <= ? AND message_id IS NOT NULL ORDER BY seq DESC LIMIT 1",
        (chat, seq),
    ).fetchone()
    return ReadSignal(chat, account, seq, at, row and row[0])


def append_member(
    db: sqlite3.Connection,
    chat: str,
    actor: str,
    membership: p.Membership,
    person: p.Account,
    now: int,
    *,
    role: p.Role = "member",
    nonce: str | None = None,
    reason: str = "",
) -> Published:
    event = MemberEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=actor,
        nonce=nonce,
        membership=membership,
        member=person,
        role=role,
        reason=reason,
    )
    return append(db, event)


def _was_member(db: sqlite3.Connection, account: str, chat: str) -> bool:
    row = db.execute("SELECT 1 FROM member WHERE chat = ? AND account = ?", (chat, account)).fetchone()
    return row is not None


def _require_over(db: sqlite3.Connection, actor: str, chat: str, other: str) -> None:
    """Moderators, admins and agents may remove those who may not more than they."""
    require_group(db, chat)
    own = rank(db, actor, chat)
    if own < RANK["moderator"]:
        raise p.Refusal("forbidden", "only moderators, admins and agents remove others")
    if own < rank(db, other, chat):
        raise p.Refusal("forbidden", "a moderator does not remove an admin or an agent")
