"""The fake network itself: what it is told, what it was ordered to answer, what it echoes."""

from __future__ import annotations

import pytest

from bridgekit.adapter import (
    CanDelete,
    CanEdit,
    CanSend,
    Login,
    LoginID,
    MatrixEdit,
    Nonce,
    PortalKey,
    Rejected,
    RemoteEdit,
    RemoteMessageID,
    RemoteTyping,
    RemoteUserID,
    Speaker,
    Text,
)
from bridgekit.model.ids import ChatID
from bridgekit.testing.network import FakeAdapter, FakeNetwork, Outcome

LOGIN = Login(id=LoginID("me"), user=RemoteUserID("me"))
CHAT = PortalKey(ChatID("c"))
EDIT = MatrixEdit(
    portal=CHAT, target=RemoteMessageID("m"), text=Text("x"), nonce=Nonce("n"), timestamp=1, speaker=Speaker("Me")
)


async def test_ordered_outcomes_and_repeats() -> None:
    far = FakeNetwork()
    far.next_deeds("edit", Rejected("no"), Outcome(ConnectionError("lost"), taken=True))
    async with FakeAdapter(far).connect(LOGIN) as session:
        assert isinstance(session, CanEdit)
        with pytest.raises(Rejected):
            await session.edit(EDIT)
        assert (len(far.tried), far.done) == (1, [])
        with pytest.raises(ConnectionError):
            await session.edit(EDIT)
        await session.edit(EDIT)  # the repeat after the lost answer
        assert far.edits == [EDIT] and far.tries_of("edit") == [EDIT] * 3
        async for event in session.events({}):
            assert isinstance(event, RemoteEdit) and (event.nonce, event.sender, event.revision) == ("n", "me", "r1")
            break


async def test_capabilities_that_are_missing() -> None:
    async with FakeAdapter(FakeNetwork(lacks=[CanEdit])).connect(LOGIN) as session:
        assert not isinstance(session, CanEdit)
        assert isinstance(session, CanDelete) and isinstance(session, CanSend)
        assert session.dedupes_for is not None


async def test_signals_have_no_place_in_the_stream() -> None:
    far = FakeNetwork()
    far.emit(RemoteTyping(portal=CHAT, user=RemoteUserID("you")))
    async with FakeAdapter(far).connect(LOGIN) as session:
        async for event in session.events({}):
            assert event == RemoteTyping(portal=CHAT, user=RemoteUserID("you"))
            break
