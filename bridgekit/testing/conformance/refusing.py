"""What an adapter raises decides what becomes of a message: each thing that goes wrong, and what must be raised."""

from __future__ import annotations

from bridgekit.adapter.capabilities import CanConfirm, CanSend
from bridgekit.errors import Rejected, Transient, Uncertain
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.testing.conformance.checks import Fault, check, done, raised, wrong_error
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic


class Refusing(Topic):
    @check(CanSend, "refuse")
    async def test_what_is_refused_is_rejected(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            await scene.remote.refuse()
            message = scene.message(chat, scene.words())
            error, _ = await raised("send()", line.can(CanSend).send(message), scene.patience_s)
            if error is None:
                raise Fault(
                    "the network refused a message, and send() returned: its sender believes that it has arrived."
                    " Return only when the network has said that it took it, and let its refusal out as Rejected"
                )
            if not isinstance(error, Rejected):
                raise wrong_error(
                    "send()", error, "the network refused a message for good", "Rejected (or NotSupported)"
                )
            if not error.reason.strip():
                raise Fault("send() raised Rejected without a reason; the message's sender reads it")
            after = scene.message(chat, scene.words())
            await done("send() after a refusal", line.can(CanSend).send(after), scene.patience_s)
            await scene.post(chat, after.text.body, "after a refusal, nothing gets to the network any more")

    @check(CanSend, "be_busy")
    async def test_what_is_not_taken_yet_is_transient(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            sender = line.can(CanSend)
            await scene.remote.be_busy()
            message = scene.message(chat, scene.words())
            error, _ = await raised("send()", sender.send(message), scene.patience_s)
            if error is None and not await scene.posts(chat, message.text.body):
                raise Fault("the network did not take a message, and send() returned: it is lost. Raise Transient")
            if error is not None:
                repeatable = sender.dedupes_for is not None and isinstance(error, CONNECTION_ERRORS)
                if not isinstance(error, Transient) and not repeatable:
                    situation = "the network was busy and took nothing, and would have taken it later"
                    raise wrong_error("send()", error, situation, "Transient")
                await done("send() when the network was not busy any more", sender.send(message), scene.patience_s)
            await scene.post(chat, message.text.body, "a message that was sent again never got to the network")
            if len(await scene.posts(chat, message.text.body)) > 1:
                raise Fault("the network was busy, the message was sent again as bridgekit does it, and is there twice")

    @check(CanSend, "lose_answer")
    async def test_an_answer_that_is_lost_is_not_a_refusal(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            sender = line.can(CanSend)
            await scene.remote.lose_answer()
            message = scene.message(chat, scene.words())
            error, _ = await raised("send()", sender.send(message), scene.patience_s)
            dedupes = sender.dedupes_for is not None
        situation = "the network took a message, and the connection broke before its answer"
        wanted = "a connection error (let it escape) or Uncertain"
        if error is not None and not isinstance(error, (Uncertain, *CONNECTION_ERRORS)):
            if not isinstance(error, Transient) or not dedupes:
                raise wrong_error("send()", error, situation, wanted)
            raise Fault(
                f"{situation}, and send() raised {error!r}, which says that the network took nothing. Raise {wanted}"
            )
        async with scene.line() as line:
            if isinstance(line.session, CanConfirm):
                found = await done("find()", line.session.find(chat, message.nonce), scene.patience_s)
                if found is None:
                    raise Fault(f"{situation}; find() then returned None, so the message would be sent a second time")
            if dedupes:
                again = line.can(CanSend).send(message)
                await done("send() of the same nonce, after a lost answer", again, scene.patience_s)
            fence = scene.message(chat, scene.words("end"))
            await done("send()", line.can(CanSend).send(fence), scene.patience_s)
            await scene.post(chat, fence.text.body, "after a lost answer, nothing gets to the network any more")
        if (number := len(await scene.posts(chat, message.text.body))) != 1:
            raise Fault(f"{situation}; sent again as bridgekit does it, it is there {number} times")
