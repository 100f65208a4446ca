"""A call across the bridge: Alice at a device with matrix-js-sdk, Vera at the webchat's page, a bridge between them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from bridgekit.testing.client import ClientEvent, MatrixClient
from bridgekit.testing.synapse import MatrixUser
from example_bridge.webchat.client import CallHangUp, CallOffer, Credentials, WebchatClient
from tests.browser.people import Person
from tests.support.callpage import DEADLINE_S, CallPage
from tests.support.device import Device
from tests.support.scene import Scene

__all__ = ["Bridged", "Caller", "seen_by"]


@dataclass(frozen=True)
class Caller:
    """Alice, logged in at a bridge."""

    scene: Scene
    user: MatrixUser
    api: MatrixClient
    agent: Credentials
    """Her account at the webchat."""


@dataclass
class Bridged:
    """Alice and Vera, who have a chat."""

    alice: Caller
    device: Device
    vera: Person
    page: CallPage
    chat: str
    room: str
    ghost: str
    """Vera on Matrix."""

    # --- calls ----------------------------------------------------------------------------------------------------
    async def alice_calls(self, *, video: bool = False) -> str:
        """Until it rings at Vera's; the id on Matrix."""
        call = await self.device.place(self.room, self.ghost, video=video)
        await self.page.rings()
        return call

    async def network_rings(self) -> None:
        """Until the webchat rings Alice's account, whether or not a bridge is there to hear it."""
        async with (
            asyncio.timeout(DEADLINE_S),
            WebchatClient(self.vera.server.url, self.alice.agent.token) as client,
            aclosing(client.stream_and_signals()) as stream,
        ):
            async for item in stream:  # a call that rings already is told to whoever comes
                if isinstance(item, CallOffer) and item.chat == self.chat:
                    return

    async def vera_calls(self, *, video: bool = False) -> str:
        """Until it rings at Alice's; the id on Matrix."""
        await self.page.call(video=video)
        return await self.device.rings()

    async def talk(self, *, by: str = "alice", video: bool = False) -> str:
        """One calls, the other one takes it; the id on Matrix."""
        if by == "alice":
            call = await self.alice_calls(video=video)
            await self.page.press("With video" if video else "Accept")
        else:
            call = await self.vera_calls(video=video)
            await self.device.answer(video=video)
        await asyncio.gather(self.device.until_state("connected"), self.page.is_in("connected"))
        return call

    async def media_flows(self, *kinds: str) -> None:
        await asyncio.gather(self.device.media_flows(*kinds), self.page.media_flows(*kinds))

    async def free(self) -> None:
        """The webchat has ended the call of Vera's page, if that is in one: Alice is not busy for the next test."""
        if self.page.page.is_closed():
            return
        under_way = await self.page.page.evaluate(
            """() => {
              const { call } = document.querySelector("section.call") ?? {};
              return call && !call.over ? [call.id, call.chat] : null;
            }"""
        )
        if under_way is not None:
            call, chat = under_way
            await self.vera.client.tell_of_call(CallHangUp(call=call, chat=chat))

    # --- what is left ---------------------------------------------------------------------------------------------
    async def over(self, line: str) -> None:
        """The call is over at both ends; it has left one line in the portal, which begins like this."""
        await asyncio.gather(self.device.until_state("ended"), self.page.is_in("over"))
        await self.left(line)

    async def left(self, line: str) -> None:
        """One line is in the portal, which begins like this."""
        await self.said(line)
        assert len(await self.lines()) == 1, await self.lines()

    async def said(self, line: str) -> None:
        """A line is in the portal that begins like this."""
        await self.alice.api.wait_for(
            lambda event: _is_line(event) and (event.body or "").startswith(line), room_id=self.room
        )

    async def lines(self) -> list[str]:
        """What calls have left in the portal, as the homeserver holds it."""
        events = await self.events("m.room.message")
        return [e["content"]["body"] for e in events if e["content"].get("msgtype") == "m.notice"]

    async def signals(self, type: str, *, by: str | None = None) -> list[dict[str, Any]]:
        """The contents of `m.call.` events of a type, the first one first."""
        events = await self.events(f"m.call.{type}")
        return [event["content"] for event in events if by is None or event["sender"] == by]

    async def events(self, type: str) -> list[dict[str, Any]]:
        path = f"client/v3/rooms/{self.room}/messages"
        page = await self.alice.api.request("GET", path, query={"dir": "b", "limit": 500})
        return [event for event in reversed(page["chunk"]) if event["type"] == type]


def _is_line(event: ClientEvent) -> bool:
    return event.type == "m.room.message" and event.content.get("msgtype") == "m.notice"


async def seen_by(device: Device, *, ended: str) -> None:
    """Wait until the call is over at a device, by the other end's hangup or reject with this reason."""
    await device.until(f"(call) => call.state === 'ended' && call.ended?.reason === {ended!r}")
