"""Talking with the bridge's bot, and what people are told in a portal."""

from __future__ import annotations

import pytest

from bridgekit.testing.client import MatrixClient, MatrixClientError
from tests.support.scene import Scene, Talk


async def bot_says(alice: MatrixClient, room: str, bot: str, count: int) -> list[str]:
    """The bot's first `count` messages in a room, in order."""
    events = await alice.wait_for_count(lambda e: e.sender == bot and e.type == "m.room.message", count, room_id=room)
    assert all(event.content["msgtype"] == "m.notice" for event in events)
    return [event.body or "" for event in events]


async def test_help_status_list_and_nonsense(shared: Scene) -> None:
    alice = await shared.user()
    room = await alice.create_room(invite=[shared.bot], is_direct=True)
    await bot_says(alice, room, shared.bot, 1)
    for count, words in enumerate(["help", "status", "list", "logout", "cancel", "!HELP", "gibberish <b>"], start=2):
        await alice.send_text(room, words)
        await bot_says(alice, room, shared.bot, count)

    hello, help, status, accounts, logout, cancel, help_again, unknown = await bot_says(alice, room, shared.bot, 8)

    assert "I bridge Webchat" in hello
    for command in ("help", "login", "logout", "list", "status", "cancel"):
        assert f"\n{command}" in help
    assert status == "The Webchat bridge is running."
    assert "You are not logged in" in accounts
    assert logout == "You are not logged in."
    assert cancel == "There is nothing to cancel."
    assert help_again == help
    assert "I do not know" in unknown
    assert "\nlogin" in unknown


async def test_wrong_token_cancel_login_and_logout(shared: Scene) -> None:
    alice = await shared.user()
    agent, agent_client = await shared.webchat_user("Agent Alice", kind="agent")
    account, visitor = await shared.webchat_user()
    room = await alice.create_room(invite=[shared.bot], is_direct=True)
    await bot_says(alice, room, shared.bot, 1)
    count = 1

    async def say(words: str, answers: int = 1) -> list[str]:
        nonlocal count
        count += answers
        await alice.send_text(room, words)
        return (await bot_says(alice, room, shared.bot, count))[-answers:]

    assert "Your webchat token, please" in (await say("login"))[0]
    # The bot may not delete in this room, and says so.
    answers = await say("no such token", 2)
    assert any("The login failed: the webchat does not know this token" in answer for answer in answers)
    assert any("please delete it yourself" in answer for answer in answers)
    await say("login")
    assert await say("cancel") == ["The login was cancelled."]
    await say("login")
    assert any("You are logged in as Agent Alice" in answer for answer in await say(agent.token, 2))
    assert await say("list") == [f"Agent Alice ({agent.id})"]
    assert "Agent Alice: connect" in (await say("status"))[0]
    talk = await shared.conversation(alice, room, agent, account, visitor)

    assert await say("logout") == ["You are logged out of Agent Alice."]
    assert "You are not logged in" in (await say("list"))[0]
    await alice.send_text(talk.room, "anybody there?")
    notice = await talk.from_bot("you are not logged in")
    assert notice.content["m.relates_to"]["m.in_reply_to"]["event_id"]
    await visitor.send(talk.chat, "are you gone?")
    assert not agent_client.connected

    # Logged in again, everything said meanwhile arrives.
    await say("login")
    await say(agent.token, 2)
    assert await talk.from_visitor("are you gone?") == ["hello", "are you gone?"]


async def test_login_answer_is_redacted_where_the_bot_may(shared: Scene) -> None:
    alice = await shared.user()
    agent, _ = await shared.webchat_user("Agent Alice", kind="agent")
    room = await alice.create_room(invite=[shared.bot], is_direct=True, power_level_content_override={"redact": 0})
    await bot_says(alice, room, shared.bot, 1)
    await alice.send_text(room, "login")
    await bot_says(alice, room, shared.bot, 2)
    secret = await alice.send_text(room, agent.token)
    await alice.wait_for(lambda e: e.type == "m.room.redaction" and e.sender == shared.bot, room_id=room)

    said = await bot_says(alice, room, shared.bot, 3)

    assert said[-1] == "You are logged in as Agent Alice."
    assert (await alice.get_event(room, secret)).content == {}
    assert agent.token not in shared.log()


