"""A chat that two people on Matrix see through two logins: everything in it crosses once, and in order."""

from __future__ import annotations

from tests.support.scene import Scene
from tests.support.world import until_said


async def test_two_logins_in_one_chat(shared: Scene) -> None:
    alice, bob = await shared.user("alice"), await shared.user("bob")
    agent_a, remote_a = await shared.webchat_user("Agent Alice", kind="agent")
    agent_b, remote_b = await shared.webchat_user("Agent Bob", kind="agent")
    _, visitor = await shared.webchat_user()
    await shared.log_in(alice, agent_a)
    await shared.log_in(bob, agent_b)
    chat = await visitor.create_chat("group", [agent_a.id, agent_b.id], name="All of us")
    said = [f"line {number}" for number in range(20)]
    for line in said:
        await visitor.send(chat.id, line)

    room = await alice.wait_for_invite()
    await alice.join(room)
    await alice.wait_for_text(room, said[-1])
    # The second login's own copy of the next message brings its person in, whichever login was first.
    await visitor.send(chat.id, "one more")
    assert await bob.wait_for_invite(timeout_s=60) == room
    await bob.join(room)
    await alice.wait_for_text(room, "one more")

    # What one of them says reaches the network once, by the own account, and comes back to nobody as an echo.
    await alice.send_text(room, "from alice")
    await bob.wait_for_text(room, "from alice")
    await bob.send_text(room, "from bob")
    # The two directions are two lanes: only what has arrived there comes before what is said there next.
    await until_said(visitor, chat.id, "from bob")
    # By their webchat accounts they are not bridged persons in the room, but what they type there is bridged.
    await remote_a.send(chat.id, "alice, from her other window")
    await alice.wait_for_text(room, "alice, from her other window")
    await remote_b.send(chat.id, "the last word")
    await bob.wait_for_text(room, "the last word", timeout_s=60)

    expected = [*said, "one more", "from alice", "from bob", "alice, from her other window", "the last word"]
    assert await alice.texts(room) == expected
    async with shared.webchat.client(agent_a) as reader:
        events = [event async for event in reader.history(chat.id)]
    texts = [event.message.text for event in events if hasattr(event, "message")]
    assert texts == expected
