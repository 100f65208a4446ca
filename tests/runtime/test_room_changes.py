"""What people change in a portal's room, and what the network makes of it."""

from __future__ import annotations

import asyncio

import pytest

from bridgekit.adapter.capabilities import CanInvite, CanLeave, CanRemove, CanRename
from bridgekit.errors import HomeserverUnreachable, Rejected, Transient
from bridgekit.model.ids import ChatID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.matrix import MatrixMember
from bridgekit.model.remote import ChatKind, RemoteChat
from bridgekit.runtime import points
from bridgekit.runtime.chats import ChatRules
from bridgekit.testing.deeds import Deed, Outcome, Removal, Renaming
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork

CHAT = PortalKey(ChatID("chat"))
BOT = UserID("@bot:test")
FRIEND, BEN = UserID("@fake_friend:test"), UserID("@fake_ben:test")
BOB = UserID("@bob:test")


def membership(harness: Harness, room: RoomID, user: UserID) -> str | None:
    return harness.homeserver.rooms[room].members.get(user)


async def begun(*lacks: type, rules: ChatRules | None = None) -> tuple[Harness, RoomID]:
    harness = Harness(FakeNetwork(lacks=lacks), chats=rules)
    await harness.start()
    return harness, await harness.portal()


# --- people -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_an_invited_ghost_is_invited_there(echo: str) -> None:
    harness, room = await begun()
    harness.network.echo = "nonce" if echo == "nonce" else "none"
    harness.homeserver.invite_ghost(ALICE, BEN, room=room)
    await harness.settle(5)
    assert [(each.user, each.portal) for each in harness.network.invites] == [("ben", CHAT)]
    assert membership(harness, room, BEN) == "join"
    await harness.kill()


@pytest.mark.parametrize("how", ["leave", "ban"])
@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_a_removed_ghost_is_removed_there(how: str, echo: str) -> None:
    harness, room = await begun()
    harness.network.echo = "nonce" if echo == "nonce" else "none"
    harness.homeserver.set_membership(room, ALICE, FRIEND, how, reason="spam")
    await harness.settle(5)
    friend = MatrixMember(portal=CHAT, user=RemoteUserID("friend"), reason="spam")
    assert harness.network.removals == [Removal(friend, how == "ban")]
    assert membership(harness, room, FRIEND) == how
    assert harness.homeserver.bodies(room, notices=True) == []
    await harness.kill()


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("how", ["leave", "ban"])
async def test_a_removal_that_the_network_does_not_do_is_undone(how: str, refused: bool) -> None:
    harness, room = await begun(*(() if refused else (CanRemove,)))
    if refused:
        harness.network.next_deeds("remove", Rejected("you are no admin"))
    harness.homeserver.set_membership(room, ALICE, FRIEND, how)
    await harness.settle(5)
    assert membership(harness, room, FRIEND) == "join"
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert ("you are no admin" in notice) is refused
    harness.network.say("chat", "friend", "still here")
    await harness.settle(5)
    assert harness.homeserver.bodies(room)[-1] == "still here"
    await harness.kill()


async def test_an_invitation_that_the_network_does_not_do_is_turned_down() -> None:
    harness, room = await begun(CanInvite)
    for ghost in (BEN, FRIEND):
        harness.homeserver.invite_ghost(ALICE, ghost, room=room)
    harness.homeserver.rooms[room].members[FRIEND] = "join"
    await harness.settle(5)
    assert membership(harness, room, BEN) == "leave"
    assert membership(harness, room, FRIEND) == "join"
    assert len(harness.homeserver.bodies(room, notices=True)) == 1
    await harness.kill()


async def test_without_a_login_nothing_is_changed() -> None:
    harness, room = await begun()
    harness.homeserver.rooms[room].members[BOB] = "join"
    harness.homeserver.set_membership(room, BOB, FRIEND, "leave")
    harness.homeserver.set_state(room, BOB, "m.room.name", {"name": "Bob's"})
    await harness.settle(5)
    assert membership(harness, room, FRIEND) == "join"
    assert harness.homeserver.rooms[room].state["m.room.name", ""] == {"name": "Chat chat"}
    assert harness.network.tried == []
    assert len(harness.homeserver.bodies(room, notices=True)) == 2
    await harness.kill()


