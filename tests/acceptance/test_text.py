"""Text crosses both ways on a real Synapse: in order, once, whatever its length and its signs."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from example_bridge.webchat.client import MessageEvent
from tests.support.scene import Scene, Talk


async def test_text_both_ways(talk: Talk) -> None:
    await talk.alice.send_text(talk.room, "good day")
    assert await talk.from_alice("good day") == ["good day"]
    await talk.visitor.send(talk.chat, "and to you")
    assert await talk.from_visitor("and to you") == ["hello", "and to you"]
    members = await talk.alice.joined_members(talk.room)
    assert members[talk.ghost].displayname == "Vera Visitor"
    assert set(members) == {talk.alice.user_id, talk.bot, talk.ghost}
    assert await talk.alice.texts(talk.room) == ["hello", "good day", "and to you"]


async def test_order_is_kept_both_ways(talk: Talk) -> None:
    ours = [f"to webchat {number}" for number in range(30)]
    theirs = [f"to matrix {number}" for number in range(30)]

    async def from_matrix() -> None:
        for text in ours:
            await talk.alice.send_text(talk.room, text)

    async def from_webchat() -> None:
        for text in theirs:
            await talk.visitor.send(talk.chat, text)

    await asyncio.gather(from_matrix(), from_webchat())

    assert await talk.from_alice(ours[-1]) == ours
    assert await talk.from_visitor(theirs[-1]) == ["hello", *theirs]


async def test_equal_messages_sent_at_once_all_arrive(talk: Talk) -> None:
    """The contents differ where nobody sees it: Synapse takes wholly equal ones that come together for one."""

    async def say(number: int) -> str:
        return await talk.alice.send(
            talk.room, "m.room.message", {"msgtype": "m.text", "body": "me too", "example.number": number}
        )

    event_ids = await asyncio.gather(*(say(number) for number in range(10)))
    assert len(set(event_ids)) == 10
    await asyncio.gather(*(talk.visitor.send(talk.chat, "same here") for _ in range(10)))
    await talk.alice.send_text(talk.room, "end")
    await talk.visitor.send(talk.chat, "end")

    assert await talk.from_alice("end") == ["me too"] * 10 + ["end"]
    assert await talk.from_visitor("end") == ["hello"] + ["same here"] * 10 + ["end"]


async def test_long_text_to_webchat_is_split_in_order(talk: Talk) -> None:
    """The webchat takes 4000 code points a message."""
    words = " ".join(f"word{number}" for number in range(1700))
    assert len(words) > 12_000
    await talk.alice.send_text(talk.room, words)
    await talk.alice.send_text(talk.room, "end")

    *parts, end = await talk.from_alice("end")

    assert end == "end"
    assert len(parts) >= 4
    assert all(0 < len(part) <= 4000 for part in parts)
    assert " ".join(part.strip() for part in parts) == words


async def test_large_text_from_webchat_fits_into_events(talk: Talk) -> None:
    """As many code points as the webchat allows, and as many bytes for each as there can be."""
    emoji = "".join(chr(0x1F600 + number % 64) for number in range(4000))
    controls = "\x01" * 4000  # six bytes each in JSON
    for text in (emoji, controls, "end"):
        await talk.visitor.send(talk.chat, text)

    assert await talk.from_visitor("end") == ["hello", emoji, controls, "end"]


async def test_signs_that_databases_dislike(shared: Scene, talk: Talk) -> None:
    """U+0000 and half of a surrogate pair become U+FFFD where the other side cannot take them; nothing stops."""
    await talk.alice.send_text(talk.room, "nul \x00 here")
    await talk.alice.send_text(talk.room, "first")
    assert await talk.from_alice("first") == ["nul \x00 here", "first"]
    # Synapse never sends half a pair, but another homeserver may.
    half = msgspec.json.encode({"events": [talk.made_up("HALF")]}).replace(b"HALF", b"half \\ud83d of one")
    assert await shared.push_raw("half", half) == 200
    await talk.until(lambda event: isinstance(event, MessageEvent) and event.message.text.startswith("half"))
    await talk.alice.send_text(talk.room, "end")
    assert await talk.from_alice("end") == ["nul \x00 here", "first", "half \ufffd of one", "end"]

    await talk.visitor.send(talk.chat, "nul \x00 there")
    await talk.visitor.send(talk.chat, "end")
    assert await talk.from_visitor("end") == ["hello", "nul \ufffd there", "end"]


LONG = "\N{BRIDGE AT NIGHT}/Ä%2F?#&" * 51 + "Z"
"""512 code points, as many as the webchat allows: percent-encoded, over 3000."""

ODD_IDS = [
    pytest.param("a/b", "c/d?e=f", "chat/../#1", id="slashes"),
    pytest.param("ÄGENT \N{SMILE}", "Vera \N{BRIDGE AT NIGHT}", "Chat \N{PARTY POPPER}", id="emoji"),
    pytest.param("UPPER:case", "Upper:CASE", "UPPER!chat", id="case"),
    pytest.param("_=.-+ ", "\x01 \x7f\n", "@user:hs.test", id="signs"),
    pytest.param("A" + LONG[1:], "V" + LONG[1:], "C" + LONG[1:], id="long"),
]


@pytest.mark.parametrize(("agent", "visitor", "chat"), ODD_IDS)
async def test_ids_of_any_kind(shared: Scene, agent: str, visitor: str, chat: str) -> None:
    own = f" {shared.slot.id}"  # both databases use one webchat
    agent, visitor, chat = (id[: 512 - len(own)] + own for id in (agent, visitor, chat))
    talk = await shared.talk(agent_id=agent, visitor_id=visitor, chat_id=chat)

    assert (talk.agent.id, talk.visitor_id, talk.chat) == (agent, visitor, chat)
    assert talk.ghost.startswith(f"@{shared.slot.prefix}")
    await talk.alice.send_text(talk.room, "to webchat")
    assert await talk.from_alice("to webchat") == ["to webchat"]
    await talk.visitor.send(chat, "to matrix")
    assert await talk.from_visitor("to matrix") == ["hello", "to matrix"]


async def test_ids_that_differ_only_in_case_are_different_people(shared: Scene) -> None:
    alice, (agent, _) = await shared.user(), await shared.webchat_user("Agent", kind="agent")
    management = await shared.log_in(alice, agent)
    talks = []
    for id in (f"{shared.slot.id}vera", f"{shared.slot.id}Vera"):
        account, visitor = await shared.webchat_user(id=id)
        talks.append(await shared.conversation(alice, management, agent, account, visitor))

    assert talks[0].ghost != talks[1].ghost
    assert talks[0].room != talks[1].room
