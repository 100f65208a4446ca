"""Every fault does what PROTOCOL.md says, and the client says the truth about it."""

from __future__ import annotations

import asyncio
import time

import pytest

from example_bridge.webchat.client import (
    Disconnected,
    MessageEvent,
    RateLimited,
    Refused,
    Unavailable,
    WebchatClient,
)
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import DEADLINE, watching


@pytest.fixture
async def ann(server: Server, join: Join) -> WebchatClient:
    return await join(server, "ann", timeout=DEADLINE)


@pytest.fixture
async def chat(ann: WebchatClient) -> str:
    return (await ann.create_chat("group", id="chat")).id


async def committed(client: WebchatClient, chat: str) -> list[str]:
    return [event.message.text async for event in client.history(chat) if isinstance(event, MessageEvent)]


@pytest.mark.parametrize("streaming", [True, False])
async def test_slow(ann: WebchatClient, chat: str, streaming: bool) -> None:
    await ann.set_fault("slow", delay_ms=50)
    before = time.monotonic()
    if streaming:
        async with watching(ann):
            await asyncio.gather(*(ann.send(chat, "x") for _ in range(5)))
    else:
        await ann.send(chat, "x")
    assert time.monotonic() - before >= 0.05
    await ann.clear_faults()


async def test_cut_now(ann: WebchatClient, chat: str) -> None:
    async with watching(ann) as watcher:
        await ann.set_fault("cut")
        assert isinstance(await watcher.until_ended(), Disconnected)
    async with watching(ann):
        pass  # the next one lives


async def test_cut_after_the_commit_before_the_answer(ann: WebchatClient, chat: str) -> None:
    await ann.set_fault("cut", after=3)
    async with watching(ann) as watcher:
        await ann.send(chat, "1", nonce="1")
        await ann.send(chat, "2", nonce="2")
        with pytest.raises(Disconnected):
            await ann.send(chat, "3", nonce="3")
        await watcher.until_ended()
    assert await committed(ann, chat) == ["1", "2", "3"]
    assert (await ann.send(chat, "3", nonce="3")).seq == 5  # the repeat makes nothing new
    assert await committed(ann, chat) == ["1", "2", "3"]


