"""``make demo CHECK=1``: a scripted conversation through the real homeserver, a line per check."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from bridgekit.testing.client import ClientEvent, MatrixClient, MatrixClientError
from example_bridge.demo.parts import Parts
from example_bridge.demo.people import PATIENCE_S, Listener, download, log_in, upload
from example_bridge.demo.telling import Teller
from example_bridge.webchat.client import Credentials, File, Message, Span, WebchatClient

__all__ = ["converse"]

FILE_SIZE: Final = 3_000_000

FLIGHT: Final = 10
"""Messages in each direction around the moment of the kill."""


class Unexpected(Exception):
    """A check's outcome that is not the one it should be."""

    def __init__(self, expected: object, seen: object) -> None:
        super().__init__(f"expected {_short(expected)}, saw {_short(seen)}")


def expect(expected: object, seen: object) -> None:
    if seen != expected:
        raise Unexpected(expected, seen)


async def converse(parts: Parts, teller: Teller) -> tuple[int, int]:
    """Hold the conversation; how many checks passed, and how many failed."""
    user = await parts.synapse.register_user("alice")
    url = parts.webchat.url
    async with WebchatClient(url) as nobody:
        agent = await nobody.create_account("Alice", "agent", id="alice")
        visitor = await nobody.create_account("Vera", "visitor", id="vera")
    async with user.client() as alice, WebchatClient(url, visitor.token) as vera, Listener(vera) as ear:
        conversation = Conversation(parts, alice, agent, vera, visitor, ear)
        passed = failed = 0
        for check in conversation.script():
            name = (check.__doc__ or "").strip()
            try:
                if conversation.broken:
                    raise Unexpected("it to be tried", "what it needs fail before")
                await check()
            except Unexpected as unexpected:
                outcome = f"{name}: {unexpected}"
            except TimeoutError as error:
                outcome = f"{name}: expected it within {PATIENCE_S:g} s, saw nothing of it. {_short(str(error))}"
            except Exception as error:  # noqa: BLE001 - a check that breaks is a failed check, and the next one's turn comes
                outcome = f"{name}: {type(error).__name__}: {_short(str(error))}"
            else:
                passed += 1
                teller.step(f"ok    {name}")
                continue
            failed += 1
            conversation.broken |= check in (conversation.login, conversation.portal)
            teller.step(f"FAIL  {outcome}")
        return passed, failed


