"""Who has read and who is writing, on the real servers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable
from typing import Any

from example_bridge.webchat.client import Event, ReadSignal, Ready, Signal, TypingSignal
from tests.support.scene import Talk

Stream = AsyncGenerator[Event | Signal | Ready, None]


async def signal(stream: Stream, fits: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(20):
        async for item in stream:
            if fits(item):
                return


def says_of(account: str, typing: bool, item: object) -> bool:
    return isinstance(item, TypingSignal) and (item.account, item.typing) == (account, typing)


def who_types(talk: Talk) -> list[str]:
    """As Alice's client shows it now."""
    lists = [e.content["user_ids"] for e in talk.alice.ephemeral if (e.room_id, e.type) == (talk.room, "m.typing")]
    return lists[-1] if lists else []


def has_read(talk: Talk, event_id: str) -> bool:
    return any(
        talk.ghost in e.content.get(event_id, {}).get("m.read", {})
        for e in talk.alice.ephemeral
        if (e.room_id, e.type) == (talk.room, "m.receipt")
    )


async def test_reading_and_typing_reach_the_network(talk: Talk) -> None:
    alice, agent = talk.alice, talk.agent.id
    hello = await alice.wait_for_text(talk.room, "hello")
    async with contextlib.aclosing(talk.visitor.stream_and_signals()) as stream:
        await signal(stream, lambda item: isinstance(item, Ready))
        await alice.request("POST", f"client/v3/rooms/{talk.room}/receipt/m.read/{hello.event_id}", {})
        await signal(stream, lambda item: isinstance(item, ReadSignal) and item.account == agent)
        for typing in (True, False):
            body = {"typing": True, "timeout": 30_000} if typing else {"typing": False}
            await alice.request("PUT", f"client/v3/rooms/{talk.room}/typing/{alice.user_id}", body)
            await signal(stream, functools.partial(says_of, agent, typing))


async def test_reading_and_typing_reach_matrix(talk: Talk) -> None:
    alice, visitor = talk.alice, talk.visitor
    question = await alice.send_text(talk.room, "are you there?")
    *_, asked = await talk.messages_from_alice("are you there?")
    await visitor.mark_read(talk.chat, asked.id)
    await alice.wait_until(lambda: has_read(talk, question) or None)
    await visitor.set_typing(talk.chat)
    await alice.wait_until(lambda: talk.ghost in who_types(talk) or None)
    await visitor.send(talk.chat, "yes")
    await alice.wait_for_text(talk.room, "yes")
    await alice.wait_until(lambda: talk.ghost not in who_types(talk) or None)
