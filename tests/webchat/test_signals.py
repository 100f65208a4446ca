"""Who has read, and who writes: told, never kept as events."""

from __future__ import annotations

import pytest

from example_bridge.webchat.client import ReadSignal, Refused, TypingSignal, WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import watching


@pytest.fixture
async def ann(server: Server, join: Join) -> WebchatClient:
    return await join(server, "ann")


@pytest.fixture
async def bob(server: Server, join: Join) -> WebchatClient:
    return await join(server, "bob")


@pytest.fixture
async def chat(ann: WebchatClient, bob: WebchatClient) -> str:
    return (await ann.create_chat("direct", ["bob"], id="chat")).id


async def test_receipts_only_move_forward(ann: WebchatClient, bob: WebchatClient, chat: str) -> None:
    first, second = await ann.send(chat, "1"), await ann.send(chat, "2")
    async with watching(ann) as at_ann:
        assert (await bob.mark_read(chat, second.id)).seq == second.seq
        await bob.mark_read(chat, first.id)
        await bob.mark_read(chat, second.id)
        third = await ann.send(chat, "3")
        await bob.mark_read(chat, third.id)
        told = await at_ann.until_signals(2)
    assert [(each.seq, each.message) for each in told if isinstance(each, ReadSignal)] == [
        (second.seq, second.id),
        (third.seq, third.id),
    ]
    assert {each.account for each in told} == {"bob"}
    assert (await ann.chat(chat)).read == {"bob": third.seq}
    assert (await ann.chat(chat)).last_seq == third.seq  # no event
    with pytest.raises(Refused, match="not_found"):
        await bob.mark_read(chat, "never")


async def test_who_comes_back_is_told_how_far_everybody_has_read(
    ann: WebchatClient, bob: WebchatClient, chat: str
) -> None:
    said = await ann.send(chat, "1")
    await bob.mark_read(chat, said.id)
    async with watching(ann) as at_ann:
        told = await at_ann.until_signals(1)
    assert [(each.account, each.message) for each in told if isinstance(each, ReadSignal)] == [("bob", said.id)]


async def test_a_receipt_comes_behind_the_message_that_was_read(
    server: Server, ann: WebchatClient, bob: WebchatClient, chat: str
) -> None:
    for number in range(1100):  # more than a window
        await ann.send(chat, str(number))
    said = await ann.send(chat, "the last")
    await bob.mark_read(chat, said.id)
    order = []
    async for item in ann.stream_and_signals():
        order.append(item)
        if isinstance(item, ReadSignal):
            break
    assert len(order) == said.seq + 1 and order[-1].message == said.id  # type: ignore[union-attr]


async def test_typing_is_told_to_the_others_who_are_there(
    ann: WebchatClient, bob: WebchatClient, chat: str, server: Server, join: Join
) -> None:
    eve = await join(server, "eve")
    async with watching(ann) as at_ann, watching(bob) as at_bob, watching(eve) as at_eve:
        await bob.set_typing(chat)
        await at_ann.until_signals(1)
        await bob.set_typing(chat, False)
        told = await at_ann.until_signals(2)
        assert told == [TypingSignal(chat, "bob", True, 10_000), TypingSignal(chat, "bob", False, 10_000)]
        await ann.set_typing(chat)
        assert await at_bob.until_signals(1) == [TypingSignal(chat, "ann", True, 10_000)]
        assert at_eve.signals == []
        with pytest.raises(Refused, match="forbidden"):
            await eve.set_typing(chat)
    async with watching(ann) as again:
        await ann.send(chat, "x")
        await again.until_messages(1)
        assert again.signals == []  # nobody who came later is told
    assert (await ann.chat(chat)).last_seq == 4
