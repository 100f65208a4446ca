"""Edits, deletions and reactions, both ways; a repeat of each does no harm."""

from __future__ import annotations

import msgspec

from bridgekit.adapter.capabilities import CanDelete, CanEdit, CanReact, CanSend
from bridgekit.errors import Rejected
from bridgekit.model.ids import PortalKey, RemoteMessageID
from bridgekit.model.remote import RemoteDelete, RemoteEdit, RemoteReaction, Sent
from bridgekit.testing.conformance.checks import Fault, NotHere, check, done, eventually, raised, wrong_error
from bridgekit.testing.conformance.line import Line
from bridgekit.testing.conformance.listening import said
from bridgekit.testing.conformance.scene import Scene, one_id
from bridgekit.testing.conformance.texts import names_of
from bridgekit.testing.conformance.topic import Topic

THUMB = "👍"


class Changes(Topic):
    # --- edits ------------------------------------------------------------------------------------------------------
    @check(CanSend, CanEdit)
    async def test_an_edit_is_sent(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            target, old = await sent(scene, line, chat)
            edit = scene.edit(chat, target, scene.words("edited"))
            answer = Sent(())
            for what in ("edit()", "edit() of the same nonce"):
                answer = await done(what, line.can(CanEdit).edit(edit), scene.patience_s)
                if not isinstance(answer, Sent):
                    raise Fault(f"{what} returned {answer!r}; it must return a Sent")
                await scene.post(chat, edit.text.body, f"{what} returned, and the network shows the message unchanged")
                if await scene.posts(chat, old):
                    raise Fault(
                        f"{what} left the old text there and sent the new one as another message: `edit.target` is"
                        " ignored"
                    )
                if len(await scene.posts(chat, edit.text.body)) > 1:
                    raise Fault(f"after {what}, the new text is there twice: a repeat must do no harm")
            more = scene.edit(chat, answer.ids[0] if answer.ids else target, scene.words("edited"))
            await done("edit() of an edited message", line.can(CanEdit).edit(more), scene.patience_s)
            await scene.post(chat, more.text.body, "an edited message cannot be edited again")

    @check(CanSend, CanEdit, "refuse")
    async def test_an_edit_that_is_refused_is_rejected(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            target, _ = await sent(scene, line, chat)
            await scene.remote.refuse()
            edit = scene.edit(chat, target, scene.words("edited"))
            error, _ = await raised("edit()", line.can(CanEdit).edit(edit), scene.patience_s)
        if error is None:
            raise Fault("the network refused an edit, and edit() returned: its sender believes that it has arrived")
        if not isinstance(error, Rejected):
            raise wrong_error("edit()", error, "the network refused an edit for good", "Rejected (or NotSupported)")

    @check("edit")
    async def test_an_edit_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            id = await scene.remote.say(chat, text)
            message = await said(line, text)
            revisions = []
            for _ in range(2):
                new = scene.words("edited")
                await scene.remote.edit(chat, id, new)
                edit = await line.first(
                    RemoteEdit,
                    "the friend edited a message, and `events` yielded no RemoteEdit that says the new text",
                    lambda edit, new=new: edit.text.body == new,  # type: ignore[misc]  # the default binds it
                )
                if edit.target not in names_of(message):
                    raise Fault(f"RemoteEdit.target is {edit.target!r}; {message.id!r} was edited")
                if edit.portal != chat or edit.sender != scene.remote.friend:
                    raise Fault(
                        f"RemoteEdit says {edit.sender!r} in {edit.portal!r}; it was {scene.remote.friend!r} in"
                        f" {chat!r}"
                    )
                revisions.append(edit.revision)
        if revisions[0] == revisions[1]:
            raise Fault(
                f"two edits of a message have the same RemoteEdit.revision ({revisions[0]!r}): the second would be"
                " taken for a repeat"
            )

    # --- deletions --------------------------------------------------------------------------------------------------
    @check(CanSend, CanDelete)
    async def test_a_deletion_is_sent(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            target, text = await sent(scene, line, chat)
            delete = scene.delete(chat, target)
            for what in ("delete()", "delete() of what is deleted already, as after a crash,"):
                await done(what, line.can(CanDelete).delete(delete), scene.patience_s)

                async def gone() -> bool:
                    return not await scene.posts(chat, text)

                await eventually(scene.patience_s, gone, f"{what} returned, and the network still shows the message")

    @check("delete")
    async def test_a_deletion_comes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            text = scene.words()
            id = await scene.remote.say(chat, text)
            message = await said(line, text)
            await scene.remote.delete(chat, id)
            delete = await line.first(
                RemoteDelete, "the friend deleted a message, and `events` yielded no RemoteDelete"
            )
        if delete.target not in names_of(message) or delete.portal != chat:
            raise Fault(f"RemoteDelete says {delete.target!r} in {delete.portal!r}; {id!r} was deleted, in {chat!r}")

    # --- reactions --------------------------------------------------------------------------------------------------
    @check(CanReact)
    async def test_a_reaction_is_sent_and_taken_back(self, scene: Scene) -> None:
        chat, me = await scene.remote.chat(), (await scene.login()).user
        async with scene.line() as line:
            emoji = allowed(line, scene, chat)
            text = scene.words()
            await scene.remote.say(chat, text)
            target = (await said(line, text)).id
            reaction = scene.reaction(chat, target, emoji)
            post = await scene.post(chat, text, "")
            if isinstance(post.reactions, msgspec.UnsetType):
                raise NotHere(f"{type(scene.remote).__name__}.look does not say what the reactions are")
            for round in ("", ", when it had been taken back,"):
                for what in ("react()", "react() of what is there already, as after a crash,"):
                    await done(what, line.can(CanReact).react(reaction), scene.patience_s)
                    await shows(scene, chat, text, {(me, emoji)}, f"{what}{round} returned")
                for what in ("unreact()", "unreact() of what is not there, as after a crash,"):
                    await done(what, line.can(CanReact).unreact(reaction), scene.patience_s)
                    await shows(scene, chat, text, set(), f"{what}{round} returned")
                reaction = scene.reaction(chat, target, emoji)

    @check("react", "unreact")
    async def test_a_reaction_comes_and_goes(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            emoji = allowed(line, scene, chat)
            text = scene.words()
            id = await scene.remote.say(chat, text)
            message = await said(line, text)
            seen = []
            for number, added in enumerate((True, False, True)):
                did = "reacted" if added else "took a reaction back"
                await (scene.remote.react if added else scene.remote.unreact)(chat, id, emoji)
                await line.until(
                    lambda event, number=number: sum(isinstance(e, RemoteReaction) for e in line.events) > number,  # type: ignore[misc]  # the default binds it
                    f"the friend {did}, and `events` yielded no RemoteReaction",
                )
                seen = [event for event in line.events if isinstance(event, RemoteReaction)]
                last = seen[number]
                if last.target not in names_of(message) or last.sender != scene.remote.friend or last.portal != chat:
                    raise Fault(f"{scene.remote.friend!r} reacted to {id!r} in {chat!r}, and `events` yielded {last!r}")
                if last.emoji != emoji:
                    raise Fault(f"the friend reacted with {emoji!r}, and RemoteReaction.emoji is {last.emoji!r}")
                if last.added is not added:
                    raise Fault(f"the friend {did}, and RemoteReaction.added is {last.added}")
        occurrences = [each.occurrence for each in seen]
        if any(occurrences) and len(set(occurrences)) != len(occurrences):
            raise Fault(
                "the friend reacted, took it back and reacted again, and RemoteReaction.occurrence was"
                f" {occurrences}: each needs its own, or the last is taken for a repeat of the first"
            )


async def sent(scene: Scene, line: Line, chat: PortalKey) -> tuple[RemoteMessageID, str]:
    """A message of Alice's: its id, and what it says."""
    message = scene.message(chat, scene.words())
    answer = await done("send()", line.can(CanSend).send(message), scene.patience_s)
    await scene.post(message.portal, message.text.body, "send() returned, and the network does not have the message")
    return one_id(answer), message.text.body


async def shows(scene: Scene, chat: PortalKey, text: str, wanted: set[tuple[str, str]], what: str) -> None:
    """Wait until the message that says this has just these reactions."""
    last: set[tuple[str, str]] = set()

    async def look() -> bool:
        nonlocal last
        post = next(iter(await scene.posts(chat, text)), None)
        assert post is not None and not isinstance(post.reactions, msgspec.UnsetType)
        last = set(post.reactions)
        return last == wanted

    await eventually(
        scene.patience_s,
        look,
        lambda: f"{what}, and the message has the reactions {sorted(last)} instead of {sorted(wanted)}",
    )


def allowed(line: Line, scene: Scene, chat: PortalKey) -> str:
    """An emoji that may be used in a chat."""
    emoji = line.session.limits(chat).reactions
    return THUMB if emoji is None or THUMB in emoji else min(emoji)
