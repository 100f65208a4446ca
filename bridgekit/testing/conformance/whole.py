"""The adapter in a whole bridge: the real runtime, with a homeserver in memory. What people on both sides see."""

from __future__ import annotations

from typing import Any

from bridgekit.adapter.capabilities import CanConfirm, CanDelete, CanEdit, CanReact, CanSend
from bridgekit.model.ids import EventID, PortalKey, RoomID
from bridgekit.runtime import points
from bridgekit.testing.conformance.bench import Bench
from bridgekit.testing.conformance.changes import THUMB, shows
from bridgekit.testing.conformance.checks import Fault, NotHere, check, eventually, within
from bridgekit.testing.conformance.listening import compare_order
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic
from bridgekit.testing.harness import ALICE


class Whole(Topic):
    @check(CanSend)
    async def test_a_conversation(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            texts: list[str] = []
            for _ in range(5):
                theirs, ours = scene.words("theirs"), scene.words("ours")
                await scene.remote.say(chat, theirs)
                await bench.sees(room, theirs, f"the friend said {theirs!r}, and nobody sees it on Matrix")
                bench.homeserver.say(room, ALICE, ours)
                await scene.post(chat, ours, f"Alice said {ours!r}, and it never got to the network")
                texts += [theirs, ours]
            fence = scene.words("end")
            await scene.remote.say(chat, fence)
            await bench.sees(room, fence, f"the friend said {fence!r}, and nobody sees it on Matrix")
            seen = [body for body in bench.homeserver.bodies(room) if body in texts]
            if any(text in seen for text in texts[1::2]):
                raise Fault(
                    "what Alice said on Matrix came back from the network, and was bridged as a message of somebody"
                    " else's: set RemoteMessage.nonce, or let send() return the id under which it comes back"
                )
            compare_order(seen, texts[0::2], "of what the friend said, Matrix shows")
            there = [post.text for post in await scene.remote.look(chat) if post.text in texts]
            compare_order(there, texts, "of the conversation, the network shows")

    @check(CanSend)
    async def test_many_messages_at_once(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            theirs, ours = [scene.words("theirs") for _ in range(30)], [scene.words("ours") for _ in range(30)]
            for text in ours:
                bench.homeserver.say(room, ALICE, text)
            for text in theirs:
                await scene.remote.say(chat, text)
            await bench.sees(room, theirs[-1], "of many messages, the friend's last is not seen on Matrix")
            await scene.post(chat, ours[-1], "of many messages, Alice's last never got to the network")
            seen = [body for body in bench.homeserver.bodies(room) if body in (*theirs, *ours)]
            compare_order(seen, theirs, "of what the friend said, Matrix shows")
            there = [post.text for post in await scene.remote.look(chat) if post.text in ours]
            compare_order(there, ours, "of what Alice said, the network shows")

    # --- crashes ----------------------------------------------------------------------------------------------------
    @check(CanSend)
    async def test_a_crash_behind_a_send(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            session: object = bench.bridge.sessions.session((await scene.login()).id)
            sure = isinstance(session, CanConfirm) or (isinstance(session, CanSend) and session.dedupes_for is not None)
            dead = bench.kill_at(points.NETWORK_SENT)
            text, after = scene.words("ours"), scene.words("ours")
            bench.homeserver.say(room, ALICE, text)
            await within(scene.patience_s, dead.wait(), f"Alice said {text!r}, and send() did not return")
            await bench.again()
            bench.homeserver.say(room, ALICE, after)
            await scene.post(chat, after, "after a crash, nothing gets to the network any more")
            number = len(await scene.posts(chat, text))
            if number != 1:
                why = "`dedupes_for` or `find` promises that this cannot be" if sure else "it must never be repeated"
                raise Fault(f"the bridge crashed behind a send, and the network has the message {number} times: {why}")
            fence = scene.words("end")
            await scene.remote.say(chat, fence)
            await bench.sees(room, fence, "after a crash, what the friend says is not seen on Matrix")
            if text in bench.homeserver.bodies(room):
                raise Fault("the bridge crashed behind a send, and afterwards the message came back as somebody else's")

    @check(CanSend, "remembers")
    async def test_crashes_while_events_come(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            texts: list[str] = []
            for point in (points.PULL_BEFORE, points.PULL_AFTER, points.MATRIX_SENT):
                dead = bench.kill_at(point)
                texts += [scene.words("theirs") for _ in range(3)]
                for text in texts[-3:]:
                    await scene.remote.say(chat, text)
                await within(
                    scene.patience_s, dead.wait(), f"the friend said {texts[-3:]}, and `events` yielded nothing"
                )
                texts.append(scene.words("missed"))
                await scene.remote.say(chat, texts[-1])
                await bench.again()
                await bench.sees(
                    room, texts[-1], f"the bridge crashed ({point}), and what was said then was never seen"
                )
            seen = [body for body in bench.homeserver.bodies(room) if body in texts]
            compare_order(seen, texts, "of what was said while the bridge crashed, Matrix shows")

    # --- what goes wrong --------------------------------------------------------------------------------------------
    @check(CanSend, "be_busy")
    async def test_nothing_overtakes_what_is_tried_again(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            await scene.remote.be_busy()
            texts = [scene.words("ours") for _ in range(4)]
            for text in texts:
                bench.homeserver.say(room, ALICE, text)
            await scene.post(chat, texts[-1], "the network was busy once, and what was said then never got to it")
            there = [post.text for post in await scene.remote.look(chat) if post.text in texts]
            compare_order(there, texts, "the network was busy once, and shows")

    @check(CanSend, "refuse")
    async def test_the_sender_reads_why(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            before = len(bench.homeserver.bodies(room, notices=True))
            await scene.remote.refuse()
            refused, after = scene.words("refused"), scene.words("ours")
            bench.homeserver.say(room, ALICE, refused)

            async def told() -> bool:
                return len(bench.homeserver.bodies(room, notices=True)) > before

            await eventually(scene.patience_s, told, "the network refused a message, and Alice was not told")
            said = bench.homeserver.bodies(room, notices=True)[-1]
            if "internal error" in said:
                raise Fault(f"the network refused a message, and Alice reads {said!r}: raise Rejected with a reason")
            bench.homeserver.say(room, ALICE, after)
            await scene.post(chat, after, "the network refused a message, and the next one never got to it")
            if await scene.posts(chat, refused):
                raise Fault("the network refused a message, and has it all the same: it was sent again")

    @check(CanSend, "cut", "remembers")
    async def test_a_connection_that_breaks(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            await scene.remote.cut()
            theirs, ours = scene.words("theirs"), scene.words("ours")
            await scene.remote.say(chat, theirs)
            bench.homeserver.say(room, ALICE, ours)
            await bench.sees(room, theirs, "after the connection broke, what the friend says is not seen on Matrix")
            await scene.post(chat, ours, f"after the connection broke, Alice's message never got there; {bench.why()}")
            if (number := len(await scene.posts(chat, ours))) > 1:
                raise Fault(f"the connection broke, and Alice's message is at the network {number} times")

    # --- changes ----------------------------------------------------------------------------------------------------
    @check(CanSend, CanEdit)
    async def test_an_edit_crosses(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            text, new = scene.words("ours"), scene.words("edited")
            event = bench.homeserver.say(room, ALICE, text)
            bench.homeserver.say(room, ALICE, f"* {new}", **edited(event, new))
            await scene.post(chat, new, "Alice edited a message, and the network does not show it")
            if await scene.posts(chat, text):
                raise Fault("Alice edited a message, and the network shows the old text as well")

    @check(CanSend, CanDelete)
    async def test_a_deletion_crosses(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            text = scene.words("ours")
            event = bench.homeserver.say(room, ALICE, text)
            await scene.post(chat, text, f"Alice said {text!r}, and it never got to the network")
            bench.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": event}, redacts=event)

            async def gone() -> bool:
                return not await scene.posts(chat, text)

            await eventually(scene.patience_s, gone, "Alice deleted a message, and the network still shows it")

    @check(CanSend, CanReact)
    async def test_a_reaction_crosses(self, scene: Scene) -> None:
        chat, login = await scene.remote.chat(), await scene.login()
        async with scene.bridge() as bench:
            text = scene.words("theirs")
            room = await begun(scene, bench, chat, text)
            post = (await scene.posts(chat, text))[0]
            if not isinstance(post.reactions, (tuple, list, set, frozenset)):
                raise NotHere(f"{type(scene.remote).__name__}.look does not say what the reactions are")
            target = next(
                e["event_id"] for e in bench.homeserver.rooms[room].timeline if e["content"].get("body") == text
            )
            relation = {"rel_type": "m.annotation", "event_id": target, "key": THUMB}
            reaction = bench.homeserver.emit(room, ALICE, "m.reaction", {"m.relates_to": relation})
            await shows(scene, chat, text, {(login.user, THUMB)}, "Alice reacted")
            bench.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": reaction}, redacts=reaction)
            await shows(scene, chat, text, set(), "Alice took a reaction back")


async def begun(scene: Scene, bench: Bench, chat: PortalKey, text: str = "") -> RoomID:
    """The chat's room, with Alice in it, after the friend has said something."""
    text = text or scene.words("hello")
    await bench.bridge.sessions.until_connected((await scene.login()).id)
    await scene.remote.say(chat, text)
    room = await bench.room_of(chat, f"the friend said {text!r} in {chat!r}, and that chat never got a room")
    await bench.sees(room, text, f"the friend said {text!r}, and nobody sees it on Matrix")
    return room


def edited(event: EventID, text: str) -> dict[str, Any]:
    """What makes an edit of a message (Matrix spec, "Event replacements")."""
    return {
        "m.new_content": {"msgtype": "m.text", "body": text},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }
