"""What the two ends hold, compared."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.model.ids import EventID, RoomID
from bridgekit.testing.harness import ALICE, Harness


class Talk:
    """Numbered messages both ways in some chats, and what became of them."""

    def __init__(self, harness: Harness, rooms: dict[str, RoomID]) -> None:
        self.harness = harness
        self.rooms = rooms
        self.typed: dict[str, dict[str, EventID]] = {chat: {} for chat in rooms}
        self.told: dict[str, list[str]] = {chat: ["hello"] for chat in rooms}
        self.count = 0

    def speak(self, times: int = 1, *, typed: bool = True, told: bool = True) -> None:
        """One message each way in each chat."""
        for _ in range(times):
            self.count += 1
            for chat, room in self.rooms.items():
                if typed:
                    body = f"typed {self.count}"
                    self.typed[chat][body] = self.harness.homeserver.say(room, ALICE, body)
                if told:
                    self.told[chat].append(f"told {self.count}")
                    self.harness.network.say(chat, "friend", f"told {self.count}")

    def reported(self, chat: str) -> list[str]:
        """Which of Alice's messages she was told about as not (surely) sent."""
        named = {
            event["content"].get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id")
            for event in self.harness.homeserver.rooms[self.rooms[chat]].timeline
            if event["content"].get("msgtype") == "m.notice"
        }
        return [body for body, event_id in self.typed[chat].items() if event_id in named]

    def arrived(self) -> bool:
        """Whether nothing is under way any more."""
        return all(
            set(self.typed[chat]) <= {*self.harness.network.texts(chat), *self.reported(chat)}
            and len(self.harness.homeserver.bodies(room)) >= len(self.told[chat])
            for chat, room in self.rooms.items()
        )

    async def compare(self, *, uncertain: int = 0) -> int:
        """Nothing is lost, doubled or out of order; so many per chat may be reported as uncertain. How many were."""
        await self.harness.until(self.arrived)
        await self.harness.settle(60)
        total = 0
        for chat, room in self.rooms.items():
            reported = self.reported(chat)
            # Without a nonce the echo of such a message looks like one from her phone.
            shown = [body for body in self.harness.homeserver.bodies(room) if body not in reported]
            assert shown == self.told[chat]
            got = self.harness.network.texts(chat)
            wanted = list(self.typed[chat])
            assert got == in_order(wanted, got)
            assert set(wanted) <= {*got, *reported}
            assert len(reported) <= uncertain
            total += len(reported)
        return total


def in_order(wanted: Sequence[str], got: Sequence[str]) -> list[str]:
    """Those that came, once each and in the order in which they were sent."""
    return [each for each in wanted if each in set(got)]
