"""A network on a bad day: refusals, silence, cuts, a token that is revoked, a server that is down."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from example_bridge.webchat.client import WebchatClient
from tests.acceptance.conftest import SceneFactory
from tests.support.scene import Scene, Talk
from tests.support.webchat import WebchatServer


@pytest.fixture
async def faults(webchat: WebchatServer) -> AsyncIterator[WebchatClient]:
    """For `set_fault(mode, account=...)`; all are cleared afterwards."""
    async with WebchatClient(webchat.url) as client:
        yield client
        await client.clear_faults()


async def say(talk: Talk, *texts: str) -> list[str]:
    """Alice says something, one after the other; the event ids."""
    return [await talk.alice.send_text(talk.room, text) for text in texts]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"mode": "refuse", "code": "unavailable", "count": 2}, id="unavailable"),
        pytest.param({"mode": "refuse", "code": "rate_limited", "retry_after_ms": 1500, "count": 1}, id="rate limited"),
        pytest.param({"mode": "cut", "after": 2}, id="cut"),
        pytest.param({"mode": "slow", "delay_ms": 300}, id="slow"),
    ],
)
async def test_what_passes_is_waited_for(talk: Talk, faults: WebchatClient, fault: dict[str, object]) -> None:
    """Nothing overtakes the message that waits, none is lost, and none is doubled: the network drops repeats."""
    await faults.set_fault(account=talk.agent.id, **fault)  # type: ignore[arg-type]  # the values fit
    await say(talk, "1", "2", "3", "4")
    assert await talk.from_alice("4") == ["1", "2", "3", "4"]


async def test_what_the_network_refuses_is_told_and_holds_up_nothing(talk: Talk, faults: WebchatClient) -> None:
    await say(talk, "1")
    await talk.from_alice("1")
    await faults.set_fault("refuse", account=talk.agent.id, code="forbidden", count=1)
    refused, _, _ = await say(talk, "2", "3", "4")
    assert await talk.from_alice("4") == ["1", "3", "4"]
    notice = await talk.from_bot("Your message was not sent: the webchat refused it")
    assert notice.content["m.relates_to"]["m.in_reply_to"]["event_id"] == refused


async def test_silence_is_told_and_then_over(make_scene: SceneFactory, webchat: WebchatServer) -> None:
    """A send without an answer is repeated under its nonce, so that it is there once."""
    delivery = {"send_timeout_s": 1, "tell_after_s": 0.5}
    async with WebchatClient(webchat.url) as faults, make_scene(more={"delivery": delivery}) as scene:
        talk = await scene.talk()
        await faults.set_fault("silent", account=talk.agent.id)
        await say(talk, "1", "2")
        waiting = await talk.from_bot("Your message has not been sent yet")
        assert "no answer from the network" in (waiting.body or "")
        await faults.clear_faults()
        assert await talk.from_alice("2") == ["1", "2"]
        await say(talk, "end")
        assert await talk.from_alice("end") == ["1", "2", "end"]


async def test_revoked_token(shared: Scene, faults: WebchatClient) -> None:
    """The person is told; what was said meanwhile crosses, in order, once they have logged in again."""
    talk = await shared.talk()
    renewed = await faults.renew_token(talk.agent.id)
    told = await talk.from_bot("the login is no longer valid", room=talk.management)
    assert "Agent Alice" in (told.body or "")
    assert '"login"' in (told.body or "")
    await say(talk, "1", "2")
    await talk.visitor.send(talk.chat, "one")
    await talk.visitor.send(talk.chat, "two")
    await talk.alice.send_text(talk.management, "status")
    await talk.from_bot('say "login" to log in again', room=talk.management)

    await talk.alice.send_text(talk.management, "login")
    asked = "Your webchat token, please"
    await talk.alice.wait_for_count(
        lambda e: e.sender == talk.bot and asked in (e.body or ""), 2, room_id=talk.management
    )
    await talk.alice.send_text(talk.management, renewed.token)

    assert await talk.from_alice("2") == ["1", "2"]
    assert await talk.from_visitor("two") == ["hello", "one", "two"]
    await say(talk, "end")
    assert await talk.from_alice("end") == ["1", "2", "end"]


async def test_server_down_for_a_while(make_scene: SceneFactory, private_webchat: WebchatServer, database: str) -> None:
    """What waits is told to its sender; one that is deleted meanwhile does not cross; the rest does, in order."""
    more = {"delivery": {"tell_after_s": 0.2}}
    async with make_scene(with_webchat=private_webchat, database=database, more=more) as scene:
        talk = await scene.talk()
        await say(talk, "before")
        await talk.from_alice("before")
        await private_webchat.stop()
        events = await say(talk, "A", "B", "C")
        await talk.from_bot("Your message has not been sent yet")
        await talk.alice.redact(talk.room, events[1])
        await scene.until_logged("a message was deleted before it was sent")
        await private_webchat.start()

        assert await talk.from_alice("C") == ["before", "A", "C"]
        await talk.visitor.send(talk.chat, "back again")
        await say(talk, "end")
        assert await talk.from_alice("end") == ["before", "A", "C", "end"]
        assert await talk.from_visitor("back again") == ["hello", "back again"]


async def test_the_head_may_be_deleted_too(make_scene: SceneFactory, private_webchat: WebchatServer) -> None:
    async with make_scene(with_webchat=private_webchat) as scene:
        talk = await scene.talk()
        await private_webchat.stop()
        first, _ = await say(talk, "A", "B")
        await talk.alice.redact(talk.room, first)
        await scene.until_logged("a message was deleted before it was sent")
        await private_webchat.start()
        assert await talk.from_alice("B") == ["B"]


async def test_events_repeated_and_garbled_by_the_network(talk: Talk, faults: WebchatClient) -> None:
    for mode in ("repeat", "garbage"):
        await faults.set_fault(mode, account=talk.agent.id)
    for text in ("1", "2", "3"):
        await talk.visitor.send(talk.chat, text)
    assert await talk.from_visitor("3") == ["hello", "1", "2", "3"]
    await say(talk, "end")
    assert await talk.from_alice("end") == ["end"]
    await talk.visitor.send(talk.chat, "end")
    assert await talk.from_visitor("end") == ["hello", "1", "2", "3", "end"]
