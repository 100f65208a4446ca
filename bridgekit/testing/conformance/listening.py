"""What the network says comes, in its order, and is lost by no crash: `Session.events`."""

from __future__ import annotations

import asyncio
import time

from bridgekit.adapter.capabilities import CanSend
from bridgekit.errors import AuthFailed, Transient
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.model.ids import PortalKey
from bridgekit.model.remote import RemoteMessage
from bridgekit.testing.conformance.checks import Fault, check, done, show, trace, within, wrong_error
from bridgekit.testing.conformance.line import Line
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic

MANY = 60
"""Messages that are said before a connection ends. An adapter may begin a little earlier than it must."""
SECONDS = 100_000_000_000
"""A number of ms below this is before 1974: it must be seconds."""


class Listening(Topic):
    @check()
    async def test_what_is_said_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            id = await scene.remote.say(chat, text)
            message = await said(line, text)
            if message.portal != chat:
                raise Fault(f"RemoteMessage.portal is {message.portal!r}; the message was said in {chat!r}")
            if message.sender != scene.remote.friend:
                raise Fault(f"RemoteMessage.sender is {message.sender!r}; {scene.remote.friend!r} has said it")
            if message.id != id and id not in message.aliases:
                raise Fault(f"RemoteMessage.id is {message.id!r}; the network calls it {id!r}")
            now = time.time() * 1000
            if not SECONDS < message.timestamp < now + 86_400_000:
                raise Fault(
                    f"RemoteMessage.timestamp is {message.timestamp!r}; it must be ms since the epoch, about {now:.0f}"
                )

    @check()
    async def test_messages_come_in_order_and_once(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            texts = await say_many(scene, chat, 20)

            def lacking() -> str:
                return f"the friend said {texts}, and `events` yielded only {messages(line, texts)}"

            await line.until(lambda event: set(messages(line, texts)) == set(texts), lacking)
            fence = scene.words("end")
            await scene.remote.say(chat, fence)
            await said(line, fence)
            compare_order(messages(line, texts), texts, "`events` yields")

    @check()
    async def test_any_character_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            for text in CHARACTERS:
                await scene.remote.say(chat, text)
                fence = scene.words("end")
                await scene.remote.say(chat, fence)
                await said(line, fence)
                if not messages(line, [text]):
                    before = [event.text.body for event in line.events if isinstance(event, RemoteMessage)][-2]
                    raise Fault(f"the friend wrote {text!r}, and `events` yielded {before!r}")

    @check("remembers")
    async def test_a_new_connection_goes_on_behind_the_cursor(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            texts = await say_many(scene, chat, MANY)
            await said(line, texts[-1])
            fence = scene.words("end")
            await scene.remote.say(chat, fence)
            await said(line, fence)  # so everything before it was resumed after, and counts as on disk
        missed = scene.words("missed")
        await scene.remote.say(chat, missed)
        async with scene.line(line.cursors, line.state) as again:
            await said(
                again,
                missed,
                "what is said while nobody is connected does not come later: with `after` "
                f"{line.cursors!r}, `events` must begin behind that, and not with what happens from now on",
            )
            if texts[0] in messages(again, texts):
                raise Fault(
                    f"`events` yielded {MANY} messages, and after a reconnect with their cursors in `after` it yields"
                    " events again from the start: `after` is ignored"
                    + ("" if line.cursors else ", or no event has a `cursor`")
                )

    @check("remembers")
    async def test_what_is_not_on_disk_comes_again(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        texts = [scene.words() for _ in range(3)]
        async with scene.line() as line:
            for text in texts:
                await scene.remote.say(chat, text)
            await said(line, texts[1])  # yielded; but the iterator is not resumed any more
        async with scene.line(line.cursors, line.state) as again:
            await said(
                again,
                texts[2],
                f"the connection ended while {texts[1]!r} was being written down, and afterwards nothing came any more",
            )
            came = messages(again, texts[1:])
            if came[:1] != texts[1:2]:
                raise Fault(
                    f"{texts[1]!r} was yielded, and the process ended before it was on disk (the iterator was not"
                    " resumed after it): it never came again. Confirm to the network, and move what you remember, only"
                    " behind the `yield`; and give each event its own cursor, not a later one's"
                )

    @check("remembers")
    async def test_the_first_message_is_not_lost(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        first = scene.words()
        async with scene.line() as line:
            await scene.remote.say(chat, first)
            await said(line, first)  # and the process ends before it is on disk
        async with scene.line(line.cursors, line.state) as again:
            otherwise = (
                "the first message that a new login saw was yielded, the process ended before it was on disk, and it"
                " never came again. Without cursors, begin with what is there; or first of all yield a RemoteProgress"
                " that says where you begin"
            )
            await said(again, first, otherwise)

    @check("cut")
    async def test_a_broken_connection_ends_the_iterator(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            before = scene.words()
            await scene.remote.say(chat, before)
            await said(line, before)
            await scene.remote.cut()
            error = await line.end(
                "the connection was cut, and `events` neither ended nor raised: bridgekit connects again only then"
            )
        allowed = (*CONNECTION_ERRORS, Transient, asyncio.CancelledError)
        if error is not None and not isinstance(error, allowed):
            raise wrong_error(
                "`events`", error, "the connection was cut", "nothing (end), a connection error or Transient"
            )
        async with scene.line(line.cursors, line.state) as again:
            after = scene.words()
            await scene.remote.say(chat, after)
            await said(again, after, "after the connection was cut and opened again, nothing came any more")

    @check(CanSend)
    async def test_a_paused_pull_blocks_no_send(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            texts = await say_many(scene, chat, MANY)
            await said(line, texts[0])  # and it is not resumed: the bridge waits for its disk
            message = scene.message(chat, scene.words("sent"))
            await within(
                scene.patience_s,
                done("send()", line.can(CanSend).send(message), scene.patience_s * 2),
                "send() waits for the iterator to be resumed: the bridge pauses `events` while it waits for its disk,"
                " and sends must go on meanwhile. Read answers and events with a task of your own",
            )
            await scene.post(
                chat, message.text.body, "what was sent while `events` was paused never got to the network"
            )
            await said(line, texts[-1], "`events` yielded nothing more after it had been paused for a send")
            compare_order(messages(line, texts), texts, "after a pause, `events` yields")

    @check("revoke")
    async def test_a_revoked_account_has_to_log_in_again(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        text = scene.words()
        async with scene.line() as line:
            await scene.remote.say(chat, text)
            await said(line, text)
            await scene.remote.revoke()
            await line.end("the credentials were revoked and the connection ended, and `events` goes on")
        line = Line(scene.adapter(), await scene.login(), line.cursors, scene.patience_s)
        try:
            error: BaseException | None = None
            try:
                await line.opened()
                error = await line.end(
                    "the credentials no longer count, and `connect` and `events` go on without a word"
                )
            except Fault:
                raise
            except Exception as failure:  # noqa: BLE001 - judged below
                error = failure
        finally:
            await line.close()
        if not isinstance(error, AuthFailed):
            said_ = "nothing" if error is None else show(error)
            raise Fault(
                f"the credentials no longer count, and `connect` and `events` raised {said_}: the bridge would try for"
                f" ever. Raise AuthFailed, so that the person is asked to log in again{trace(error) if error else ''}"
            )


CHARACTERS = ("plain", "Grüße, 你好, שלום", "🦊 and 👩‍👩‍👧 and e\u0301", "<b>&amp; *not* _markup_</b>", "two\nlines")
"""Texts that must cross as they are."""


async def said(line: Line, text: str, otherwise: str = "") -> RemoteMessage:
    """Pull until the friend's message of this text."""

    def lacking() -> str:
        came = [event.text.body for event in line.events if isinstance(event, RemoteMessage)]
        return otherwise or f"the friend said {text!r}, and `events` did not yield it; it yielded {came[-5:]}"

    return await line.first(RemoteMessage, lacking, lambda message: message.text.body == text)


async def say_many(scene: Scene, chat: PortalKey, number: int) -> list[str]:
    """The friend writes so many messages, one after the other."""
    texts = [scene.words() for _ in range(number)]
    for text in texts:
        await scene.remote.say(chat, text)
    return texts


def messages(line: Line, texts: list[str]) -> list[str]:
    """Those of these texts that were yielded, as they came."""
    wanted = set(texts)
    return [event.text.body for event in line.events if isinstance(event, RemoteMessage) and event.text.body in wanted]


def compare_order(came: list[str], texts: list[str], what: str) -> None:
    """Whether everything came, once and in order."""
    if sorted(came) != sorted(texts):
        twice = sorted({text for text in came if came.count(text) > 1})
        lost = [text for text in texts if text not in came]
        raise Fault(f"{what} not all messages once: twice {twice}, never {lost}")
    if came != texts:
        at = next(index for index, pair in enumerate(zip(came, texts, strict=True)) if pair[0] != pair[1])
        raise Fault(
            f"{what} messages in another order than they were said in: {came[at]!r} where {texts[at]!r} belongs"
        )
