"""People without a login in a portal: relayed, or told why not. And the doors, for those who may not pass."""

from __future__ import annotations

import asyncio

from bridgekit.testing.client import MatrixClient
from tests.acceptance.conftest import SceneFactory
from tests.support.scene import Talk

PICTURES = "https://pictures.test/{server}/{media}"


async def bring_in(talk: Talk, bob: MatrixClient, *, relay: bool = True) -> None:
    """Alice has the bot invite Bob, and perhaps becomes the relay."""
    await talk.alice.send_text(talk.room, f"!webchat invite {bob.user_id}")
    assert await bob.wait_for_invite() == talk.room
    await bob.join(talk.room)
    if relay:
        await talk.alice.send_text(talk.room, "!webchat set-relay")
        await talk.from_bot("From now on people here who are not logged in to Webchat speak through Agent Alice")


async def test_relayed_both_ways_whatever_is_killed(make_scene: SceneFactory, database: str) -> None:
    async with make_scene(database=database, more={"relay": {"avatar_url": PICTURES}}) as scene:
        bob = await scene.user("bob")
        await bob.set_displayname("Bob\nthe Builder")
        mxc = await bob.upload(b"not really a picture", "image/png")
        await bob.request("PUT", f"client/v3/profile/{bob.user_id}/avatar_url", {"avatar_url": mxc})
        talk = await scene.talk()
        await bring_in(talk, bob)
        ours, theirs = [f"from bob {number}" for number in range(20)], [f"to matrix {number}" for number in range(20)]

        async def speak() -> None:
            for text in ours:
                await bob.send_text(talk.room, text)

        async def answer() -> None:
            for text in theirs:
                await talk.visitor.send(talk.chat, text)

        async def kill() -> None:
            await talk.until(lambda event: getattr(getattr(event, "message", None), "text", "") == ours[3])
            await scene.bridge.kill()
            await scene.bridge.start()

        await asyncio.gather(speak(), answer(), kill())
        await talk.alice.send_text(talk.room, "end")
        await talk.visitor.send(talk.chat, "end")

        messages = await talk.messages_from_alice("end")
        assert [message.text for message in messages] == [*ours, "end"]
        shown = [message.shown_as for message in messages]
        assert shown[-1] is None
        (server, media) = mxc.removeprefix("mxc://").split("/")
        assert {(who.name, who.avatar_url) for who in shown[:-1] if who is not None} == {
            ("Bob the Builder", f"https://pictures.test/{server}/{media}")
        }
        # Everything that comes back is for Bob too, and what we have sent ourselves does not come back.
        assert await talk.from_visitor("end") == ["hello", *theirs, "end"]
        await bob.wait_for(lambda event: event.body == "end" and event.sender == talk.ghost, room_id=talk.room)
        ghosts = {
            member for member in await bob.joined_members(talk.room) if member.startswith(f"@{scene.slot.prefix}")
        }
        assert ghosts == {talk.ghost}

        # The relay is on disk; without it Bob is told why nothing crosses, once.
        await talk.alice.send_text(talk.room, "!webchat unset-relay")
        await talk.from_bot("does not reach Webchat any more")
        await bob.send_text(talk.room, "one more")
        await bob.send_text(talk.room, "and another")
        await talk.alice.send_text(talk.room, "over")
        assert (await talk.from_alice("over"))[-2:] == ["end", "over"]
        told = await talk.alice.wait_for_count(
            lambda event: event.sender == talk.bot and "you are not logged in" in (event.body or ""),
            1,
            room_id=talk.room,
        )
        assert len(told) == 1


async def test_nobody_passes_a_door_that_is_not_theirs(make_scene: SceneFactory) -> None:
    scene = make_scene()
    alice, guest, stranger = await scene.user("alice"), await scene.user("guest"), await scene.user("stranger")
    scene.bridge.config["permissions"] = {alice.user_id: "admin", guest.user_id: "relay"}

    async def hear(who: MatrixClient, room: str, words: str) -> str:
        event = await who.wait_for(lambda e: e.sender == scene.bot and words in (e.body or ""), room_id=room)
        return event.body or ""

    async with scene:
        # Who may nothing is told so, once, and the bot leaves.
        room = await stranger.create_room(invite=[scene.bot], is_direct=True)
        assert "you may not use this bridge" in await hear(stranger, room, "sorry")
        await stranger.wait_for(
            lambda e: e.type == "m.room.member" and e.state_key == scene.bot and e.content["membership"] == "leave",
            room_id=room,
        )
        # A guest may talk with the bot, and not log in.
        room = await guest.create_room(invite=[scene.bot], is_direct=True)
        await hear(guest, room, "You may not log in")
        await guest.send_text(room, "login")
        await hear(guest, room, "You may not log in to this bridge")
        await guest.send_text(room, "dead")
        await hear(guest, room, "Only admins")

        agent, _ = await scene.webchat_user("Agent Alice", kind="agent")
        account, visitor = await scene.webchat_user()
        management = await scene.log_in(alice, agent)
        talk = await scene.conversation(alice, management, agent, account, visitor)
        await alice.send_text(talk.room, f"!webchat invite {stranger.user_id}")
        await hear(alice, talk.room, "may not use this bridge")
        await bring_in(talk, guest)
        await guest.send_text(talk.room, "let me in")
        messages = await talk.messages_from_alice("let me in")
        assert messages[-1].shown_as is not None

        # What the admin sees: who, where, and what went wrong, but nobody's words.
        await alice.send_text(management, "logins")
        assert alice.user_id in await hear(alice, management, "Logins: 1")
        await alice.send_text(management, "portals")
        portals = await alice.wait_for(lambda e: "Portals: 1" in (e.body or ""), room_id=management)
        assert talk.room in (portals.body or "")
        assert "<table>" in portals.content["formatted_body"]
        await alice.send(talk.room, "m.room.message", {"msgtype": "m.image", "body": "secret.png"})
        await hear(alice, talk.room, "does not say where its file is")

        # Taken away: refused in words after the next start, and the account is not connected.
        await scene.bridge.stop()
        scene.bridge.config["permissions"] = {guest.user_id: "admin"}
        await scene.bridge.start()
        await alice.send_text(talk.room, "may I still?")
        await hear(alice, talk.room, "you may not use this bridge")
        await scene.until_logged(f"{agent.id} is not connected")
        await guest.send_text(room, "dead")
        dead = await hear(guest, room, "Dead letters\n")
        assert "bad_content" in dead and "secret" not in dead
