"""Who has read, and who is writing: both ways."""

from __future__ import annotations

from bridgekit.adapter.capabilities import CanMarkRead, CanType
from bridgekit.model.matrix import MatrixReceipt, MatrixTyping
from bridgekit.model.remote import RemoteReceipt, RemoteTyping
from bridgekit.testing.conformance.checks import Fault, check, done, eventually
from bridgekit.testing.conformance.listening import said
from bridgekit.testing.conformance.scene import NOW_MS, Scene
from bridgekit.testing.conformance.texts import names_of
from bridgekit.testing.conformance.topic import Topic


class Passing(Topic):
    @check(CanMarkRead, "read_up_to")
    async def test_the_network_is_told_what_was_read(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            ids = []
            for _ in range(2):
                text = scene.words()
                id = await scene.remote.say(chat, text)
                ids.append((id, (await said(line, text)).id))
            for shown, known in ids:
                receipt = MatrixReceipt(portal=chat, up_to=known, timestamp=NOW_MS)
                await done("mark_read()", line.can(CanMarkRead).mark_read(receipt), scene.patience_s)

                async def read(wanted: str = shown) -> bool:
                    return await scene.remote.read_up_to(chat) == wanted

                await eventually(
                    scene.patience_s, read, f"mark_read() up to {shown!r} returned, and the friend does not see it"
                )

    @check("mark_read")
    async def test_what_was_read_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            id = await scene.remote.say(chat, text)
            message = await said(line, text)
            await scene.remote.mark_read(chat, id)
            receipt = await line.first(
                RemoteReceipt,
                "the friend has read a message, and `events` yielded no RemoteReceipt",
                lambda receipt: receipt.user == scene.remote.friend,
            )
        if receipt.up_to not in names_of(message) or receipt.portal != chat:
            raise Fault(f"the friend has read up to {id!r} in {chat!r}, and `events` yielded {receipt!r}")

    @check(CanType, "is_typing")
    async def test_the_network_is_told_who_writes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            for typing in (True, True, False):
                told = MatrixTyping(portal=chat, typing=typing)
                await done("set_typing()", line.can(CanType).set_typing(told), scene.patience_s)

                async def seen(wanted: bool = typing) -> bool:
                    return await scene.remote.is_typing(chat) is wanted

                await eventually(
                    scene.patience_s, seen, f"set_typing() of {typing} returned, and the friend does not see it"
                )

    @check("set_typing")
    async def test_who_writes_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            await scene.remote.say(chat, text)
            await said(line, text)  # what passes is for those who listen already
            for typing in (True, False):
                await scene.remote.set_typing(chat, typing)
                what = "is writing" if typing else "has stopped writing"
                seen = await line.first(
                    RemoteTyping,
                    f"the friend {what}, and `events` yielded no RemoteTyping with typing={typing}",
                    lambda seen, typing=typing: seen.typing is typing,  # type: ignore[misc]  # the default binds it
                )
                if seen.user != scene.remote.friend or seen.portal != chat:
                    raise Fault(f"the friend {what} in {chat!r}, and `events` yielded {seen!r}")
                if typing and not 0 < seen.expires_s < 600:
                    raise Fault(
                        f"RemoteTyping.expires_s is {seen.expires_s!r}; it is in seconds, and about 15 is usual"
                    )