async def test_cut_over_http(ann: WebchatClient, chat: str) -> None:
    await ann.set_fault("cut", after=1)
    with pytest.raises(Disconnected):
        await ann.send(chat, "1")
    assert await committed(ann, chat) == ["1"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_silent(server: Server, ann: WebchatClient, chat: str, streaming: bool) -> None:
    await ann.set_fault("silent", count=1)
    async with WebchatClient(server.url, ann.token, timeout=0.5) as hasty:
        if streaming:
            async with watching(hasty):
                with pytest.raises(Disconnected, match="no answer"):
                    await hasty.send(chat, "1")
                await hasty.send(chat, "2")
        else:
            with pytest.raises(Disconnected, match="no answer"):
                await hasty.send(chat, "1")
            await hasty.send(chat, "2")
    assert await committed(ann, chat) == ["1", "2"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_refuse(ann: WebchatClient, chat: str, streaming: bool) -> None:
    async def refused_sends() -> None:
        await ann.set_fault("refuse", count=1)
        with pytest.raises(Unavailable) as unavailable:
            await ann.send(chat, "1")
        assert unavailable.value.retry_after_ms is None
        await ann.set_fault("refuse", count=2, code="rate_limited", retry_after_ms=1234)
        for _ in range(2):
            with pytest.raises(RateLimited) as limited:
                await ann.send(chat, "2")
            assert limited.value.retry_after_ms == 1234
        await ann.set_fault("refuse", count=1, code="forbidden")
        with pytest.raises(Refused) as refused:
            await ann.send(chat, "3")
        assert refused.value.code == "forbidden"
        await ann.send(chat, "4")

    if streaming:
        async with watching(ann):
            await refused_sends()
    else:
        await refused_sends()
    assert await committed(ann, chat) == ["4"]


async def test_repeat(ann: WebchatClient, chat: str) -> None:
    await ann.set_fault("repeat")
    async with watching(ann) as watcher:
        await ann.send(chat, "1")
        assert await watcher.until_messages(2) == ["1", "1"]
        assert watcher.seqs(chat) == [1, 1, 2, 2, 3, 3]


async def test_garbage(ann: WebchatClient, chat: str) -> None:
    await ann.set_fault("garbage")
    async with watching(ann) as watcher:
        for number in range(10):
            await ann.send(chat, str(number))
        assert await watcher.until_messages(10) == [str(number) for number in range(10)]


async def test_deaf(server: Server, ann: WebchatClient, chat: str, join: Join) -> None:
    bob = await join(server, "bob")
    await ann.add_member(chat, "bob")
    async with watching(ann) as at_ann, watching(bob) as at_bob:
        before = len(at_ann.events)
        await ann.set_fault("deaf", account="ann")
        await ann.send(chat, "1")  # is answered
        await ann.send(chat, "2")
        await at_bob.until_messages(2)  # bob hears
        assert len(at_ann.events) == before
        await ann.clear_faults()
        assert await at_ann.until_messages(2) == ["1", "2"]


async def test_a_fault_for_one_account(server: Server, ann: WebchatClient, chat: str, join: Join) -> None:
    bob = await join(server, "bob")
    await ann.add_member(chat, "bob")
    await ann.set_fault("refuse", account="bob")
    await ann.send(chat, "fine")
    with pytest.raises(Unavailable):
        await bob.send(chat, "not fine")
    await ann.clear_faults()
    await bob.send(chat, "fine again")


@pytest.mark.parametrize("streaming", [True, False])
async def test_acts_meet_the_faults_too(server: Server, ann: WebchatClient, chat: str, streaming: bool) -> None:
    said = await ann.send(chat, "0")

    async def through_faults(hasty: WebchatClient) -> None:
        await ann.set_fault("silent", count=1)
        with pytest.raises(Disconnected, match="no answer"):
            await hasty.edit(chat, said.id, "1", nonce="e")
        done = await ann.edit(chat, said.id, "1", nonce="e")
        assert done.seq == said.seq + 1
        await ann.set_fault("refuse", count=1, code="rate_limited", retry_after_ms=7)
        with pytest.raises(RateLimited):
            await hasty.react(chat, said.id, "x", nonce="r")
        assert (await hasty.react(chat, said.id, "x", nonce="r")).seq == done.seq + 1
        await ann.set_fault("cut", after=1)
        with pytest.raises(Disconnected):
            await hasty.delete(chat, said.id, nonce="d")
        assert (await ann.delete(chat, said.id, nonce="d")).seq == done.seq + 2

    async with WebchatClient(server.url, ann.token, timeout=0.5) as hasty:
        if streaming:
            async with watching(hasty):
                await through_faults(hasty)
        else:
            await through_faults(hasty)
    assert len([event async for event in ann.history(chat, after=said.seq)]) == 3


async def test_a_fault_for_one_act(ann: WebchatClient, chat: str) -> None:
    said = await ann.send(chat, "0")
    await ann.set_fault("refuse", act="delete", count=1)
    await ann.edit(chat, said.id, "1")
    await ann.mark_read(chat, said.id)
    with pytest.raises(Unavailable):
        await ann.delete(chat, said.id)
    await ann.delete(chat, said.id)
    await ann.set_fault("refuse")
    await ann.mark_read(chat, said.id)  # reading and typing come when they like: only by name
    await ann.set_fault("refuse", act="read")
    with pytest.raises(Unavailable):
        await ann.mark_read(chat, said.id)


async def test_repeat_and_deaf_for_acts_and_signals(server: Server, ann: WebchatClient, chat: str, join: Join) -> None:
    bob = await join(server, "bob")
    await ann.add_member(chat, "bob")
    said = await ann.send(chat, "0")
    async with watching(ann, {chat: said.seq}) as at_ann:
        await ann.set_fault("repeat", account="ann")
        await bob.react(chat, said.id, "x")
        await bob.mark_read(chat, said.id)
        assert len(await at_ann.until_signals(2)) == 2
        assert at_ann.seqs(chat) == [said.seq + 1] * 2
        await ann.clear_faults()
        await ann.set_fault("deaf", account="ann")
        await bob.unreact(chat, said.id, "x")
        await bob.set_typing(chat)
        assert at_ann.seqs(chat) == [said.seq + 1] * 2 and len(at_ann.signals) == 2
        await ann.clear_faults()
        await at_ann.until_signals(3)
        await at_ann.until_seq(chat, said.seq + 2)


@pytest.mark.parametrize(
    "fault",
    [
        {"mode": "refuse", "act": "dance"},
        {"mode": "melt"},
        {"mode": "refuse", "code": "cross"},
        {"mode": "silent", "count": 0},
        {"mode": "cut", "after": 0},
    ],
)
async def test_faults_that_make_no_sense(ann: WebchatClient, fault: dict[str, object]) -> None:
    with pytest.raises(Refused, match="bad_request"):
        await ann.set_fault(**fault)  # type: ignore[arg-type]
