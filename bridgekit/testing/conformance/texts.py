"""What a text means: whom it mentions, what it answers."""

from __future__ import annotations

import msgspec

from bridgekit.adapter.capabilities import CanSend
from bridgekit.model.content import Mention, MentionUser, Text
from bridgekit.model.ids import RemoteMessageID
from bridgekit.model.remote import RemoteMessage
from bridgekit.testing.conformance.checks import Fault, NotHere, check, done
from bridgekit.testing.conformance.listening import said
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic

BEFORE = "🦊 e\u0301 "
"""Before a mention: one character that is two code units of UTF-16 and four bytes, and one of two code points."""
UNITS = "Offsets are in code points; `Utf16Offsets` converts (bridgekit.adapter)"


class Texts(Topic):
    @check(CanSend)
    async def test_a_mention_is_sent(self, scene: Scene) -> None:
        chat, friend = await scene.remote.chat(), scene.remote.friend
        async with scene.line() as line:
            end = scene.words(" look")
            start = len(BEFORE)
            text = Text(f"{BEFORE}@Friend{end}", mentions=(Mention(start, start + 7, MentionUser(friend)),))
            await done("send() of a mention", line.can(CanSend).send(scene.message(chat, text)), scene.patience_s)
            post = await scene.post(
                chat, text.body, "a message with a mention was sent, and the network has no such text"
            )
        if isinstance(post.mentions, msgspec.UnsetType):
            raise NotHere(f"{type(scene.remote).__name__}.look does not say what is mentioned")
        if not post.mentions:
            raise Fault(
                f"a message mentions {friend!r}, and arrived without a mention: give `message.text.mentions` on"
            )
        shown, whom = post.mentions[0]
        if whom != friend:
            raise Fault(f"a message mentions {friend!r}, and arrived with a mention of {whom!r}")
        if shown.removeprefix("@") != "Friend":
            raise Fault(f"the mention of '@Friend' in {text.body!r} arrived as a mention of {shown!r}: {UNITS}")

    @check("say_mention")
    async def test_a_mention_comes(self, scene: Scene) -> None:
        chat, me = await scene.remote.chat(), (await scene.login()).user
        async with scene.line() as line:
            after = scene.words(" look")
            await scene.remote.say_mention(chat, BEFORE, "@you", after, me)
            body = f"{BEFORE}@you{after}"
            message = await said(line, body)
        found = [each for each in message.text.mentions if isinstance(each.target, MentionUser)]
        if not found:
            raise Fault(f"the friend mentioned {me!r}, and RemoteMessage.text.mentions has nobody")
        if found[0].target != MentionUser(me):
            raise Fault(f"the friend mentioned {me!r}, and RemoteMessage.text.mentions has {found[0].target!r}")
        shown = body[found[0].start : found[0].end]
        if shown.removeprefix("@") != "you":
            raise Fault(f"the friend's mention of '@you' in {body!r} comes as a mention of {shown!r}: {UNITS}")

    @check(CanSend)
    async def test_a_reply_is_sent(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            if not line.session.limits(chat).replies:
                raise NotHere("Limits.replies is False")
            question, answer = scene.words(), scene.words()
            id = await scene.remote.say(chat, question)
            target = (await said(line, question)).id
            message = scene.message(chat, answer, reply_to=target)
            await done("send() of a reply", line.can(CanSend).send(message), scene.patience_s)
            post = await scene.post(chat, answer, "a reply was sent, and the network has no such text")
        if isinstance(post.reply_to, msgspec.UnsetType):
            raise NotHere(f"{type(scene.remote).__name__}.look does not say what is answered")
        if post.reply_to != id:
            what = "answers nothing there" if post.reply_to is None else f"answers {post.reply_to!r} there"
            raise Fault(
                f"a message was sent that answers {id!r}, and it {what}: give `message.reply_to` on, or"
                " leave `Limits.replies` False"
            )

    @check("reply")
    async def test_a_reply_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            question, answer = scene.words(), scene.words()
            id = await scene.remote.say(chat, question)
            asked = await said(line, question)
            await scene.remote.reply(chat, answer, id)
            message = await said(line, answer)
        if message.reply_to not in names_of(asked):
            raise Fault(f"the friend answered {id!r}, and RemoteMessage.reply_to is {message.reply_to!r}")


def names_of(message: RemoteMessage) -> set[RemoteMessageID]:
    """All ids under which a message is known."""
    return {message.id, *message.aliases}
