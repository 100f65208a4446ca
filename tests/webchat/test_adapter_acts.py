"""The adapter for what people do besides talking: both ways, and with what the framework may repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from bridgekit.adapter import (
    Avatar,
    Batch,
    ChatID,
    Cursors,
    MatrixDelete,
    MatrixEdit,
    MatrixMedia,
    MatrixMember,
    MatrixMessage,
    MatrixReaction,
    MatrixReceipt,
    MatrixTyping,
    MediaKind,
    MediaStream,
    Mention,
    MentionRoom,
    MentionUser,
    Nonce,
    NotSupported,
    PortalKey,
    Rejected,
    RemoteChat,
    RemoteChatDeleted,
    RemoteDelete,
    RemoteEdit,
    RemoteEvent,
    RemoteMember,
    RemoteMessage,
    RemoteMessageID,
    RemoteProgress,
    RemoteReaction,
    RemoteReceipt,
    RemoteTyping,
    RemoteUserID,
    Role,
    Run,
    Speaker,
    Style,
    Text,
)
from example_bridge.webchat import client as webchat
from example_bridge.webchat.adapter import WebchatSession
from example_bridge.webchat.client import WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import DEADLINE, watching
from tests.webchat.test_adapter import adapter, login_of

SPEAKER = Speaker("Ann")


@pytest.fixture
async def ann(server: Server, join: Join) -> WebchatClient:
    """Whose account is bridged."""
    return await join(server, "ann")


@pytest.fixture
async def bob(server: Server, join: Join) -> WebchatClient:
    return await join(server, "bob")


@pytest.fixture
async def chat(bob: WebchatClient, ann: WebchatClient) -> str:
    return (await bob.create_chat("group", ["ann"], id="group", name="Two", topic="Talk")).id


@asynccontextmanager
async def session_of(server: Server, client: WebchatClient, id: str) -> AsyncIterator[WebchatSession]:
    async with adapter(server).connect(login_of(client, id)) as session:
        assert isinstance(session, WebchatSession)
        yield session


async def told(session: WebchatSession, wanted: int, after: Cursors) -> list[RemoteEvent]:
    """So many events behind the cursors, without what says nothing; the list of chats is not one of them."""
    found: list[RemoteEvent] = []
    async with asyncio.timeout(DEADLINE), aclosing(session.events(after)) as stream:  # type: ignore[type-var]
        async for item in stream:
            events = item.events if isinstance(item, Batch) else (item,)
            found += [each for each in events if getattr(each, "cursor", None) or isinstance(each, RemoteReceipt)]
            if len(found) >= wanted:
                return found
    raise AssertionError("the stream ended")


def portal(chat: str) -> PortalKey:
    return PortalKey(ChatID(chat))


def message(chat: str, text: Text, nonce: str) -> MatrixMessage:
    return MatrixMessage(portal=portal(chat), text=text, nonce=Nonce(nonce), timestamp=1, speaker=SPEAKER)


async def test_what_others_do(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    said = await bob.send(chat, "one")
    edit = await bob.edit(chat, said.id, "😀 ann", mentions=(webchat.Mention(3, 6, user="ann"),))
    react = await ann.react(chat, said.id, "👍")
    unreact = await ann.unreact(chat, said.id, "👍")
    other = await bob.send(chat, "to be deleted")
    await bob.edit(chat, other.id, "to be deleted, too")
    delete = await bob.delete(chat, other.id)
    role = await bob.set_role(chat, "ann", "moderator")
    renamed = await bob.change_chat(chat, topic="More")
    await bob.mark_read(chat, said.id)
    async with session_of(server, ann, "ann") as session:
        events = await told(session, 10, {chat: str(said.seq - 1)})
    receipts = [event for event in events if isinstance(event, RemoteReceipt)]
    events = [event for event in events if not isinstance(event, RemoteReceipt)]
    latest = Text("😀 ann", mentions=(Mention(2, 5, MentionUser(RemoteUserID("ann"))),))
    first, edited, *rest = events
    assert isinstance(first, RemoteMessage) and first.text == latest
    assert isinstance(edited, RemoteEdit)
    assert (edited.target, edited.revision, edited.sender, edited.text) == (said.id, "1", "bob", latest)
    assert edited.timestamp == edit.timestamp
    added, taken, *rest = rest
    for reaction, at, is_added in ((added, react, True), (taken, unreact, False)):
        assert isinstance(reaction, RemoteReaction)
        assert (reaction.target, reaction.emoji, reaction.added) == (said.id, "👍", is_added)
        assert (reaction.occurrence, reaction.sender) == (str(at.seq), "ann")
    tombstone, superseded, deleted, *rest = rest
    assert isinstance(tombstone, RemoteProgress) and isinstance(superseded, RemoteProgress)
    assert isinstance(deleted, RemoteDelete) and (deleted.target, deleted.sender) == (other.id, "bob")
    assert deleted.timestamp == delete.timestamp
    roles, topic = rest
    assert isinstance(roles, RemoteChat) and roles.roles == {"bob": Role.ADMIN, "ann": Role.MODERATOR}
    assert roles.name is None and roles.cursor is not None and roles.cursor.value == str(role.seq)
    assert isinstance(topic, RemoteChat) and (topic.name, topic.topic) == ("Two", "More")
    assert topic.cursor is not None and topic.cursor.value == str(renamed.seq)
    assert [(each.user, each.up_to) for each in receipts] == [("bob", said.id)]


async def test_receipts_and_typing_of_others(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    said = await ann.send(chat, "one")
    await bob.mark_read(chat, said.id)
    async with session_of(server, ann, "ann") as session, asyncio.timeout(DEADLINE):
        async for event in session.events({chat: str(said.seq)}):
            match event:
                case RemoteReceipt(user=user, up_to=up_to):
                    assert (user, up_to) == ("bob", said.id)
                    await bob.set_typing(chat)
                case RemoteTyping(typing=True):
                    assert (event.portal, event.user, event.expires_s) == (portal(chat), "bob", 10.0)
                    await bob.set_typing(chat, False)
                case RemoteTyping(typing=False):
                    break


async def test_who_comes_and_goes(
    server: Server, ann: WebchatClient, bob: WebchatClient, chat: str, join: Join
) -> None:
    await join(server, "eve")
    before = (await bob.chat(chat)).last_seq
    await ann.add_member(chat, "eve")
    await bob.remove_member(chat, "eve", ban=True, reason="spam")
    await bob.unban(chat, "eve")
    await bob.remove_member(chat, "ann", reason="bye")
    async with session_of(server, ann, "ann") as session:
        joined, banned, unbanned, left, over = await told(session, 5, {chat: str(before)})
    assert isinstance(joined, RemoteMember) and (joined.user, joined.joined, joined.by) == ("eve", True, "ann")
    assert isinstance(banned, RemoteMember) and (banned.joined, banned.banned, banned.reason) == (False, True, "spam")
    assert isinstance(unbanned, RemoteMember) and (unbanned.joined, unbanned.banned) == (False, False)
    assert isinstance(left, RemoteMember) and (left.user, left.by) == ("ann", "bob")
    assert isinstance(over, RemoteChatDeleted) and over.reason == "bye"


async def test_a_chat_that_is_deleted(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    over = await bob.delete_chat(chat)
    async with session_of(server, ann, "ann") as session:
        (event,) = await told(session, 1, {chat: str(over.seq - 1)})
        with pytest.raises(Rejected):
            await session.describe_chat(portal(chat))
    assert isinstance(event, RemoteChatDeleted) and event.portal == portal(chat)


async def test_what_the_bridge_does(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    said = await bob.send(chat, "hello")
    text = Text("😀 bob", runs=(Run(0, 1, Style.BOLD),), mentions=(Mention(2, 5, MentionUser(RemoteUserID("bob"))),))
    reaction = MatrixReaction(
        portal=portal(chat), target=RemoteMessageID(said.id), emoji="❤️", nonce=Nonce("r"), timestamp=1
    )
    async with session_of(server, ann, "ann") as session, watching(bob, {chat: said.seq}) as at_bob:
        (mine,) = (await session.send(message(chat, text, "m"))).ids
        for _ in range(2):  # everything may be repeated
            edit = MatrixEdit(
                portal=portal(chat), target=mine, text=text, nonce=Nonce("e"), timestamp=1, speaker=SPEAKER
            )
            edit_more = MatrixEdit(
                portal=portal(chat), target=mine, text=Text("bob"), nonce=Nonce("e2"), timestamp=1, speaker=SPEAKER
            )
            assert (await session.edit(edit)).ids == ()
            assert (await session.edit(edit_more)).ids == ()
            await session.react(reaction)
            await session.unreact(reaction)
            await session.rename(portal(chat), name=None, topic="New")
        await session.mark_read(MatrixReceipt(portal=portal(chat), up_to=RemoteMessageID(said.id), timestamp=1))
        await session.set_typing(MatrixTyping(portal=portal(chat), typing=True))
        delete = MatrixDelete(portal=portal(chat), target=mine, timestamp=1, speaker=SPEAKER, reason="r" * 2000)
        for _ in range(2):
            await session.delete(delete)
        for _ in range(2):
            await session.leave(portal(chat))
        await at_bob.until_seq(chat, said.seq + 7)
        signals = await at_bob.until_signals(2)
    kinds = [type(event).__name__ for event in at_bob.events]
    assert kinds == [
        "MessageEvent",
        "EditEvent",
        "ReactionEvent",
        "ReactionEvent",
        "ChatEvent",
        "DeleteEvent",
        "MemberEvent",
    ]
    first = at_bob.events[0]
    assert isinstance(first, webchat.MessageEvent)
    assert first.message.format == (webchat.Span(0, 2, "bold"),)
    assert first.message.mentions == (webchat.Mention(3, 6, user="bob"),)
    assert [(type(signal).__name__, signal.account) for signal in signals] == [
        ("ReadSignal", "ann"),
        ("TypingSignal", "ann"),
    ]


async def test_the_bridge_invites_and_removes(
    server: Server, ann: WebchatClient, bob: WebchatClient, chat: str, join: Join
) -> None:
    await join(server, "eve")
    eve = MatrixMember(portal=portal(chat), user=RemoteUserID("eve"), reason="why")
    async with session_of(server, bob, "bob") as session:
        for _ in range(2):
            await session.invite(eve)
        assert "eve" in {member.id for member in (await bob.chat(chat)).members}
        for _ in range(2):
            await session.remove(eve, ban=False)
        for _ in range(2):
            await session.remove(eve, ban=True)
        assert (await bob.chat(chat)).banned == ("eve",)
        with pytest.raises(Rejected, match="banned"):
            await session.invite(eve)
        with pytest.raises(Rejected, match="no such account"):
            await session.invite(MatrixMember(portal=portal(chat), user=RemoteUserID("nobody")))
    async with session_of(server, ann, "ann") as session:
        with pytest.raises(Rejected, match="only moderators"):
            await session.remove(MatrixMember(portal=portal(chat), user=RemoteUserID("bob")), ban=False)


async def test_the_bridge_gives_roles(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    async with session_of(server, bob, "bob") as session:
        for role in (Role.MODERATOR, Role.MODERATOR, Role.ADMIN, Role.MEMBER):
            await session.set_role(portal(chat), RemoteUserID("ann"), role)
            assert (await bob.chat(chat)).roles.get("ann", "member") == role
        with pytest.raises(Rejected, match="no such account"):
            await session.set_role(portal(chat), RemoteUserID("nobody"), Role.ADMIN)
    async with session_of(server, ann, "ann") as session:
        with pytest.raises(Rejected, match="only admins"):
            await session.set_role(portal(chat), RemoteUserID("ann"), Role.ADMIN)


async def test_the_bridge_gives_a_picture(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    @asynccontextmanager
    async def opener() -> AsyncIterator[MediaStream]:
        yield MediaStream(pieces(), mimetype="image/png")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"\x89PNG"

    picture = MatrixMedia(kind=MediaKind.IMAGE, name="n" * 2000, opener=opener, mimetype="text/html")
    async with session_of(server, ann, "ann") as session:
        id = await session.set_avatar(portal(chat), picture)
        assert (await bob.chat(chat)).avatar_url == id
        described = (await session.describe_chat(portal(chat))).avatar
        assert described == Avatar(id)
    # Another account of the bridge may have it too.
    async with session_of(server, bob, "bob") as session:
        assert b"".join([piece async for piece in session.open_avatar(Avatar(id))]) == b"\x89PNG"
        page = await bob.reserve("page.html", "text/html")
        await bob.upload(page, pieces())
        with pytest.raises(Rejected, match="none"):
            await anext(aiter(session.open_avatar(Avatar(f"/api/media/{page}"))))
        await session.set_avatar(portal(chat), None)
        assert (await bob.chat(chat)).avatar_url is None


async def test_what_cannot_be_had(server: Server, ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    said = await bob.send(chat, "hello")
    picture = MatrixReaction(
        portal=portal(chat), target=RemoteMessageID(said.id), emoji=":cat:", emoji_id="x", nonce=Nonce("r"), timestamp=1
    )
    edit = MatrixEdit(
        portal=portal(chat),
        target=RemoteMessageID(said.id),
        text=Text("x"),
        nonce=Nonce("e"),
        timestamp=1,
        speaker=SPEAKER,
    )
    async with session_of(server, ann, "ann") as session:
        with pytest.raises(NotSupported):
            await session.react(picture)
        with pytest.raises(Rejected, match="only the sender"):
            await session.edit(edit)
        limits = session.limits(portal(chat))
        assert not limits.threads and not limits.hidden_mentions and limits.replies and limits.reactions is None


async def test_who_may_name_everybody_follows_the_role(
    server: Server, join: Join, ann: WebchatClient, bob: WebchatClient, chat: str
) -> None:
    agent = await join(server, "agent", "agent")
    await bob.add_member(chat, "agent")
    direct = (await agent.create_chat("direct", ["ann"])).id
    role = await bob.set_role(chat, "ann", "moderator")
    everybody = Text("@all", mentions=(Mention(0, 4, MentionRoom()),))
    async with session_of(server, ann, "ann") as session:
        assert not session.limits(portal(chat)).room_mentions  # it does not know yet
        await told(session, 1, {chat: str(role.seq - 1)})
        assert session.limits(portal(chat)).room_mentions
        await session.send(message(chat, everybody, "1"))
        taken = await bob.set_role(chat, "ann", "member")
        await told(session, 1, {chat: str(taken.seq - 1)})
        assert not session.limits(portal(chat)).room_mentions
    async with session_of(server, agent, "agent") as session:
        await told(session, 1, {})
        assert session.limits(portal(chat)).room_mentions
        assert not session.limits(portal(direct)).room_mentions
