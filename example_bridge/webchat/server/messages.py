"""Messages: said, edited, deleted, reacted to. Functions over the SQLite connection, see `rows`."""

from __future__ import annotations

import secrets
import sqlite3

import msgspec

from example_bridge.webchat.server import media
from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.accounts import find_account
from example_bridge.webchat.server.acts import Delete, Draft, Edit, React
from example_bridge.webchat.server.events import DeleteEvent, EditEvent, MessageEvent, ReactionEvent
from example_bridge.webchat.server.rows import (
    RANK,
    append,
    chat_info,
    done,
    message_of,
    next_seq,
    nothing_to_do,
    rank,
    require_member,
    rewrite,
)
from example_bridge.webchat.server.store import Written


def send(db: sqlite3.Connection, sender: str, chat: str, draft: Draft, now: int) -> Written[p.Receipt]:
    require_member(db, sender, chat)
    if draft.shown_as is not None and find_account(db, sender).kind != "agent":
        raise p.Refusal("forbidden", "only agents relay for others")
    if draft.reply_to is not None:
        known = db.execute("SELECT 1 FROM event WHERE message_id = ? AND chat = ?", (draft.reply_to, chat)).fetchone()
        if known is None:
            raise p.Refusal("not_found", "reply_to: no such message in this chat")
    _require_mentions(db, sender, chat, draft.mentions)
    id = "m" + secrets.token_urlsafe(12)
    message = p.Message(
        id=id,
        chat=chat,
        sender=sender,
        timestamp=now,
        text=draft.text,
        format=draft.format,
        mentions=draft.mentions,
        reply_to=draft.reply_to,
        nonce=draft.nonce,
        shown_as=draft.shown_as,
        files=media.attach(db, sender, id, draft.files),
        location=draft.location,
    )
    event = MessageEvent(chat=chat, seq=next_seq(db, chat), timestamp=now, actor=sender, message=message)
    return done(append(db, event), message.id)


def edit(db: sqlite3.Connection, sender: str, chat: str, act: Edit, now: int) -> Written[p.Receipt]:
    """Only the sender. The message's own event says the new text from now on, and no older one is kept. Files stay."""
    require_member(db, sender, chat)
    old = message_of(db, chat, act.target)
    if old.message.sender != sender:
        raise p.Refusal("forbidden", "only the sender edits a message")
    if old.message.deleted:
        raise p.Refusal("not_found", "this message was deleted")
    if not act.text and not old.message.files and old.message.location is None:
        raise p.Refusal("bad_request", "text: empty")
    _require_mentions(db, sender, chat, act.mentions)
    said = old.message.text, old.message.format, old.message.mentions
    if said == (act.text, act.format, act.mentions):
        return nothing_to_do(db, chat, act.target, now)
    message = msgspec.structs.replace(
        old.message,
        text=act.text,
        format=act.format,
        mentions=act.mentions,
        revision=old.message.revision + 1,
        edited_at=now,
    )
    rewrite(db, msgspec.structs.replace(old, message=message))
    _supersede_edit(db, chat, act.target)
    event = EditEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=sender,
        nonce=act.nonce,
        target=act.target,
        revision=message.revision,
        text=act.text,
        format=act.format,
        mentions=act.mentions,
    )
    return done(append(db, event), act.target)


def delete(db: sqlite3.Connection, actor: str, chat: str, act: Delete, now: int) -> Written[p.Receipt]:
    """The sender, in groups moderators too. What it said is gone from the history; its place stays."""
    require_member(db, actor, chat)
    old = message_of(db, chat, act.target)
    if old.message.sender != actor:
        group = chat_info(db, chat).kind == "group"
        if not group or rank(db, actor, chat) < RANK["moderator"]:
            raise p.Refusal("forbidden", "only the sender, a moderator, an admin or an agent deletes a message")
    if old.message.deleted:
        return nothing_to_do(db, chat, act.target, now)
    tombstone = p.Message(
        id=old.message.id,
        chat=chat,
        sender=old.message.sender,
        timestamp=old.message.timestamp,
        text="",
        revision=old.message.revision,
        deleted=True,
    )
    rewrite(db, msgspec.structs.replace(old, message=tombstone))
    _supersede_edit(db, chat, act.target)
    db.execute("DELETE FROM reaction WHERE message_id = ?", (act.target,))
    media.release(db, act.target)
    event = DeleteEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=actor,
        nonce=act.nonce,
        target=act.target,
        reason=act.reason,
    )
    return done(append(db, event), act.target)


def react(db: sqlite3.Connection, actor: str, chat: str, act: React, now: int) -> Written[p.Receipt]:
    """Each person has a set of emoji on each message: one that is in it already, or is not, changes nothing."""
    require_member(db, actor, chat)
    if message_of(db, chat, act.target).message.deleted:
        raise p.Refusal("not_found", "this message was deleted")
    emoji = _spelt(db, act.target, act.emoji)
    key = (act.target, actor, emoji)
    if act.added:
        changed = db.execute(
            "INSERT INTO reaction (message_id, account, emoji) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", key
        ).rowcount
    else:
        changed = db.execute("DELETE FROM reaction WHERE message_id = ? AND account = ? AND emoji = ?", key).rowcount
    if not changed:
        return nothing_to_do(db, chat, act.target, now)
    event = ReactionEvent(
        chat=chat,
        seq=next_seq(db, chat),
        timestamp=now,
        actor=actor,
        nonce=act.nonce,
        target=act.target,
        emoji=emoji,
        added=act.added,
    )
    return done(append(db, event), act.target)


def _supersede_edit(db: sqlite3.Connection, chat: str, message: str) -> None:
    """Take the text out of the message's last edit event; those before it have lost theirs already."""
    row = db.execute(
        "SELECT data FROM event WHERE edit_of = ? AND chat = ? ORDER BY seq DESC LIMIT 1", (message, chat)
    ).fetchone()
    if row is not None:
        last = msgspec.json.decode(row[0], type=EditEvent)
        rewrite(db, msgspec.structs.replace(last, text="", format=(), mentions=(), superseded=True))


def _spelt(db: sqlite3.Connection, message: str, emoji: str) -> str:
    """The emoji as it was first written at this message: clients do not agree on variation selectors."""
    there = db.execute("SELECT DISTINCT emoji FROM reaction WHERE message_id = ?", (message,)).fetchall()
    return next((str(each) for (each,) in there if _bare(each) == _bare(emoji)), emoji)


def _bare(emoji: str) -> str:
    return emoji.replace("\ufe0f", "").replace("\ufe0e", "")


def _require_mentions(db: sqlite3.Connection, sender: str, chat: str, mentions: tuple[p.Mention, ...]) -> None:
    if any(mention.room for mention in mentions):
        if chat_info(db, chat).kind != "group":
            raise p.Refusal("forbidden", "mentions: everybody at once only in a group")
        if rank(db, sender, chat) < RANK["moderator"]:
            raise p.Refusal("forbidden", "mentions: only moderators, admins and agents name everybody at once")