async def test_an_account_is_one_persons(shared: Scene, talk: Talk) -> None:
    bob = await shared.user("bob")
    room = await bob.create_room(invite=[shared.bot], is_direct=True)
    await bot_says(bob, room, shared.bot, 1)
    await bob.send_text(room, "login")
    await bot_says(bob, room, shared.bot, 2)
    await bob.send_text(room, talk.agent.token)

    said = await bot_says(bob, room, shared.bot, 4)

    assert any("is logged in by somebody else already" in words for words in said)
    assert await talk.alice.texts(talk.room) == ["hello"]


@pytest.mark.parametrize("when", ["before the invitation", "later"])
async def test_encrypted_room_with_the_bot(shared: Scene, when: str) -> None:
    alice = await shared.user()
    content = {"algorithm": "m.megolm.v1.aes-sha2"}
    encryption = {"type": "m.room.encryption", "state_key": "", "content": content}
    initial = [encryption] if when == "before the invitation" else []
    room = await alice.create_room(invite=[shared.bot], is_direct=True, initial_state=initial)
    if when == "later":
        await bot_says(alice, room, shared.bot, 1)
        await alice.set_state(room, "m.room.encryption", content)
        await alice.send(room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "secret"})

    said = await alice.wait_for(lambda e: e.sender == shared.bot and "cannot read" in (e.body or ""), room_id=room)
    assert "encrypted" in (said.body or "")
    other = await alice.wait_for_invite()
    await alice.join(other)
    assert await alice.get_state(other, "m.room.encryption") is None
    assert set(await alice.joined_members(other)) == {alice.user_id, shared.bot}
    await alice.send_text(other, "status")
    assert await bot_says(alice, other, shared.bot, 1) == ["The Webchat bridge is running."]


async def test_portal_cannot_be_encrypted_and_a_secret_message_is_refused(talk: Talk) -> None:
    with pytest.raises(MatrixClientError) as refused:
        await talk.alice.set_state(talk.room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert refused.value.status == 403
    event = await talk.alice.send(
        talk.room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "secret"}
    )
    notice = await talk.from_bot("Your message was not sent: the message is encrypted")
    assert notice.content["m.relates_to"] == {"m.in_reply_to": {"event_id": event}}


async def test_what_cannot_cross_gets_a_reason(talk: Talk) -> None:
    alice, room = talk.alice, talk.room
    await alice.send_text(room, "original")
    sent = {
        "the file is encrypted": await alice.send(
            room, "m.room.message", {"msgtype": "m.image", "body": "cat.png", "file": {"url": "mxc://hs.test/cat"}}
        ),
        "does not say where its file is": await alice.send(
            room, "m.sticker", {"body": "wave", "url": "mxc://../wave", "info": {}}
        ),
        "messages of this kind are not bridged": await alice.send(
            room, "m.room.message", {"msgtype": "org.example.dance", "body": "dances"}
        ),
    }
    await alice.send_text(room, "end")

    for reason, event_id in sent.items():
        notice = await talk.from_bot(reason)
        assert notice.body is not None
        assert notice.body.startswith("Your message was not sent: ")
        assert notice.content["m.relates_to"] == {"m.in_reply_to": {"event_id": event_id}}
    assert await talk.from_alice("end") == ["original", "end"]


async def test_stranger_in_a_portal_is_told(shared: Scene, talk: Talk) -> None:
    bob = await shared.user("bob")
    bot = shared.slot.client()
    async with bot:
        await bot.invite(talk.room, bob.user_id)
    await bob.join(talk.room)
    await bob.send_text(talk.room, "let me in")
    notice = await talk.from_bot("you are not logged in")
    assert notice.body == (
        "Your message was not sent: you are not logged in to the network that this room belongs to, and no relay is "
        'set here; say "login" to the bot in a room of your own. Until then nothing that you write here reaches '
        "Webchat, and this is said only once."
    )
    await talk.alice.send_text(talk.room, "end")
    assert await talk.from_alice("end") == ["end"]
