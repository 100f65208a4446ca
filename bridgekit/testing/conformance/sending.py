"""Messages to the network: taken when `send` returns, in order, once, recognised when they come back."""

from __future__ import annotations

import asyncio

from bridgekit.adapter.capabilities import CanConfirm, CanSend
from bridgekit.model.limits import Limits
from bridgekit.model.remote import RemoteMessage, Sent
from bridgekit.testing.conformance.checks import Fault, NotHere, check, done
from bridgekit.testing.conformance.listening import CHARACTERS, compare_order, said
from bridgekit.testing.conformance.scene import Scene, one_id
from bridgekit.testing.conformance.topic import Topic

FITS = 20_000
"""Of a network that takes longer texts, the longest is not tried."""


class Sending(Topic):
    @check(CanSend)
    async def test_what_is_sent_is_there(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            message = scene.message(chat, scene.words())
            sent = await done("send()", line.can(CanSend).send(message), scene.patience_s)
            if not isinstance(sent, Sent):
                raise Fault(f"send() returned {sent!r}; it must return a Sent")
            post = await scene.post(
                chat, message.text.body, "send() returned, and the network does not have the message"
            )
            me = (await scene.login()).user
            if post.sender != me:
                raise Fault(f"the message is there as {post.sender!r}'s; Login.user says that the account is {me!r}")
            if sent.ids and post.id not in sent.ids:
                raise Fault(f"send() returned the ids {list(sent.ids)}; the network calls the message {post.id!r}")

    @check(CanSend)
    async def test_messages_are_there_in_order(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        texts = [scene.words() for _ in range(20)]
        ids: list[str] = []
        async with scene.line() as line:
            for text in texts:
                sent = await done("send()", line.can(CanSend).send(scene.message(chat, text)), scene.patience_s)
                ids += sent.ids
        await scene.post(chat, texts[-1], "the last of 20 messages never got to the network, though send() returned")
        came = [post.text for post in await scene.remote.look(chat) if post.text in texts]
        compare_order(came, texts, "of what was sent one after the other, the network has")
        if len(set(ids)) != len(ids):
            raise Fault(f"send() returned the same id for different messages: {ids}")

    @check(CanSend)
    async def test_equal_messages_are_different_messages(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            for _ in range(2):
                await done("send()", line.can(CanSend).send(scene.message(chat, text)), scene.patience_s)
            fence = scene.message(chat, scene.words("end"))
            await done("send()", line.can(CanSend).send(fence), scene.patience_s)
        await scene.post(chat, fence.text.body, "send() returned, and the network does not have the message")
        if (number := len(await scene.posts(chat, text))) != 2:
            raise Fault(f"two messages that say the same, with two nonces, were sent, and the network has {number}")

    @check(CanSend)
    async def test_any_character_is_sent(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            for text in CHARACTERS:
                await done(f"send() of {text!r}", line.can(CanSend).send(scene.message(chat, text)), scene.patience_s)
                await scene.post(chat, text, f"{text!r} was sent, and the network has nothing that says so")

    @check(CanSend)
    async def test_what_fits_is_taken(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            limits = line.session.limits(chat)
            if limits.max_text_length is None:
                raise NotHere("Limits.max_text_length is None")
            if limits.max_text_length > FITS:
                raise NotHere(f"Limits.max_text_length is more than {FITS}")
            for character in ("x", "é", "🦊"):
                text = longest(character, limits)
                what = f"send() of {len(text)} times {character!r}, as long as Limits allows in {limits.text_unit}"
                await done(what, line.can(CanSend).send(scene.message(chat, text)), scene.patience_s)
                await scene.post(chat, text, f"{what} returned, and the network has it shorter, or not at all")

    @check(CanSend)
    async def test_a_repeat_is_dropped(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            sender = line.can(CanSend)
            if sender.dedupes_for is None:
                raise NotHere(f"{type(line.session).__name__}.dedupes_for is None: the network drops no repeats")
            message = scene.message(chat, scene.words())
            first = await done("send()", sender.send(message), scene.patience_s)
        async with scene.line() as line:  # a new process, after a crash
            sender = line.can(CanSend)
            second = await done("send() of the same nonce", sender.send(message), scene.patience_s)
            fence = scene.message(chat, scene.words("end"))
            await done("send()", sender.send(fence), scene.patience_s)
        await scene.post(chat, fence.text.body, "send() returned, and the network does not have the message")
        if (number := len(await scene.posts(chat, message.text.body))) > 1:
            raise Fault(
                f"a message was sent again with the same nonce, and the network has it {number} times: `dedupes_for`"
                " promises that it drops repeats. Give it `message.nonce`, and nothing that is new each time"
            )
        if first.ids != second.ids:
            raise Fault(
                f"send() of the same nonce returned the ids {list(first.ids)}, and then {list(second.ids)}: ids must be"
                " the network's own, or a repeat leaves the message under an id that it does not have"
            )

    @check(CanSend)
    async def test_our_own_message_is_recognised(self, scene: Scene) -> None:
        chat, login = await scene.remote.chat(), await scene.login()
        async with scene.line() as line:
            message = scene.message(chat, scene.words())
            sent = await done("send()", line.can(CanSend).send(message), scene.patience_s)
            await scene.post(chat, message.text.body, "send() returned, and the network does not have the message")
            fence = scene.words("end")
            await scene.remote.say(chat, fence)
            await said(line, fence)
            seen = [event for event in line.events if isinstance(event, RemoteMessage)]
            echoes = [event for event in seen if event.text.body == message.text.body or event.nonce == message.nonce]
        for echo in echoes:
            if echo.sender != login.user:
                raise Fault(
                    f"our own message came back with the sender {echo.sender!r}, and Login.user is {login.user!r}: it"
                    " would be bridged back as somebody else's"
                )
            if echo.nonce is not None and echo.nonce != message.nonce:
                raise Fault(
                    f"our own message came back with the nonce {echo.nonce!r}; it was sent with {message.nonce!r}"
                )
            if scene.remote.returns_nonces and echo.nonce is None:
                raise Fault(
                    "our own message came back without its nonce, though the network gives it back: after a crash it"
                    " would be bridged back as a new one. Set RemoteMessage.nonce"
                )
            names = {echo.id, *echo.aliases}
            if echo.nonce is None and not names & set(sent.ids):
                raise Fault(
                    f"our own message came back as {echo.id!r}, without a nonce, and send() had returned the ids"
                    f" {list(sent.ids)}: nothing tells that it is ours, and it would be bridged back as a new one"
                )
        if scene.remote.returns_nonces and not echoes:
            raise Fault("the network shows the account its own messages (`returns_nonces`), and `events` drops them")

    @check(CanSend)
    async def test_chats_are_sent_to_side_by_side(self, scene: Scene) -> None:
        chats = [await scene.remote.chat() for _ in range(3)]
        if len(set(chats)) < 3:
            raise NotHere(f"{type(scene.remote).__name__}.chat gives the same chat again")
        async with scene.line() as line:
            sent = [scene.message(chat, scene.words()) for chat in chats]
            sends = (done("send()", line.can(CanSend).send(message), scene.patience_s) for message in sent)
            await asyncio.gather(*sends)
            for message in sent:
                await scene.post(
                    message.portal, message.text.body, "of sends to several chats at once, one is not there"
                )

    @check(CanConfirm)
    async def test_the_network_can_be_asked_what_became_of_a_message(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            message = scene.message(chat, scene.words())
            sent = await done("send()", line.can(CanSend).send(message), scene.patience_s)
        async with scene.line() as line:  # a new process, after a crash
            asked = line.can(CanConfirm)
            found = await done("find()", asked.find(chat, message.nonce), scene.patience_s)
            if found is None:
                raise Fault("find() returned None for a message that the network has: it would be sent a second time")
            if one_id(found, "find()") != one_id(sent):
                raise Fault(f"find() returned the ids {list(found.ids)}; send() had returned {list(sent.ids)}")
            unknown = await done("find()", asked.find(chat, scene.nonce()), scene.patience_s)
            if unknown is not None:
                raise Fault(f"find() returned {unknown!r} for a nonce that the network never saw; return None")


def longest(character: str, limits: Limits) -> str:
    """As much of a character as fits."""
    assert limits.max_text_length is not None
    size = {"codepoints": 1, "utf16": len(character.encode("utf-16-le")) // 2, "utf8": len(character.encode())}
    return character * (limits.max_text_length // size[limits.text_unit])
