"""Files of messages: who may have which, and what became of it. Functions over the SQLite connection, see `rows`.

The bytes are `files`' business. A file is ``arriving`` from its reservation on, ``there`` with its last byte,
``failed`` where its owner gave it up, or did not bring it in time, and ``gone`` with the last message that had it.
"""

from __future__ import annotations

import mimetypes
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.events import MediaEvent, MessageEvent
from example_bridge.webchat.server.rows import append, next_seq, rewrite
from example_bridge.webchat.server.store import Published, Written


@dataclass(frozen=True, slots=True)
class Stored:
    """One file as the network has it. `size` is what was announced until it is `there`."""

    id: str
    owner: str
    name: str
    mimetype: str
    size: int | None
    sha256: bytes | None
    state: str


def reserve(db: sqlite3.Connection, owner: str, new: p.NewMedia, now: int) -> Written[str]:
    """A place for a file, to be named in messages at once. Returns its id."""
    id = "f" + secrets.token_hex(16)
    db.execute(
        "INSERT INTO media (id, owner, name, mimetype, size, state, created) VALUES (?, ?, ?, ?, ?, 'arriving', ?)",
        (id, owner, new.name, new.mimetype, new.size, now),
    )
    return Written(id)


def owned(db: sqlite3.Connection, owner: str, id: str) -> Stored:
    """The file, if it is the account's own. Whether it exists is nobody else's business."""
    stored = _find(db, id)
    if stored is None or stored.owner != owner:
        raise p.Refusal("not_found", "no such file of yours")
    return stored


def check_picture(db: sqlite3.Connection, owner: str, address: str | None) -> None:
    """Raise the `Refusal` that a chat's picture deserves, if it is a file of this network: it must be there, and the
    account's own, or whoever knows an id could read the file by calling it a picture."""
    if address is None or not address.startswith(p.FILES):
        return
    if owned(db, owner, address.removeprefix(p.FILES)).state != "there":
        raise p.Refusal("not_found", "avatar_url: this file is not there")


def readable(db: sqlite3.Connection, account: str, id: str) -> Stored:
    """The file, if it is the account's own, in a message that the account may see, or the picture of a chat of its."""
    stored = _find(db, id)
    if stored is None:
        raise p.Refusal("not_found", "no such file")
    if stored.owner != account:
        seen = db.execute(
            "SELECT 1 FROM attachment JOIN event ON event.message_id = attachment.message_id"
            " JOIN member ON member.chat = event.chat AND member.account = ?"
            " WHERE attachment.media_id = ? AND (member.left_seq IS NULL OR event.seq <= member.left_seq) LIMIT 1",
            (account, id),
        ).fetchone()
        seen = (
            seen
            or db.execute(
                "SELECT 1 FROM member JOIN chat ON chat.id = member.chat"
                " WHERE member.account = ? AND member.left_seq IS NULL AND chat.avatar_url = ? LIMIT 1",
                (account, p.FILES + id),
            ).fetchone()
        )
        if seen is None:
            raise p.Refusal("forbidden", "not in a chat of yours")
    if stored.state == "failed":
        raise p.Refusal("not_found", "this file never arrived: its sender gave it up")
    return stored


def attach(db: sqlite3.Connection, owner: str, message: str, files: tuple[p.File, ...]) -> tuple[p.File, ...]:
    """The files of a new message as others will see them. What the draft does not say is taken from the reservation."""
    attached = []
    for file in files:
        stored = owned(db, owner, file.id)
        if stored.state == "failed":
            raise p.Refusal("not_found", "files: this one was given up")
        db.execute("INSERT INTO attachment (message_id, media_id) VALUES (?, ?)", (message, file.id))
        attached.append(
            msgspec.structs.replace(
                file,
                name=file.name or stored.name,
                mimetype=file.mimetype or stored.mimetype,
                # What was counted is truer than what was announced.
                size=stored.size if stored.state == "there" or file.size is None else file.size,
                kind=file.kind or kind_of(file.mimetype or stored.mimetype),
                state=stored.state,
            )
        )
    return tuple(attached)


