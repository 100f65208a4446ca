"""Edits, deletions, reactions, members, the chat: what each does, who may, and that a repeat does nothing."""

from __future__ import annotations

import asyncio

import pytest

from example_bridge.webchat.client import (
    ChatDeletedEvent,
    ChatEvent,
    DeleteEvent,
    EditEvent,
    Event,
    MemberEvent,
    Mention,
    MessageEvent,
    ReactionEvent,
    Refused,
    RoleEvent,
    Span,
    WebchatClient,
)
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join, StartServer
from tests.webchat.helpers import watching


@pytest.fixture
async def ann(server: Server, join: Join) -> WebchatClient:
    """A visitor who makes the group, and so its admin."""
    return await join(server, "ann")


@pytest.fixture
async def bob(server: Server, join: Join) -> WebchatClient:
    return await join(server, "bob")


@pytest.fixture
async def eve(server: Server, join: Join) -> WebchatClient:
    return await join(server, "eve")


@pytest.fixture
async def group(ann: WebchatClient, bob: WebchatClient, eve: WebchatClient) -> str:
    return (await ann.create_chat("group", ["bob", "eve"], id="group", name="All")).id


async def history(client: WebchatClient, chat: str, after: int = 0) -> list[Event]:
    return [event async for event in client.history(chat, after=after)]


async def last(client: WebchatClient, chat: str) -> Event:
    return (await history(client, chat))[-1]


async def refused(code: str, call: object) -> None:
    with pytest.raises(Refused) as error:
        await call  # type: ignore[misc]
    assert error.value.code == code


# --- edits


async def test_an_edit_is_an_event_and_the_history_keeps_the_latest_text(
    ann: WebchatClient, bob: WebchatClient, group: str
) -> None:
    said = await ann.send(group, "helo", nonce="n")
    first = await ann.edit(group, said.id, "hello", nonce="e1")
    second = await ann.edit(
        group, said.id, "hello bob", format=(Span(0, 5, "bold"),), mentions=(Mention(6, 9, user="bob"),)
    )
    assert (first.id, first.seq, second.seq) == (said.id, said.seq + 1, said.seq + 2)
    message, older, newer = await history(bob, group, said.seq - 1)
    assert isinstance(message, MessageEvent) and isinstance(older, EditEvent) and isinstance(newer, EditEvent)
    assert (message.message.text, message.message.revision) == ("hello bob", 2)
    assert message.message.edited_at == newer.timestamp and message.message.timestamp == said.timestamp
    assert (older.revision, older.superseded, older.text) == (1, True, "")
    assert (newer.revision, newer.superseded, newer.text, newer.actor) == (2, False, "hello bob", "ann")
    assert newer.mentions == message.message.mentions == (Mention(6, 9, user="bob"),)
    # Nonces stay the actor's own, those of what was rewritten too.
    own = await history(ann, group, said.seq - 1)
    assert isinstance(own[0], MessageEvent) and own[0].message.nonce == "n"
    assert (own[1].nonce, older.nonce) == ("e1", None)  # type: ignore[union-attr]


