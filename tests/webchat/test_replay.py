"""Whatever happens in a chat: reading it again from any cursor ends where watching it live did."""

from __future__ import annotations

import asyncio
import random

import pytest

from example_bridge.webchat.client import Event, Mention, Refused, Span, WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import watching
from tests.webchat.state import State

EMOJI = ("👍", "❤️", "❤", "👩‍👩‍👧‍👧")


class Crowd:
    """People who do things at random, from a seed. Half of what they do is refused, which is a thing to do too."""

    def __init__(self, seed: int, chat: str, people: dict[str, WebchatClient], agent: WebchatClient) -> None:
        self.random = random.Random(seed)
        self.chat = chat
        self.names = list(people)  # who comes and goes; the agent stays
        self.actors = [*people.values(), agent]
        self.messages: list[str] = []
        self.done = 0

    async def act(self) -> None:
        pick = self.random.choice
        who, whom = pick(self.actors), pick(self.names or ["ann"])
        nonce = f"n{self.random.randrange(40)}"
        kinds = ["send", "edit", "edit", "delete", "react", "react", "unreact", "read", "name"]
        kinds += ["role", "out", "in"] if self.names else []
        kind = pick(kinds) if self.messages else "send"
        message = pick(self.messages[-5:]) if self.messages else ""
        try:
            match kind:
                case "send":
                    said = await who.send(self.chat, f"😀 text {self.done}", format=(Span(0, 2, "bold"),), nonce=nonce)
                    self.messages.append(said.id)
                case "edit":
                    mention = Mention(0, 2, user=whom)
                    await who.edit(self.chat, message, f"😀 edit {self.done}", mentions=(mention,), nonce=nonce)
                case "delete":
                    await who.delete(self.chat, message)
                case "react":
                    await who.react(self.chat, message, pick(EMOJI), nonce=nonce)
                case "unreact":
                    await who.unreact(self.chat, message, pick(EMOJI))
                case "read":
                    await who.mark_read(self.chat, message)
                case "role":
                    await who.set_role(self.chat, whom, pick(("member", "moderator", "admin")))
                case "out":
                    await who.remove_member(self.chat, whom, ban=pick((True, False)))
                case "in":
                    await pick((who.unban, who.add_member))(self.chat, whom)
                case "name":
                    await who.change_chat(self.chat, name=f"name {self.done % 3}", topic=f"topic {self.done % 2}")
            self.done += 1
        except Refused:
            pass


@pytest.mark.parametrize("seed", range(6))
async def test_any_cursor_leads_to_the_same_state(server: Server, join: Join, seed: int) -> None:
    agent = await join(server, "agent", "agent")
    people = {name: await join(server, name) for name in ("ann", "bob", "eve")}
    chat = (await agent.create_chat("group", list(people))).id
    crowd = Crowd(seed, chat, people, agent)
    watcher_account = await join(server, "watcher")
    await agent.add_member(chat, "watcher")
    before: list[State] = []  # what the watcher knew on the way
    async with watching(watcher_account) as watcher:
        for _ in range(60):
            await crowd.act()
            last = (await agent.chat(chat)).last_seq
            await watcher.until_seq(chat, last)
            before.append(State().take_all(watcher.events))
    live = State().take_all(watcher.events)

    history: list[Event] = [event async for event in agent.history(chat)]
    assert [event.seq for event in history] == list(range(1, live.seq + 1))
    assert State().take_all(history).visible() == live.visible()
    for known in before:
        cursor = known.seq
        known.take_all(history[cursor:])
        assert (known.visible(), known.members, known.roles) == (live.visible(), live.members, live.roles), cursor
        assert (known.name, known.topic, known.seq) == (live.name, live.topic, live.seq), cursor

    now = await agent.chat(chat)
    assert (live.members, live.roles) == ({member.id for member in now.members}, now.roles)
    assert (live.name, live.topic) == (now.name, now.topic)


async def test_streams_that_break_again_and_again_miss_nothing(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("group", ["bob"])).id
    crowd = Crowd(7, chat, {}, ann)
    state, live = State(), State()
    async with watching(ann) as at_ann:
        for number in range(5):
            async with watching(bob, {chat: state.seq}) as at_bob:
                await asyncio.gather(*(crowd.act() for _ in range(10)))
                marker = await ann.send(chat, f"round {number}")
                if number % 2:
                    await at_bob.until_seq(chat, marker.seq)
            state.take_all(at_bob.events)
        await at_ann.until_seq(chat, (await ann.chat(chat)).last_seq)
        live.take_all(at_ann.events)
    state.take_all([event async for event in bob.history(chat, after=state.seq)])
    assert (state.visible(), state.seq) == (live.visible(), live.seq)