async def test_what_was_changed_again_meanwhile_is_not_told(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.set_membership(room, ALICE, FRIEND, "leave")
    harness.homeserver.set_membership(room, ALICE, FRIEND, "invite")
    await harness.settle(5)
    assert harness.network.removals == []
    assert membership(harness, room, FRIEND) == "join"


async def test_a_name_or_picture_of_a_person_is_no_change(harness: Harness) -> None:
    room = await harness.portal()
    calls = len(harness.homeserver.calls)
    harness.homeserver.set_membership(room, ALICE, ALICE, "join", displayname="Alice B.")
    await harness.settle(5)
    assert harness.network.tried == [] and harness.homeserver.calls[calls:] == []


# --- leaving ----------------------------------------------------------------------------------------------------------
async def test_who_leaves_the_room_leaves_the_group(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.set_membership(room, ALICE, ALICE, "leave")
    await harness.settle(5)
    assert harness.network.left == [CHAT]
    assert await harness.store.portal(CHAT) is None
    assert membership(harness, room, FRIEND) == "leave"
    # Added again there, the chat comes back.
    harness.network.say("chat", "friend", "welcome back")
    await harness.settle(5)
    (other,) = (each for each in harness.homeserver.rooms if "welcome back" in harness.homeserver.bodies(each))
    assert other != room and membership(harness, other, ALICE) == "invite"


@pytest.mark.parametrize("why", ["direct", "not supported", "configured"])
async def test_elsewhere_the_next_message_invites_again(why: str) -> None:
    harness, room = await begun(
        *((CanLeave,) if why == "not supported" else ()), rules=ChatRules(leave_with_room=why != "configured")
    )
    if why == "direct":
        harness.network.emit(RemoteChat(portal=CHAT, kind=ChatKind.DIRECT))
        await harness.settle(5)
    harness.homeserver.set_membership(room, ALICE, ALICE, "leave")
    await harness.settle(5)
    assert harness.network.left == [] and membership(harness, room, ALICE) == "leave"
    await harness.stop()
    await harness.start()
    harness.network.say("chat", "friend", "where are you")
    await harness.settle(5)
    assert membership(harness, room, ALICE) == "invite"
    assert harness.homeserver.bodies(room)[-1] == "where are you"
    # Who turns that down is left in peace.
    harness.homeserver.set_membership(room, ALICE, ALICE, "leave")
    harness.network.say("chat", "friend", "hm")
    await harness.settle(5)
    assert membership(harness, room, ALICE) == "leave"
    await harness.kill()


async def test_who_was_removed_by_others_does_not_leave_the_chat(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.set_membership(room, BOB, ALICE, "leave")
    harness.network.say("chat", "friend", "hm")
    await harness.settle(5)
    assert harness.network.left == [] and membership(harness, room, ALICE) == "leave"


# --- name and topic ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_a_new_name_and_topic(echo: str) -> None:
    harness, room = await begun()
    harness.network.echo = "nonce" if echo == "nonce" else "none"
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "Plans"})
    harness.homeserver.set_state(room, ALICE, "m.room.topic", {"topic": "for June"})
    await harness.settle(5)
    assert harness.network.renames == [Renaming(CHAT, "Plans", None), Renaming(CHAT, None, "for June")]
    state = harness.homeserver.rooms[room].state
    assert (state["m.room.name", ""], state["m.room.topic", ""]) == ({"name": "Plans"}, {"topic": "for June"})
    # What was renamed here, and is called as before there again, is so here too.
    harness.network.emit(RemoteChat(portal=CHAT, name="Chat chat"))
    await harness.settle(5)
    assert state["m.room.name", ""] == {"name": "Chat chat"}
    assert len(harness.network.renames) == 2
    await harness.kill()


async def test_an_echo_that_is_quicker_than_its_answer_undoes_no_later_name(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.echo = "none"
    answer = asyncio.Event()
    harness.network.next_deeds("rename", Outcome(gate=answer))
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "June"})
    await harness.settle()
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "July"})
    harness.network.emit(RemoteChat(portal=CHAT, name="June"))
    await harness.settle(5)
    answer.set()
    await harness.settle(5)
    assert [each.name for each in harness.network.renames] == ["June", "July"]
    assert harness.homeserver.rooms[room].state["m.room.name", ""] == {"name": "July"}
    harness.network.emit(RemoteChat(portal=CHAT, name="June"))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].state["m.room.name", ""] == {"name": "June"}