class Conversation:
    """Alice is an agent who sits at a Matrix client, Vera a visitor at the webchat. The checks go in their order."""

    def __init__(
        self,
        parts: Parts,
        alice: MatrixClient,
        agent: Credentials,
        vera: WebchatClient,
        visitor: Credentials,
        ear: Listener,
    ) -> None:
        self.broken = False
        """Whether a check has failed without which the later ones make no sense."""
        self._parts: Final = parts
        self._alice: Final = alice
        self._agent: Final = agent
        self._vera: Final = vera
        self._ear: Final = ear
        self._ghost: Final = parts.ghost(visitor.id)
        self._management = ""
        self._opened = ""  # by the bot
        self._chat = ""
        self._room = ""
        self._to_webchat: list[str] = []  # everything that Alice has said, as it must be there
        self._to_matrix: list[str] = []  # the same for Vera

    def script(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.login, self.secret, self.accounts, self.encrypted,
            self.portal, self.ghost_name, self.encryption_forbidden,
            self.text_to_webchat, self.text_to_matrix,
            self.formatting_to_webchat, self.formatting_to_matrix,
            self.file_to_webchat, self.file_to_matrix,
            self.long_text, self.equal_to_webchat, self.equal_to_matrix, self.many,
            self.renamed, self.restart, self.killed, self.both_ends,
        ]  # fmt: skip

    # --- getting there ----------------------------------------------------------------------------------------------
    async def login(self) -> None:
        """Alice logs in to the webchat by talking with the bridge's bot"""
        self._management = await log_in(self._alice, self._parts.bot, self._agent.token)

    async def secret(self) -> None:
        """the bot has deleted the token that she told it"""
        await self._alice.wait_for(lambda e: e.type == "m.room.redaction", PATIENCE_S, room_id=self._management)
        said = await self._alice.texts(self._management, self._alice.user_id)
        expect(False, self._agent.token in said)

    async def accounts(self) -> None:
        """the bot lists her account when asked"""
        await self._alice.send_text(self._management, "list")
        await self._bot_says(self._management, "Alice (alice)")

    async def encrypted(self) -> None:
        """the bot says in words that it cannot read an encrypted room, and opens another"""
        encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        room = await self._alice.create_room(invite=[self._parts.bot], is_direct=True, initial_state=[encryption])
        await self._bot_says(room, "cannot read encrypted messages")
        self._opened = await self._alice.wait_for_invite(timeout_s=PATIENCE_S)
        await self._alice.join(self._opened)
        expect(None, await self._alice.get_state(self._opened, "m.room.encryption"))

    async def portal(self) -> None:
        """Vera's first message makes a room on Matrix, to which Alice is invited"""
        self._chat = (await self._vera.create_chat("direct", [self._agent.id])).id
        await self._vera.send(self._chat, "hello")
        self._to_matrix.append("hello")
        self._room = await self._alice.wait_for_invite(lambda room, _: room != self._opened, PATIENCE_S)
        await self._alice.join(self._room)
        await self._alice.wait_for_text(self._room, "hello", PATIENCE_S)

    async def ghost_name(self) -> None:
        """in that room Vera is called Vera"""
        members = await self._alice.joined_members(self._room)
        expect("Vera", members[self._ghost].displayname if self._ghost in members else "nobody of that id")

    async def encryption_forbidden(self) -> None:
        """nobody can switch encryption on in that room, since the bridge could not read on"""
        try:
            await self._alice.set_state(self._room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        except MatrixClientError as error:
            expect("M_FORBIDDEN", error.errcode)
        else:
            raise Unexpected("M_FORBIDDEN", "encryption switched on")

    # --- talking ------------------------------------------------------------------------------------------------------
    async def text_to_webchat(self) -> None:
        """text goes from Matrix to the webchat"""
        await self._say_on_matrix("good day, Vera \N{WAVING HAND SIGN}")

    async def text_to_matrix(self) -> None:
        """text goes from the webchat to Matrix"""
        await self._say_at_webchat("good day, Alice \N{SMILING FACE WITH SMILING EYES}")

    async def formatting_to_webchat(self) -> None:
        """formatting goes from Matrix to the webchat"""
        html = '<b>bold</b>, <i>italic</i>, <code>code</code> and <a href="https://matrix.org">a link</a>'
        body = "bold, italic, code and a link"
        await self._alice.send_html(self._room, html, body)
        self._to_webchat.append(body)
        message = (await self._arrived_at_webchat([body]))[-1]
        expect(
            [
                ("bold", "bold", ""),
                ("italic", "italic", ""),
                ("code", "code", ""),
                ("link", "a link", "https://matrix.org"),
            ],
            [(span.style, body[span.start : span.end], span.value) for span in message.format],
        )

    async def formatting_to_matrix(self) -> None:
        """formatting goes from the webchat to Matrix"""
        text = "very big and struck"
        await self._vera.send(self._chat, text, format=(Span(0, 8, "bold"), Span(13, 19, "strike")))
        event = (await self._arrived_on_matrix(len(self._to_matrix) + 1))[-1]
        self._to_matrix.append(event.body or "")
        html = "<strong>very big</strong> and <del>struck</del>"
        expect(html, event.content.get("formatted_body"))

    async def file_to_webchat(self) -> None:
        """a file goes from Matrix to the webchat, whole; what is said behind it does not wait for it"""
        data = random.randbytes(FILE_SIZE)
        uri = await self._alice.reserve()
        content = {"msgtype": "m.file", "body": "a file", "filename": "a.bin", "url": uri, "info": {"size": len(data)}}
        await self._alice.send(self._room, "m.room.message", content)
        self._to_webchat.append("a file")
        await self._say_on_matrix("said behind the file")
        *_, message, _ = self._ear.heard(self._chat, self._agent.id)
        expect([("a.bin", len(data), "arriving")], [(file.name, file.size, file.state) for file in message.files])
        _, there = await asyncio.gather(self._alice.upload_to(uri, data), download(self._vera, message.files[0].id))
        expect(sha256(data).hexdigest(), sha256(there).hexdigest())

    async def file_to_matrix(self) -> None:
        """a file goes from the webchat to Matrix, whole; what is said behind it does not wait for it"""
        data = random.randbytes(FILE_SIZE)
        file = await self._vera.reserve("b.bin", "application/octet-stream", len(data))
        await self._vera.send(self._chat, "a file", files=(File(id=file),))
        self._to_matrix.append("a file")
        await self._say_at_webchat("said behind the file")
        *_, event, _ = await self._arrived_on_matrix(len(self._to_matrix))
        info = {"size": len(data), "mimetype": "application/octet-stream"}
        expect(("m.file", "b.bin", info), tuple(event.content.get(key) for key in ("msgtype", "filename", "info")))
        _, there = await asyncio.gather(upload(self._vera, file, data), self._alice.download(event.content["url"]))
        expect(sha256(data).hexdigest(), sha256(there).hexdigest())

    async def long_text(self) -> None:
        """a text longer than the webchat takes arrives in parts, complete and in order"""
        limit = (await self._vera.info()).max_text_length
        text = " ".join(str(number) for number in range(limit // 2))
        least = -(-len(text) // limit)
        await self._alice.send_text(self._room, text)
        before = len(self._to_webchat)
        arrived = await self._ear.wait_for_count(self._chat, self._agent.id, before + least)
        parts = [message.text for message in arrived[before:]]
        expect(text.split(), " ".join(parts).split())
        self._to_webchat += parts

    async def equal_to_webchat(self) -> None:
        """two equal messages in a row stay two, from Matrix to the webchat"""
        await asyncio.gather(*(self._alice.send_text(self._room, "again") for _ in range(2)))
        self._to_webchat += ["again", "again"]
        await self._ear.wait_for_count(self._chat, self._agent.id, len(self._to_webchat))
        await self._say_on_matrix("that was twice")

    async def equal_to_matrix(self) -> None:
        """two equal messages in a row stay two, from the webchat to Matrix"""
        for _ in range(2):
            await self._vera.send(self._chat, "again")
        self._to_matrix += ["again", "again"]
        await self._arrived_on_matrix(len(self._to_matrix))
        await self._say_at_webchat("that was twice")

    async def many(self) -> None:
        """many messages at once in both directions keep their order"""
        await asyncio.gather(self._speak_on_matrix("many", 20), self._speak_at_webchat("many", 20))
        await self._everything_arrives()

    async def renamed(self) -> None:
        """Vera takes another name, and has it on Matrix too"""
        await self._vera.change_me(name="Vera Visitor")
        await self._alice.wait_for(
            lambda e: (
                e.type == "m.room.member"
                and e.state_key == self._ghost
                and e.content.get("displayname") == "Vera Visitor"
            ),
            PATIENCE_S,
            room_id=self._room,
        )

    # --- faults -------------------------------------------------------------------------------------------------------
    async def restart(self) -> None:
        """what is said while the bridge is stopped arrives when it is back"""
        code = await self._parts.stop_bridge()
        await asyncio.gather(self._speak_on_matrix("waiting", 2), self._speak_at_webchat("waiting", 2))
        await self._parts.start_bridge()
        await self._everything_arrives()
        expect("exit code 0", f"exit code {code}")

    async def killed(self) -> None:
        """the bridge is killed (SIGKILL) amid messages in both directions; all arrive, once, in order"""
        speaking = asyncio.gather(
            self._speak_on_matrix("in flight", FLIGHT), self._speak_at_webchat("in flight", FLIGHT)
        )
        # As soon as the first one is through, others are on their way.
        await self._ear.wait_for(self._chat, self._agent.id, ["in flight 1"])
        await self._parts.kill_bridge()
        await speaking
        await self._parts.start_bridge()
        await self._everything_arrives()

    async def both_ends(self) -> None:
        """in the end both sides hold the same: nothing lost, nothing doubled, nothing reordered"""
        # What would come twice would come before these.
        await self._say_on_matrix("goodbye")
        await self._say_at_webchat("goodbye")
        expect(self._to_webchat, [message.text for message in self._ear.heard(self._chat, self._agent.id)])
        expect(self._to_matrix, await self._alice.texts(self._room, self._ghost))

    # --- helpers ------------------------------------------------------------------------------------------------------
    async def _bot_says(self, room: str, words: str) -> None:
        bot = self._parts.bot
        await self._alice.wait_for(lambda e: e.sender == bot and words in (e.body or ""), PATIENCE_S, room_id=room)

    async def _say_on_matrix(self, text: str) -> None:
        await self._alice.send_text(self._room, text)
        self._to_webchat.append(text)
        expect(text, (await self._arrived_at_webchat([text]))[-1].text)

    async def _say_at_webchat(self, text: str) -> None:
        await self._vera.send(self._chat, text)
        self._to_matrix.append(text)
        expect(text, (await self._arrived_on_matrix(len(self._to_matrix)))[-1].body)

    async def _speak_on_matrix(self, text: str, count: int) -> None:
        for number in range(1, count + 1):
            await self._alice.send_text(self._room, f"{text} {number}")
            self._to_webchat.append(f"{text} {number}")

    async def _speak_at_webchat(self, text: str, count: int) -> None:
        for number in range(1, count + 1):
            await self._vera.send(self._chat, f"{text} {number}")
            self._to_matrix.append(f"{text} {number}")

    async def _everything_arrives(self) -> None:
        at_webchat = await self._arrived_at_webchat(self._to_webchat[-1:])
        on_matrix = await self._arrived_on_matrix(len(self._to_matrix))
        expect(self._to_webchat, [message.text for message in at_webchat])
        expect(self._to_matrix, [event.body for event in on_matrix])

    async def _arrived_at_webchat(self, texts: list[str]) -> list[Message]:
        """Everything of Alice's, once these texts are there."""
        return await self._ear.wait_for(self._chat, self._agent.id, texts)

    async def _arrived_on_matrix(self, count: int) -> list[ClientEvent]:
        """Everything of Vera's, once it is so much."""
        return await self._alice.wait_for_count(
            lambda e: e.type == "m.room.message" and e.sender == self._ghost, count, PATIENCE_S, room_id=self._room
        )


def _short(value: object, length: int = 400) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else repr(value)
    return text if len(text) <= length else f"{text[:length]} ... ({len(text)} characters)"
