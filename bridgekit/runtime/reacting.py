"""A reaction on its way to the network, and how it is taken back there."""

from __future__ import annotations

from bridgekit.adapter.capabilities import CanReact, capability
from bridgekit.core.from_matrix import Unreadable, read_reaction
from bridgekit.core.reactions import for_network, same_emoji, to_matrix_key
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.model.entry import Ending
from bridgekit.model.ids import RemoteMessageID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import MatrixReaction
from bridgekit.model.records import Fact, ReactionRecord, ReactionRemoved, ReactionSaved
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.own_changes import OwnReaction
from bridgekit.runtime.relay import Refusal, Voice
from bridgekit.runtime.sending import Attempt, Connected
from bridgekit.runtime.targets import Missing


async def react(a: Attempt) -> Handled:
    """React on the network, through the sender's own login; what it does not take disappears from the room."""
    read = read_reaction(a.event.raw)
    if isinstance(read, Unreadable):
        return Handled() if read.code == "redacted" else await a.end(a.ending(read.code, read.reason))
    if await a.deleted_meanwhile(read.target):
        return Handled()
    voice = await a.o.relay.own_voice(a.event, a.portal)
    if not isinstance(voice, Voice):
        return await a.unheard(voice)
    to = await a.connected(voice)
    if not isinstance(to, Connected):
        return to
    reactor = capability(to.session, CanReact)
    if reactor is None:
        # Said once; that it is not there is seen each time.
        await a.o.status.withdraw(a.event.room_id, a.event.event_id, reason="this network has no reactions")
        return await a.unheard(Refusal("not_supported", "this network has no reactions", topic="no reactions"))
    found = await a.o.targets.find(read.target, a.portal, a.event.room_id, a.lane)
    if isinstance(found, Missing):
        return Handled() if found.quiet else await a.end(a.ending(found.code, found.reason))
    target = found.records[0].remote_id
    there = await a.o.books.reactions(a.portal.key, target)
    limits = to.session.limits(a.portal.key)
    chosen = _emoji(read.key, there, limits)
    if chosen is None:
        return await a.end(a.ending("not_supported", _refused(limits)))
    emoji, emoji_id = chosen
    # From the network's own apps a person reacts as the ghost of the account.
    ghost = a.o.ghosts.namespace.user_id(to.record.login.user)
    mine = [each for each in there if each.sender in (a.event.sender, ghost)]
    same = [each for each in mine if _same(each, emoji, emoji_id)]
    if any(each.sender == a.event.sender for each in same):
        return Handled()
    most = limits.reactions_per_person
    told = OwnReaction(a.portal.key, target, emoji, added=True)
    if same and not await a.o.own_changes.has_more_to_come(told, other_emoji=most is not None):
        # It is there, and the network needs no word, if it has shown what it was told last. What was left on the phone
        # may be taken back there, too: then the room must not keep this one.
        return a.crossed((ReactionSaved(_record(a, same[0].target, emoji, emoji_id)),))
    if most is not None and most > 1 and len(mine) >= most:
        return await a.end(a.ending("not_supported", f"this network takes {most} reactions of one person to a message"))
    reaction = MatrixReaction(
        portal=a.portal.key,
        target=target,
        emoji=emoji,
        emoji_id=emoji_id,
        nonce=outgoing_nonce(a.o.books.secret, a.portal.key, a.event.event_id, 0),
        timestamp=a.event.origin_server_ts,
    )
    outcome = await a.call(lambda: reactor.react(reaction), to)
    if isinstance(outcome, Ending):
        return await a.end(outcome)
    await a.o.own_changes.reacted(told, reaction.nonce)
    facts: list[Fact] = []
    for old in mine if most == 1 else ():
        await a.o.status.withdraw(old.room, old.event_id, reason="another reaction has replaced it")
        facts.append(ReactionRemoved(old.portal, old.target, old.sender, old.emoji))
    facts.append(ReactionSaved(_record(a, target, emoji, emoji_id)))
    return a.crossed((*facts, *await a.o.own_changes.reactions_saved(reaction.portal)))


async def take_back(a: Attempt, reaction: ReactionRecord) -> Handled:
    """Through the login of whoever reacted, also if a moderator took the reaction away on Matrix."""
    gone = ReactionRemoved(reaction.portal, reaction.target, reaction.sender, reaction.emoji)
    if a.o.ghosts.namespace.is_ghost(reaction.sender):
        return await a.end(a.ending("not_supported", "other people's reactions cannot be taken away on the network"))
    voice = await a.o.relay.voice_of(reaction.sender, a.portal)
    if voice is None:
        return Handled(facts=(gone,))  # logged out meanwhile; what is left there is out of reach
    to = await a.connected(voice)
    if not isinstance(to, Connected):
        return to
    reactor = capability(to.session, CanReact)
    if reactor is None:
        return Handled(facts=(gone,))
    back = MatrixReaction(
        portal=reaction.portal,
        target=reaction.target,
        emoji=reaction.emoji,
        emoji_id=reaction.emoji_id,
        nonce=outgoing_nonce(a.o.books.secret, a.portal.key, a.event.event_id, 0),
        timestamp=a.event.origin_server_ts,
    )
    outcome = await a.call(lambda: reactor.unreact(back), to)
    if isinstance(outcome, Ending):
        return await a.end(outcome, (gone,))
    told = OwnReaction(reaction.portal, reaction.target, reaction.emoji, added=False)
    await a.o.own_changes.reacted(told, back.nonce)
    facts = [gone]
    # What the same person had left on the phone is gone there with it: the network has one of the two.
    ghost = a.o.ghosts.namespace.user_id(to.record.login.user)
    for each in await a.o.books.reactions(reaction.portal, reaction.target):
        if each.sender == ghost and _same(each, reaction.emoji, reaction.emoji_id):
            await a.o.status.withdraw(each.room, each.event_id)
            facts.append(ReactionRemoved(each.portal, each.target, each.sender, each.emoji))
    return a.crossed((*facts, *await a.o.own_changes.reactions_saved(reaction.portal)))


def _emoji(key: str, there: list[ReactionRecord], limits: Limits) -> tuple[str, str] | None:
    """The emoji as the network writes it, and its id for a picture that only the network has: one with which
    somebody has reacted to the message already. None if the network takes no such reaction."""
    for each in there:
        if each.emoji_id and same_emoji(to_matrix_key(each.emoji, each.emoji_id), key):
            return each.emoji, each.emoji_id
    emoji = for_network(key, limits)
    return (emoji, "") if emoji is not None else None


def _same(reaction: ReactionRecord, emoji: str, emoji_id: str) -> bool:
    return reaction.emoji_id == emoji_id and same_emoji(reaction.emoji, emoji)


def _refused(limits: Limits) -> str:
    if limits.reactions and len(limits.reactions) <= 12:
        return f"the network takes only these reactions: {' '.join(sorted(limits.reactions))}"
    return "the network does not take this reaction"


def _record(a: Attempt, target: RemoteMessageID, emoji: str, emoji_id: str) -> ReactionRecord:
    return ReactionRecord(
        portal=a.portal.key,
        target=target,
        sender=a.event.sender,
        emoji=emoji,
        emoji_id=emoji_id,
        room=a.event.room_id,
        event_id=a.event.event_id,
        timestamp=a.event.origin_server_ts,
    )