def complete(
    db: sqlite3.Connection,
    owner: str,
    id: str,
    size: int,
    sha256: bytes,
    mimetype: str,
    keep: Callable[[], None],
    now: int,
) -> Written[p.Uploaded]:
    """All bytes are here: `keep` puts them in their place. Those who see the messages with it are told.

    Of two uploads at once the first wins. Should the commit fail, the bytes lie there until the next upload.
    """
    stored = owned(db, owner, id)
    if stored.state == "there":
        raise p.Refusal("conflict", "this file is here already")
    if stored.state == "failed":
        raise p.Refusal("not_found", "this file was given up")
    keep()
    mimetype = stored.mimetype or mimetype or mimetypes.guess_type(stored.name)[0] or "application/octet-stream"
    db.execute(
        "UPDATE media SET state = 'there', size = ?, sha256 = ?, mimetype = ? WHERE id = ?",
        (size, sha256, mimetype, id),
    )
    return Written(p.Uploaded(id, size, sha256.hex()), _tell(db, owner, id, "there", size, mimetype, now))


def withdraw(db: sqlite3.Connection, owner: str, id: str, now: int) -> Written[None]:
    """It will not come. One that is there stays."""
    stored = owned(db, owner, id)
    if stored.state == "there":
        raise p.Refusal("conflict", "this file is here already; delete its message instead")
    if stored.state == "failed":
        return Written(None)
    db.execute("UPDATE media SET state = 'failed' WHERE id = ?", (id,))
    return Written(None, _tell(db, owner, id, "failed", stored.size, stored.mimetype, now))


def overdue(db: sqlite3.Connection, before: int) -> list[str]:
    """Files that were announced before that time, and have not come."""
    rows = db.execute("SELECT id FROM media WHERE state = 'arriving' AND created < ?", (before,))
    return [id for (id,) in rows]


def expire(db: sqlite3.Connection, id: str, now: int) -> Written[None]:
    """Nobody has brought it in time: as if its owner had withdrawn it."""
    stored = _find(db, id)
    if stored is None or stored.state != "arriving":
        return Written(None)
    return withdraw(db, stored.owner, id, now)


def release(db: sqlite3.Connection, message: str) -> None:
    """The message is deleted: its files are, too, unless another message has them, or a chat has one as its picture."""
    db.execute(
        "UPDATE media SET state = 'gone' WHERE id IN (SELECT media_id FROM attachment WHERE message_id = :message)"
        " AND id NOT IN (SELECT media_id FROM attachment WHERE message_id != :message)"
        " AND :files || id NOT IN (SELECT avatar_url FROM chat WHERE avatar_url IS NOT NULL AND NOT deleted)",
        {"message": message, "files": p.FILES},
    )
    db.execute("DELETE FROM attachment WHERE message_id = ?", (message,))


def gone(db: sqlite3.Connection) -> list[str]:
    """Files whose bytes may be removed."""
    return [id for (id,) in db.execute("SELECT id FROM media WHERE state = 'gone'")]


def forget(db: sqlite3.Connection, ids: list[str]) -> Written[None]:
    """Their bytes are removed."""
    db.executemany("DELETE FROM media WHERE id = ? AND state = 'gone'", [(id,) for id in ids])
    return Written(None)


def kind_of(mimetype: str) -> str:
    """How a file of this type is shown, if nobody says."""
    major = mimetype.partition("/")[0].lower()
    return major if major in ("image", "video", "audio") else "file"


def _find(db: sqlite3.Connection, id: str) -> Stored | None:
    row = db.execute(
        "SELECT id, owner, name, mimetype, size, sha256, state FROM media WHERE id = ? AND state != 'gone'", (id,)
    ).fetchone()
    return row and Stored(*row)


def _tell(
    db: sqlite3.Connection, actor: str, id: str, state: str, size: int | None, mimetype: str, now: int
) -> tuple[Published, ...]:
    """In the event of each message that has the file, for those who read later; by a new one for those who see it."""
    events = []
    rows = db.execute(
        "SELECT event.data FROM attachment JOIN event ON event.message_id = attachment.message_id"
        " WHERE attachment.media_id = ? ORDER BY event.rowid",
        (id,),
    )
    for (data,) in rows.fetchall():
        said = msgspec.json.decode(data, type=MessageEvent)
        files = tuple(
            msgspec.structs.replace(file, state=state, size=size, mimetype=file.mimetype or mimetype)
            if file.id == id
            else file
            for file in said.message.files
        )
        rewrite(db, msgspec.structs.replace(said, message=msgspec.structs.replace(said.message, files=files)))
        event = MediaEvent(
            chat=said.chat,
            seq=next_seq(db, said.chat),
            timestamp=now,
            actor=actor,
            target=said.message.id,
            file=id,
            state=state,
            size=size,
            mimetype=mimetype,
        )
        events.append(append(db, event))
    return tuple(events)
