"""Calls that go on."""

from __future__ import annotations

import msgspec

from bridgekit.model.ids import ChatID, LoginID, PortalKey
from bridgekit.model.records import CallForgotten, CallRecord, CallSaved, LoginRemoved
from bridgekit.ports import Store
from tests.contract.values import NOW, WEIRD, Opened

KEY = PortalKey(ChatID("chat"), LoginID("login"))


def call(id: str, *, at: int = NOW) -> CallRecord:
    return CallRecord(id=id, portal=KEY, login=LoginID("login"), memory=b"\x00\xff", at=at)


class CallContract:
    async def test_calls_come_by_when_they_began(self, held: Opened) -> None:
        await held.know(CallSaved(call("b", at=NOW + 1)), CallSaved(call("c", at=NOW)))
        await held.know(CallSaved(call("a", at=NOW + 1)))
        assert await held.store.ongoing_calls() == [call("c"), call("a", at=NOW + 1), call("b", at=NOW + 1)]

    async def test_what_a_call_needs_is_replaced(self, held: Opened) -> None:
        later = msgspec.structs.replace(call("a", at=NOW + 9), memory=b"more", login=LoginID("other"))
        await held.know(CallSaved(call("a")))
        await held.know(CallSaved(later))
        assert await held.store.ongoing_calls() == [msgspec.structs.replace(later, at=NOW)]

    async def test_a_call_is_forgotten_once(self, held: Opened) -> None:
        await held.know(CallSaved(call("a")), CallSaved(call("b")))
        await held.know(CallForgotten("a"), CallForgotten("never"))
        await held.know(CallForgotten("a"))
        assert await held.store.ongoing_calls() == [call("b")]

    async def test_a_call_survives_its_login(self, held: Opened) -> None:
        """The other end must still be told that it is over."""
        await held.know(CallSaved(call("a")), LoginRemoved(LoginID("login")))
        assert await held.store.ongoing_calls() == [call("a")]

    async def test_ids_of_calls_are_told_apart(self, held: Opened) -> None:
        await held.know(*(CallSaved(call(id, at=NOW + n)) for n, id in enumerate(WEIRD)))
        assert [each.id for each in await held.store.ongoing_calls()] == WEIRD

    async def test_another_process_finds_the_calls(self, held: Opened, second: Store) -> None:
        await held.know(CallSaved(call("a")))
        assert await second.ongoing_calls() == [call("a")]