async def test_what_the_network_says_while_it_is_told_is_what_is_known_of_it(harness: Harness) -> None:
    room = await harness.portal()
    answer = asyncio.Event()
    harness.network.next_deeds("rename", Outcome(gate=answer))
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "June"})
    await harness.settle()
    harness.network.emit(RemoteChat(portal=CHAT, name="July"))
    await harness.settle(5)
    answer.set()
    await harness.settle(5)
    assert harness.homeserver.rooms[room].state["m.room.name", ""] == {"name": "July"}
    # It is called July there: that it is to be June has to be told.
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "June"})
    await harness.settle(5)
    assert [each.name for each in harness.network.renames] == ["June", "June"]


@pytest.mark.parametrize("echo", ["nonce", "none"])
@pytest.mark.parametrize("fault", ["", "away", "killed"])
async def test_the_bridge_state_has_the_new_name(echo: str, fault: str) -> None:
    harness, room = await begun()
    harness.network.echo = "nonce" if echo == "nonce" else "none"
    if fault == "away":
        harness.homeserver.fail("send_state", HomeserverUnreachable("gone"), times=2)
    dead = harness.kill_at(points.NETWORK_SENT) if fault == "killed" else None
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "Plans"})
    await harness.settle(5)
    if dead is not None:
        assert dead.is_set()
        await harness.kill()
        await harness.start()
    await harness.settle(30)
    state = harness.homeserver.rooms[room].state
    bridges = ("m.bridge", "uk.half-shot.bridge")
    channels = [content["channel"] for (type, _), content in state.items() if type in bridges]
    assert [channel["displayname"] for channel in channels] == ["Plans"] * 2
    assert state["m.room.name", ""] == {"name": "Plans"}
    await harness.kill()


@pytest.mark.parametrize("refused", [False, True])
async def test_a_name_that_the_network_does_not_take_is_put_back(refused: bool) -> None:
    harness, room = await begun(*(() if refused else (CanRename,)))
    if refused:
        harness.network.next_deeds("rename", Rejected("too long"))
    harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "Plans"})
    harness.homeserver.set_state(room, ALICE, "m.room.avatar", {"url": "mxc://test/1"})
    await harness.settle(5)
    state = harness.homeserver.rooms[room].state
    assert (state["m.room.name", ""], state["m.room.avatar", ""]) == ({"name": "Chat chat"}, {})
    notices = harness.homeserver.bodies(room, notices=True)
    assert "change of the chat's name was not carried out" in notices[0] and ("too long" in notices[0]) is refused
    assert len(notices) == 2
    await harness.kill()


# --- faults -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("deed", ["invite", "remove", "rename", "leave"])
async def test_a_change_waits_for_the_network(harness: Harness, deed: Deed) -> None:
    room = await harness.portal()
    harness.network.next_deeds(deed, Transient("later"), ConnectionResetError())
    match deed:
        case "invite":
            harness.homeserver.invite_ghost(ALICE, BEN, room=room)
        case "remove":
            harness.homeserver.set_membership(room, ALICE, FRIEND, "leave")
        case "rename":
            harness.homeserver.set_state(room, ALICE, "m.room.name", {"name": "Plans"})
        case _:
            harness.homeserver.set_membership(room, ALICE, ALICE, "leave")
    await harness.settle(60)
    assert len(harness.network.tries_of(deed)) == 3
    assert len([call for call in harness.network.done if call.deed == deed]) == 1
    assert await harness.store.dead_letters() == []


# --- the bot ----------------------------------------------------------------------------------------------------------
async def test_a_room_without_the_bot_is_no_portal(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.set_membership(room, ALICE, BOT, "leave")
    await harness.settle(5)
    assert await harness.store.portal(CHAT) is None
    assert membership(harness, room, FRIEND) == "leave"
    harness.network.say("chat", "friend", "hm")
    harness.network.say("chat", str(MINE), "from my phone")
    await harness.settle(5)
    (other,) = (each for each in harness.homeserver.rooms if "hm" in harness.homeserver.bodies(each))
    assert other != room and await harness.store.dead_letters() == []
