"""The Matrix end of the call tests by itself: two devices call each other over the real homeserver."""

from __future__ import annotations

import asyncio

from tests.calls.conftest import NewDevice
from tests.support.homeserver import Homeserver


async def test_two_devices_hear_each_other(homeserver: Homeserver, new_device: NewDevice) -> None:
    alice, bruno = await homeserver.register_user("alice"), await homeserver.register_user("bruno")
    async with alice.client() as api, bruno.client() as other:
        room = await api.create_room(invite=[bruno.user_id], is_direct=True)
        await other.join(room)
        at_alice, at_bruno = await asyncio.gather(new_device(alice), new_device(bruno))
        call = await at_alice.place(room, bruno.user_id)
        assert await at_bruno.rings() == call
        await at_bruno.answer()
        for device in (at_alice, at_bruno):
            await device.until_state("connected")
        await asyncio.gather(at_alice.media_flows("audio"), at_bruno.media_flows("audio"))
        await at_alice.hang_up()
        for device in (at_alice, at_bruno):
            await device.until_state("ended")
        hangup = await api.wait_for(lambda event: event.type == "m.call.hangup", room_id=room)
        assert hangup.content["reason"] == "user_hangup"
        view = await at_bruno.about()
        assert view is not None and view.ended is not None and view.ended.reason == "user_hangup"
        assert view.errors == []
