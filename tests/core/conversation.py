"""A small cast for the tests of mentions, replies, edits and reactions."""

from __future__ import annotations

from typing import Any

import msgspec

from bridgekit.core.from_matrix import ReadEdit, ReadReaction, ReadText, Unreadable, read_message, read_reaction
from bridgekit.core.mentions import Person
from bridgekit.core.to_matrix import Words, message_contents
from bridgekit.model.content import Mention, MentionRoom, MentionTarget, MentionUser, Text
from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID, TxnID, UserID
from bridgekit.model.remote import RemoteMessage

JSON = dict[str, Any]

VERA, BORIS, ALICE, OLGA = (MentionUser(RemoteUserID(name)) for name in ("vera", "boris", "alice", "olga"))
ROOM = MentionRoom()

GHOSTS = {UserID("@g_vera:hs"): VERA, UserID("@g_boris:hs"): BORIS, UserID("@alice:hs"): ALICE}
"""Matrix users, and who they are on the network; Alice has a login, `@carl:hs` is only on Matrix."""

PEOPLE: dict[MentionTarget, tuple[UserID, str]] = {
    VERA: (UserID("@g_vera:hs"), "Vera Hill"),
    BORIS: (UserID("@g_boris:hs"), "Boris"),
    ALICE: (UserID("@alice:hs"), "Alice A"),
}
"""The other way round, with their names on Matrix. Olga is unknown there."""


def resolve(user: str) -> MentionTarget | None:
    return GHOSTS.get(UserID(user))


def pill(user: str, name: str) -> str:
    return f'<a href="https://matrix.to/#/{user}">{name}</a>'


def rich(html: str, body: str = "plain", /, **more: Any) -> JSON:
    return {"msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html, **more}


def raw(content: Any, type: str = "m.room.message", sender: str = "@alice:hs") -> bytes:
    return msgspec.json.encode({"type": type, "sender": sender, "content": content})


def read(content: Any, **more: Any) -> ReadText:
    found = read_message(raw(content), resolve=resolve, **more)
    assert isinstance(found, ReadText), found
    return found


def read_edit(content: Any) -> ReadEdit | ReadText | Unreadable:
    return read_message(raw(content), resolve=resolve)


def reaction(content: Any) -> ReadReaction | Unreadable:
    return read_reaction(raw(content, "m.reaction"))


def over(body: str, *spans: tuple[str, MentionTarget]) -> Text:
    """The body, with a mention over the first place where each of these words is."""
    found = sorted(
        (Mention(body.index(word), body.index(word) + len(word), target) for word, target in spans),
        key=lambda mention: mention.start,
    )
    return Text(body, mentions=tuple(found))


def contents(text: Text, mention: Person = PEOPLE.get, **more: Any) -> list[JSON]:
    message = RemoteMessage(
        portal=PortalKey(ChatID("c")),
        id=RemoteMessageID("m"),
        sender=RemoteUserID("u"),
        timestamp=1,
        text=text,
    )
    named = message_contents(message, Words(txn_id=lambda part: TxnID(f"t{part}"), mention=mention, **more))
    assert [key for key, _ in named] == [f"t{part}" for part in range(len(named))]
    return [content for _, content in named]


def content_of(text: Text, **more: Any) -> JSON:
    (content,) = contents(text, **more)
    return content