async def test_who_may_edit_what(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    said = await bob.send(group, "mine")
    before = await bob.chat(group)
    await refused("forbidden", ann.edit(group, said.id, "yours"))  # an admin neither
    await refused("not_found", bob.edit(group, "never", "x"))
    await refused("bad_request", bob.edit(group, said.id, ""))
    await refused("bad_request", bob.edit(group, said.id, "x", format=(Span(0, 2, "bold"),)))
    other = (await bob.create_chat("group")).id
    await refused("not_found", bob.edit(other, said.id, "in another chat"))
    assert (await bob.edit(group, said.id, "mine")).seq == said.seq  # says so already
    await bob.remove_member(group, "bob")
    await refused("forbidden", bob.edit(group, said.id, "after leaving"))
    assert (await ann.chat(group)).last_seq == before.last_seq + 1


# --- deletions


async def test_a_deleted_message_leaves_its_place_and_nothing_it_said(
    ann: WebchatClient, bob: WebchatClient, group: str
) -> None:
    said = await bob.send(group, "secret 0", nonce="n")
    await bob.edit(group, said.id, "secret 1")
    await bob.edit(group, said.id, "secret 2")
    await ann.react(group, said.id, "👍")
    gone = await bob.delete(group, said.id, reason="slip")
    events = await history(ann, group, said.seq - 1)
    assert [event.seq for event in events] == list(range(said.seq, gone.seq + 1))
    tombstone, *edits, reaction, deletion = events
    assert isinstance(tombstone, MessageEvent) and tombstone.message.deleted and not tombstone.message.text
    assert all(isinstance(edit, EditEvent) and edit.superseded and not edit.text for edit in edits)
    assert isinstance(reaction, ReactionEvent)
    assert isinstance(deletion, DeleteEvent) and (deletion.actor, deletion.reason) == ("bob", "slip")
    async with watching(ann) as again:  # nor over the stream
        assert "secret" not in repr(again.events)
    assert (await bob.delete(group, said.id)).seq == gone.seq
    for late in (bob.edit(group, said.id, "x"), ann.react(group, said.id, "👍")):
        await refused("not_found", late)
    assert (await ann.send(group, "to a deleted one", reply_to=said.id)).seq == gone.seq + 1


async def test_who_may_delete(server: Server, join: Join, ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    by_ann, by_bob = await ann.send(group, "a"), await bob.send(group, "b")
    await refused("forbidden", bob.delete(group, by_ann.id))
    await refused("not_found", bob.delete(group, "never"))
    await ann.delete(group, by_bob.id)  # an admin may
    await ann.set_role(group, "bob", "moderator")
    await bob.delete(group, by_ann.id)  # a moderator may
    agent = await join(server, "agent", "agent")
    direct = (await agent.create_chat("direct", ["bob"])).id
    said = await bob.send(direct, "between us")
    await refused("forbidden", agent.delete(direct, said.id))  # not even an agent


# --- reactions


async def test_each_person_has_a_set_of_emoji(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    said = await ann.send(group, "nice?")
    first = await bob.react(group, said.id, "👍")
    assert (await bob.react(group, said.id, "👍")).seq == first.seq  # in the set already
    await bob.react(group, said.id, "👍🏽")  # another emoji
    await ann.react(group, said.id, "👍")  # another person
    await bob.unreact(group, said.id, "👍")
    await bob.unreact(group, said.id, "👍")  # not there any more
    await bob.react(group, said.id, "👍")
    events = [event for event in await history(ann, group) if isinstance(event, ReactionEvent)]
    assert [(event.actor, event.emoji, event.added) for event in events] == [
        ("bob", "👍", True),
        ("bob", "👍🏽", True),
        ("ann", "👍", True),
        ("bob", "👍", False),
        ("bob", "👍", True),
    ]
    assert len({event.seq for event in events}) == 5
    # Variation selectors make no difference: it stays as it was first written there.
    await ann.react(group, said.id, "❤")
    for act in (bob.react, ann.react, bob.unreact, bob.react):
        await act(group, said.id, "❤\ufe0f")
    await ann.unreact(group, said.id, "❤\ufe0e")
    hearts = [event for event in await history(ann, group) if isinstance(event, ReactionEvent)][5:]
    assert [(event.actor, event.emoji, event.added) for event in hearts] == [
        ("ann", "❤", True),
        ("bob", "❤", True),
        ("bob", "❤", False),
        ("bob", "❤", True),
        ("ann", "❤", False),
    ]
    for emoji in ("", "a b", "x" * 65):
        await refused("bad_request", bob.react(group, said.id, emoji))
    await refused("not_found", bob.react(group, "never", "👍"))


# --- nonces


async def test_a_nonce_counts_for_every_act_and_for_all_of_them_together(
    ann: WebchatClient, bob: WebchatClient, group: str
) -> None:
    said = await ann.send(group, "0")
    edit = await ann.edit(group, said.id, "1", nonce="e")
    await ann.edit(group, said.id, "2", nonce="e2")
    assert await ann.edit(group, said.id, "1", nonce="e") == edit  # late, and does not turn the text back
    reaction = await ann.react(group, said.id, "👍", nonce="r")
    await ann.unreact(group, said.id, "👍", nonce="u")
    assert await ann.react(group, said.id, "👍", nonce="r") == reaction
    joined = await ann.remove_member(group, "eve", nonce="m")
    await ann.add_member(group, "eve")
    assert await ann.remove_member(group, "eve", nonce="m") == joined
    renamed = await ann.change_chat(group, name="One", nonce="c")
    await ann.change_chat(group, name="Two")
    assert await ann.change_chat(group, name="One", nonce="c") == renamed
    deleted = await ann.delete(group, said.id, nonce="d")
    assert await ann.delete(group, said.id, nonce="d") == deleted
    assert await ann.send(group, "another kind of act", nonce="e") == edit
    chat = await bob.chat(group)
    assert chat.name == "Two" and "eve" in {member.id for member in chat.members}
    assert chat.last_seq == deleted.seq


async def test_a_refused_act_leaves_its_nonce_free(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    said = await ann.send(group, "x")
    await refused("forbidden", bob.delete(group, said.id, nonce="n"))
    await ann.set_role(group, "bob", "moderator")
    assert (await bob.delete(group, said.id, nonce="n")).seq == said.seq + 2


async def test_the_same_act_many_times_at_once(ann: WebchatClient, group: str) -> None:
    said = await ann.send(group, "x")
    async with watching(ann):
        receipts = await asyncio.gather(*(ann.edit(group, said.id, "y", nonce="n") for _ in range(20)))
    assert len(set(map(repr, receipts))) == 1
    assert len(await history(ann, group, said.seq)) == 1


# --- mentions


async def test_spans_count_utf16_code_units(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    said = await ann.send(group, "😀 bob", mentions=(Mention(3, 6, user="bob"),), format=(Span(0, 2, "bold"),))
    event = await last(bob, group)
    assert isinstance(event, MessageEvent) and event.message.mentions == (Mention(3, 6, user="bob"),)
    for start, end in ((1, 6), (0, 1), (0, 7)):
        await refused("bad_request", ann.send(group, "😀 bob", mentions=(Mention(start, end, user="bob"),)))
        await refused("bad_request", ann.edit(group, said.id, "😀 bob", format=(Span(start, end, "bold"),)))


async def test_only_some_name_everybody_at_once(
    server: Server, join: Join, ann: WebchatClient, bob: WebchatClient, group: str
) -> None:
    everybody = (Mention(0, 4, room=True),)
    await ann.send(group, "@all", mentions=everybody)
    await refused("forbidden", bob.send(group, "@all", mentions=everybody))
    said = await bob.send(group, "nothing yet")
    await refused("forbidden", bob.edit(group, said.id, "@all", mentions=everybody))
    await ann.set_role(group, "bob", "moderator")
    await bob.edit(group, said.id, "@all", mentions=everybody)
    direct = (await ann.create_chat("direct", ["bob"])).id
    await refused("forbidden", ann.send(direct, "@all", mentions=everybody))


# --- members and roles


async def test_roles(ann: WebchatClient, bob: WebchatClient, eve: WebchatClient, group: str) -> None:
    assert (await bob.chat(group)).roles == {"ann": "admin"}
    await refused("forbidden", bob.set_role(group, "bob", "admin"))
    await refused("forbidden", bob.remove_member(group, "eve"))
    given = await ann.set_role(group, "bob", "moderator")
    assert (await ann.set_role(group, "bob", "moderator")).seq == given.seq
    event = await last(eve, group)
    assert isinstance(event, RoleEvent) and (event.member.id, event.role) == ("bob", "moderator")
    assert event.roles == {"ann": "admin", "bob": "moderator"}
    await refused("forbidden", bob.set_role(group, "eve", "moderator"))
    await refused("forbidden", bob.remove_member(group, "ann"))  # a moderator is not over an admin
    await bob.remove_member(group, "eve", reason="enough")
    removal = await last(eve, group)
    assert isinstance(removal, MemberEvent) and (removal.membership, removal.actor) == ("leave", "bob")
    assert removal.reason == "enough"
    await refused("not_found", ann.set_role(group, "eve", "admin"))
    await bob.remove_member(group, "bob")
    await ann.add_member(group, "bob")  # who comes back comes back as a member
    assert (await ann.chat(group)).roles == {"ann": "admin"}


async def test_who_is_banned_stays_out(ann: WebchatClient, bob: WebchatClient, eve: WebchatClient, group: str) -> None:
    banned = await ann.remove_member(group, "eve", ban=True, reason="spam")
    assert (await ann.remove_member(group, "eve", ban=True)).seq == banned.seq
    event = await last(eve, group)
    assert isinstance(event, MemberEvent) and (event.membership, event.reason) == ("ban", "spam")
    assert (await bob.chat(group)).banned == ("eve",)
    await refused("forbidden", bob.add_member(group, "eve"))
    await refused("forbidden", bob.unban(group, "eve"))
    await refused("bad_request", ann.remove_member(group, "ann", ban=True))
    unbanned = await ann.unban(group, "eve")
    assert (await ann.unban(group, "eve")).seq == unbanned.seq
    assert "eve" not in {member.id for member in (await ann.chat(group)).members}
    await bob.add_member(group, "eve")
    await ann.remove_member(group, "eve")
    await ann.remove_member(group, "eve", ban=True)  # who has left can be banned too


async def test_leaving_twice_is_no_error(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    left = await bob.remove_member(group, "bob")
    assert (await bob.remove_member(group, "bob")).seq == left.seq
    await refused("forbidden", bob.remove_member(group, "eve"))
    direct = (await ann.create_chat("direct", ["bob"])).id
    await refused("forbidden", ann.remove_member(direct, "ann"))


# --- the chat


async def test_name_and_topic(ann: WebchatClient, bob: WebchatClient, group: str) -> None:
    await bob.change_chat(group, topic="What we do")
    changed = await bob.change_chat(group, name="We")
    assert (await bob.change_chat(group, name="We", topic="What we do")).seq == changed.seq
    event = await last(ann, group)
    assert isinstance(event, ChatEvent) and (event.info.name, event.info.topic) == ("We", "What we do")
    await ann.change_chat(group, topic="")
    assert (await ann.chat(group)).topic == ""
    assert (await ann.create_chat("group", topic="From the start")).topic == "From the start"
    await refused("bad_request", ann.change_chat(group, topic="x" * 4001))


async def test_a_deleted_chat_is_over_and_can_still_be_read(
    ann: WebchatClient, bob: WebchatClient, eve: WebchatClient, group: str
) -> None:
    said = await bob.send(group, "last words")
    await refused("forbidden", bob.delete_chat(group))
    async with watching(eve) as at_eve:
        over = await ann.delete_chat(group)
        await at_eve.until_seq(group, over.seq)
    assert (await ann.delete_chat(group)).seq == over.seq
    assert isinstance(await last(bob, group), ChatDeletedEvent)
    assert await bob.chats() == ()
    await refused("not_found", bob.chat(group))
    for late in (
        bob.send(group, "x"),
        bob.edit(group, said.id, "x"),
        bob.delete(group, said.id),
        ann.add_member(group, "bob"),
        ann.change_chat(group, name="x"),
        ann.mark_read(group, said.id),
    ):
        await refused("not_found", late)
    await refused("conflict", ann.create_chat("group", id=group))
    async with watching(eve) as again:
        assert again.seqs(group) == list(range(1, over.seq + 1))

    direct = (await ann.create_chat("direct", ["bob"])).id
    await bob.delete_chat(direct)
    assert (await ann.create_chat("direct", ["bob"])).id != direct


async def test_acts_over_http_and_over_the_stream_are_the_same(ann: WebchatClient, group: str) -> None:
    said = await ann.send(group, "x")
    over_http = await ann.edit(group, said.id, "1", nonce="n")
    async with watching(ann) as watcher:
        assert await ann.edit(group, said.id, "1", nonce="n") == over_http
        over_stream = await ann.edit(group, said.id, "2", nonce="n2")
        await watcher.until_seq(group, over_stream.seq)
        edits = [event for event in watcher.events if isinstance(event, EditEvent)]
        assert [(edit.text, edit.nonce) for edit in edits] == [("1", "n"), ("2", "n2")]
    assert await ann.edit(group, said.id, "2", nonce="n2") == over_stream


async def test_acts_survive_a_restart(start_server: StartServer, join: Join) -> None:
    server = await start_server()
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group")).id
    said = await ann.send(chat, "x")
    edit = await ann.edit(chat, said.id, "y", nonce="e")
    reaction = await ann.react(chat, said.id, "👍")
    await ann.mark_read(chat, said.id)
    before = await history(ann, chat)
    await server.stop()
    again = await start_server()
    async with WebchatClient(again.url, ann.token) as back:
        assert await history(back, chat) == before
        assert await back.edit(chat, said.id, "y", nonce="e") == edit
        assert (await back.react(chat, said.id, "👍")).seq == reaction.seq
        assert (await back.chat(chat)).read == {"ann": said.seq}
