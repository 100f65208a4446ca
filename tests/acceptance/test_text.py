"""Text crosses both ways on a real Synapse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import NewUser
from tests.support.homeserver import AppserviceSlot
from tests.support.webchat import WebchatServer
from tests.support.world import bridge_for, log_in, open_portal, texts, until_said


@pytest.fixture
async def webchat(tmp_path: Path) -> AsyncIterator[WebchatServer]:
    async with WebchatServer(tmp_path / "webchat") as server:
        yield server


async def test_text_both_ways(
    appservice: AppserviceSlot, new_user: NewUser, webchat: WebchatServer, tmp_path: Path
) -> None:
    alice = await new_user("alice")
    agent = await webchat.account("Agent Alice", "agent")
    visitor_account = await webchat.account("Vera Visitor")
    async with bridge_for(appservice, webchat, tmp_path / "bridge"), webchat.client(visitor_account) as visitor:
        await log_in(alice, appservice.bot, agent)
        chat, room = await open_portal(alice, visitor, agent.id)
        await alice.send_text(room, "good day")
        event = await until_said(visitor, chat, "good day")
        assert event.message.sender == agent.id
        assert await texts(visitor, chat) == ["hello", "good day"]
        await visitor.send(chat, "and to you")
        said = await alice.wait_for_text(room, "and to you")
        assert said.sender == appservice.ghost(visitor_account.id)
        members = await alice.joined_members(room)
        assert members[said.sender].displayname == "Vera Visitor"
        assert await alice.texts(room) == ["hello", "good day", "and to you"]
