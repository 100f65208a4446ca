"""Messages, edits, reactions and deletions from Matrix while the process dies again and again: in the end the network
holds what the room shows, and nothing has come back from there as somebody else's."""

from __future__ import annotations

import random

import pytest

from bridgekit.model.ids import EventID, RoomID
from bridgekit.model.matrix import MatrixDelete, MatrixEdit, MatrixReaction
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork
from tests.runtime.test_kills import turns

EMOJI = ("+", "\u2764\ufe0f", "\U0001f44d")


class Changes:
    """What Alice does, and how it shall be in the end."""

    def __init__(self, harness: Harness, room: RoomID, rng: random.Random) -> None:
        self.harness, self.room, self.rng = harness, room, rng
        self.said: dict[EventID, str] = {}  # what each message was at first
        self.now: dict[EventID, str] = {}  # and is now, if it is there
        self.reactions: dict[tuple[EventID, str], EventID] = {}
        self.count = 0

    def do(self) -> None:
        """Something."""
        say, self.count = self.harness.homeserver.say, self.count + 1
        emit, deed = self.harness.homeserver.emit, self.rng.choice("mmeerrrud")
        if deed == "m" or not self.now:
            event = say(self.room, ALICE, f"message {self.count}")
            self.said[event] = self.now[event] = f"message {self.count}"
            return
        target = self.rng.choice(list(self.now))
        if deed == "e":
            self.now[target] = body = f"edit {self.count}"
            relation = {"rel_type": "m.replace", "event_id": target}
            new = {"msgtype": "m.text", "body": body}
            say(self.room, ALICE, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})
        elif deed == "r":
            key = self.rng.choice(EMOJI)
            if (target, key) not in self.reactions:
                relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
                self.reactions[target, key] = emit(self.room, ALICE, "m.reaction", {"m.relates_to": relation})
        elif deed == "u" and self.reactions:
            gone = self.rng.choice(list(self.reactions))
            self.redact(self.reactions.pop(gone))
        elif deed == "d":
            del self.now[target]
            self.reactions = {key: event for key, event in self.reactions.items() if key[0] != target}
            self.redact(target)

    def redact(self, event_id: EventID) -> None:
        for event in self.harness.homeserver.rooms[self.room].timeline:
            if event["event_id"] == event_id:
                event["content"] = {}
        self.harness.homeserver.emit(self.room, ALICE, "m.room.redaction", {"redacts": event_id})

    def at_the_network(self) -> tuple[dict[str, str], set[tuple[str, str]]]:
        """What the network holds now: by the message's first words, what it says, and who reacted how."""
        network = self.harness.network
        first: dict[str, str] = {
            network._nonces[login, message.nonce]: message.text.body for login, message in network.spoken
        }
        texts, reactions = dict[str, str](first), set[tuple[str, str]]()
        for call in network.done:
            match call.value:
                case MatrixEdit(target=target, text=text) if target in texts:
                    texts[target] = text.body
                case MatrixDelete(target=target):
                    texts.pop(target, None)
                    reactions = {each for each in reactions if each[0] != target}
                case MatrixReaction(target=target, emoji=emoji) if call.deed == "react":
                    reactions.add((target, emoji))
                case MatrixReaction(target=target, emoji=emoji):
                    reactions.discard((target, emoji))
        return {first[id]: text for id, text in texts.items()}, {(first[id], emoji) for id, emoji in reactions}

    def arrived(self) -> bool:
        return self.at_the_network() == self.wanted()

    def wanted(self) -> tuple[dict[str, str], set[tuple[str, str]]]:
        texts = {self.said[event]: text for event, text in self.now.items()}
        return texts, {(self.said[event], key) for event, key in self.reactions}


@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
async def test_killed_at_any_moment(echo: Echo) -> None:
    for seed in range(6):
        harness = Harness(FakeNetwork(echo=echo), seed=seed)
        rng = harness.rng
        assert rng is not None
        harness.batch = rng.randrange(1, 8)
        await harness.start()
        changes = Changes(harness, await harness.portal(), random.Random(seed))
        for _ in range(4):
            for _ in range(rng.randrange(2, 8)):
                changes.do()
            await turns(rng.randrange(150))
            await harness.kill()
            await harness.start()
            await turns(rng.randrange(250))
        try:
            await harness.until(changes.arrived, within_s=600)
            await harness.settle(60)
            assert changes.at_the_network() == changes.wanted()
            timeline = harness.homeserver.rooms[changes.room].timeline
            # An echo that came only after a crash may have shown for a while; it does not stay.
            gone = harness.homeserver.redacted
            ours = [e for e in timeline if e["sender"] in harness.homeserver.users and e["event_id"] not in gone]
            ours = [e for e in ours if e["type"] not in ("m.room.member", "m.room.redaction")]
            assert [each["content"].get("body") for each in ours if each["sender"] != harness.homeserver.bot] == [
                "hello"
            ]
            assert await harness.store.dead_letters() == []
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {changes.at_the_network()} {changes.wanted()}") from error
        finally:
            await harness.kill()


async def test_what_was_sent_before_a_crash_and_deleted_after_it_is_deleted_at_the_network() -> None:
    """It is still in the journal, as if its turn had not come."""
    harness = Harness(FakeNetwork())
    await harness.start()
    room = await harness.portal()
    dead = harness.kill_at(points.NETWORK_SENT)
    event = harness.homeserver.say(room, ALICE, "oh no")
    await harness.until(dead.is_set)
    await harness.kill()
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": event}, redacts=event)
    await harness.start()
    await harness.settle(60)
    assert harness.network.texts("chat") == ["oh no"]
    assert [delete.target for delete in harness.network.deletes] == ["s1"]
    await harness.kill()
