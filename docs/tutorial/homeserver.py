"""A Matrix homeserver to try a bridge with, and Alice at its keyboard:  python homeserver.py 8008 registration.yaml

It keeps everything in the directory `homeserver`. Alice accepts every invitation. What she types is said in the room in
which something was said last; `/talk @somebody:localhost` begins a conversation.
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from linechat import typed

from bridgekit.testing.api import ClientEvent, MatrixClientError
from bridgekit.testing.client import MatrixClient
from bridgekit.testing.synapse import MatrixUser, Synapse


class Alice:
    """A very small Matrix client."""

    def __init__(self, client: MatrixClient) -> None:
        self.client = client
        self.room = ""  # where she speaks
        self.read = 0  # how many events she has read

    async def watch(self) -> None:
        """Print what comes, for ever."""
        while True:
            await self.client.wait_until(lambda: self.client.invites or self.unread() or None, timeout_s=1e9)
            for room in list(self.client.invites):
                self.client.invites.pop(room)
                await self.client.join(room)
                print(f"* you are in a new room: {await self.name_of(room)}", flush=True)
            for event in self.unread():
                await self.show(event)
            self.read = len(self.client.events)

    def unread(self) -> list[ClientEvent]:
        return self.client.events[self.read :]

    async def show(self, event: ClientEvent) -> None:
        if event.type == "m.room.message" and event.sender != self.client.user_id and event.body:
            self.room = event.room_id
            who = (await self.client.profile(event.sender)).displayname or event.sender
            print(f"[{await self.name_of(event.room_id)}] {who}: {event.body}", flush=True)

    async def name_of(self, room: str) -> str:
        state = await self.client.get_state(room, "m.room.name")
        return str(state["name"]) if state else "a room without a name"

    async def type(self) -> None:
        """Say what is typed."""
        async for line in typed():
            match line.split():
                case ["/talk", whom]:
                    # As clients open a conversation with one person: both may do everything in it.
                    self.room = await self.client.create_room(
                        invite=[whom], is_direct=True, preset="trusted_private_chat", name=f"Alice and {whom}"
                    )
                case [_, *_] if self.room:
                    await self.client.send_text(self.room, line.strip())


async def account(synapse: Synapse) -> MatrixUser:
    """Alice's, made the first time."""
    try:
        return await synapse.register_user("alice", "wonderland")
    except MatrixClientError:
        return await synapse.login("alice", "wonderland", device_id="KEYBOARD")


async def main(port: int, registrations: list[Path]) -> None:
    synapse = Synapse(Path("homeserver"), server_name="localhost", port=port, registrations=registrations)
    async with synapse, (await account(synapse)).client() as client:
        alice = Alice(client)
        syncs = iter((None, True))
        await client.wait_until(lambda: next(syncs))
        alice.read = len(client.events)  # that was said before
        print(f"The homeserver is at {synapse.url}. You are {client.user_id}, password wonderland.", flush=True)
        watching = asyncio.create_task(alice.watch())
        await alice.type()
        watching.cancel()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
