"""Whom Synapse tells: the highlight counts in `/sync` of somebody who is mentioned, and of somebody who is not."""

from __future__ import annotations

import asyncio

from bridgekit.core.features import FULL, ROOM_FEATURES
from bridgekit.testing.client import ClientEvent, MatrixClient
from example_bridge.webchat.client import Mention, MessageEvent
from tests.acceptance.test_changes_in import replaced
from tests.support.scene import Scene, Talk
from tests.support.world import until_said


class Reader:
    """Somebody in a room who never reads: what was counted is counted."""

    def __init__(self, client: MatrixClient, room: str) -> None:
        self.client = client
        self.user = client.user_id
        self._room = room
        self._seen = 0

    async def since(self) -> int:
        """The highlights since the last time."""
        answer = await self.client.sync(filter={"room": {"rooms": [self._room], "timeline": {"limit": 1}}})
        counted: int = answer["rooms"]["join"][self._room]["unread_notifications"]["highlight_count"]
        self._seen, new = counted, counted - self._seen
        return new


def names(text: str, *names: str, **users: str) -> tuple[Mention, ...]:
    """Spans over these words: ``@room``, or the account of that name."""
    spans = []
    for name in names:
        start = text.index(name)
        user = users.get(name)
        spans.append(Mention(start, start + len(name), user=user, room=user is None))
    return tuple(spans)


async def test_who_is_highlighted(shared: Scene) -> None:
    alice, bob = await shared.user("alice"), await shared.user("bob")
    agent_a, _ = await shared.webchat_user("Agent Alice", kind="agent")
    agent_b, _ = await shared.webchat_user("Agent Bob", kind="agent")
    (vera_account, vera), (ben_account, ben) = await shared.webchat_user("Vera"), await shared.webchat_user("Ben")
    await shared.log_in(alice, agent_a)
    await shared.log_in(bob, agent_b)
    chat = (await vera.create_chat("group", [agent_a.id, agent_b.id, ben_account.id], name="All of us")).id
    await vera.send(chat, "hello")
    invited = [asyncio.ensure_future(client.wait_for_invite(timeout_s=60)) for client in (alice, bob)]
    await asyncio.wait(invited, return_when=asyncio.FIRST_COMPLETED)
    # The second login's own copy of the next message brings its person in, whichever login was first.
    await vera.send(chat, "and hello to you")
    room, same = [await each for each in invited]
    assert room == same
    await alice.join(room)
    await bob.join(room)
    accounts = {"alice": agent_a.id, "bob": agent_b.id, "vera": vera_account.id}
    readers = Reader(alice, room), Reader(bob, room)

    async def seen(words: str) -> ClientEvent:
        await bob.wait_for_text(room, words)
        return await alice.wait_for_text(room, words)

    async def counted() -> tuple[int, ...]:
        return tuple([await reader.since() for reader in readers])

    await seen("and hello to you")
    await vera.send(chat, "nobody in particular")
    await seen("nobody in particular")
    assert await counted() == (0, 0)

    # A message mentions Alice: a pill with her own user id, the ghost nowhere.
    text = "hi alice"
    first = await vera.send(chat, text, mentions=names(text, "alice", **accounts))
    event = await seen("hi Agent Alice")
    assert event.content["m.mentions"] == {"user_ids": [alice.user_id]}
    assert f"https://matrix.to/#/{alice.user_id}" in event.content["formatted_body"]
    assert await counted() == (1, 0)

    # Ben answers it: Vera, and Alice, whom she mentioned, but not Bob.
    await ben.send(chat, "indeed", reply_to=first.id)
    answer = await seen("indeed")
    assert answer.content["m.mentions"] == {"user_ids": [shared.slot.ghost(vera_account.id), alice.user_id]}
    assert await counted() == (1, 0)

    # The edit mentions both: only Bob is new. The next one, and one that drops and names them again, notify nobody.
    both = "hi alice, bob"
    talk = Talk(alice, shared.bot, "", agent_a, vera, vera_account.id, event.sender, chat, room)
    await vera.edit(chat, first.id, both, mentions=names(both, "alice", "bob", **accounts))
    await replaced(talk, event.event_id, "hi Agent Alice, Agent Bob")
    assert await counted() == (0, 1)
    await vera.edit(chat, first.id, "hi")
    await vera.edit(chat, first.id, f"{both}!", mentions=names(both, "alice", "bob", **accounts))
    await replaced(talk, event.event_id, "hi Agent Alice, Agent Bob!")
    assert await counted() == (0, 0)

    # The whole room: as text by somebody who may not, and by Vera, who may; then in an edit.
    await ben.send(chat, "@room, hello")
    assert (await seen("@room, hello")).content["m.mentions"] == {}
    assert await counted() == (0, 0)
    everybody = await vera.send(chat, "@room, lunch", mentions=names("@room", "@room"))
    assert (await seen("@room, lunch")).content["m.mentions"] == {"room": True}
    assert await counted() == (1, 1)
    # A reply to it is for Vera alone.
    await ben.send(chat, "yes", reply_to=everybody.id)
    await seen("yes")
    assert await counted() == (0, 0)
    later = await vera.send(chat, "one more thing")
    original = await seen("one more thing")
    for words in ("@room, one more thing", "@room, another thing"):
        await vera.edit(chat, later.id, words, mentions=names("@room", "@room"))
        await replaced(talk, original.event_id, words)
    assert await counted() == (1, 1)

    # From Matrix: Bob's reply to Alice goes by her own client's mentions, and nothing of it comes back as an echo.
    await alice.send_text(room, "from alice")
    await until_said(vera, chat, "from alice")
    history = [event async for event in vera.history(chat) if isinstance(event, MessageEvent)]
    (asked,) = (event.message.id for event in history if event.message.text == "from alice")
    await vera.send(chat, "right", reply_to=asked)
    assert (await seen("right")).content["m.mentions"] == {"user_ids": [alice.user_id]}
    assert await counted() == (1, 0)

    features = [e for e in await alice.state(room) if e.type == ROOM_FEATURES]
    assert [(e.sender, e.content["edit"]) for e in features] == [(shared.bot, FULL)]
