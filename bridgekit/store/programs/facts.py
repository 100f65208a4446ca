"""Writing facts: a table from each kind to its statements."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import groupby
from typing import Any

from bridgekit.model import records
from bridgekit.model.records import Fact
from bridgekit.store.codec import (
    clamp,
    digest,
    enc,
    enc_map,
    enc_optional,
    enc_portal,
    event_digest,
    message_key,
    message_key_of,
    portal_digest,
    reaction_event_key,
    reaction_person,
)
from bridgekit.store.program import Many, Program, Row


def write(facts: Collection[Fact]) -> Program[None]:
    """In the order given; neighbours of one kind together."""
    for kind, run in groupby(facts, type):
        same = list(run)
        for query, parameters in _STATEMENTS[kind]:
            yield Many(query, [parameters(fact) for fact in same])


def _portal(fact: records.PortalSaved) -> Row:
    portal = fact.portal
    return (
        portal_digest(portal.key),
        *enc_portal(portal.key),
        portal.state.value,
        enc(portal.alias_localpart),
        None if portal.room is None else digest(portal.room),
        enc_optional(portal.room),
        enc(portal.name),
        enc(portal.topic),
        enc(portal.avatar),
        enc_optional(portal.avatar_mxc),
        int(portal.dm),
    )


def _ghost(fact: records.GhostSaved) -> Row:
    ghost = fact.ghost
    return (
        digest(ghost.remote_id),
        enc(ghost.remote_id),
        digest(ghost.user_id),
        enc(ghost.user_id),
        int(ghost.registered),
        enc(ghost.device_id),
        enc(ghost.name),
        enc(ghost.avatar),
        enc_optional(ghost.avatar_mxc),
    )


def _login(fact: records.LoginSaved) -> Row:
    record = fact.record
    return (
        digest(record.login.id),
        enc(record.login.id),
        digest(record.user_id),
        enc(record.user_id),
        enc(record.login.user),
        enc(record.login.name),
        enc_map(record.login.secrets),
        record.state.value,
    )


def _login_removed(fact: records.LoginRemoved) -> Row:
    return (digest(fact.id),)


def _portal_login(fact: records.PortalLoginSaved) -> Row:
    return portal_digest(fact.portal), digest(fact.login), enc(fact.login)


def _portal_login_removed(fact: records.PortalLoginRemoved) -> Row:
    return portal_digest(fact.portal), digest(fact.login)


def _relay(fact: records.RelaySaved) -> Row:
    return portal_digest(fact.portal), *enc_portal(fact.portal), digest(fact.login), enc(fact.login)


def _relay_removed(fact: records.RelayRemoved) -> Row:
    return (portal_digest(fact.portal),)


def _portal_removed(fact: records.PortalRemoved) -> Row:
    return (portal_digest(fact.key),)


def _member(fact: records.MemberSaved) -> Row:
    return digest(fact.room), digest(fact.user_id), enc(fact.user_id), fact.membership.value


def _message(fact: records.MessageSaved) -> Row:
    message = fact.message
    chat, receiver = enc_portal(message.portal)
    remote_id = enc(message.remote_id)
    return (
        message_key_of(chat, receiver, remote_id),
        message.part,
        event_digest(message.room, message.event_id),
        clamp(message.timestamp),
        chat,
        receiver,
        remote_id,
        enc(message.room),
        enc(message.event_id),
        enc(message.sender),
        int(message.file),
    )


def _message_deleted(fact: records.MessageDeleted) -> Row:
    return (message_key(fact.portal, fact.remote_id),)


def _parts_deleted(fact: records.PartsDeleted) -> Row:
    return message_key(fact.portal, fact.remote_id), fact.first


def _media_job(fact: records.MediaJobSaved) -> Row:
    job = fact.job
    return (
        digest(job.id),
        enc(job.id),
        job.direction.value,
        *enc_portal(job.portal),
        enc(job.message),
        enc(job.login),
        job.payload,
        job.created_at,
        job.attempts,
        job.failed_since,
        job.not_before,
    )


def _media_job_ended(fact: records.MediaJobEnded) -> Row:
    return (digest(fact.id),)


def _picture(fact: records.PictureSaved) -> Row:
    return digest(fact.key), enc(fact.uri), fact.at


def _picture_used(fact: records.PictureUsed) -> Row:
    return enc(fact.uri), fact.at


def _call(fact: records.CallSaved) -> Row:
    call = fact.call
    return digest(call.id), enc(call.id), *enc_portal(call.portal), enc(call.login), call.memory, call.at


def _call_forgotten(fact: records.CallForgotten) -> Row:
    return (digest(fact.id),)


def _reaction(fact: records.ReactionSaved) -> Row:
    reaction = fact.reaction
    chat, receiver = enc_portal(reaction.portal)
    target = enc(reaction.target)
    return (
        message_key_of(chat, receiver, target),
        reaction_person(reaction.sender, reaction.emoji),
        reaction_event_key(reaction.room, reaction.event_id),
        clamp(reaction.timestamp),
        chat,
        receiver,
        target,
        enc(reaction.sender),
        enc(reaction.emoji),
        enc(reaction.emoji_id),
        enc(reaction.room),
        enc(reaction.event_id),
    )


def _reaction_removed(fact: records.ReactionRemoved) -> Row:
    return message_key(fact.portal, fact.target), reaction_person(fact.sender, fact.emoji)


def _alias(fact: records.AliasSaved) -> Row:
    return message_key(fact.portal, fact.alias), message_key(fact.portal, fact.remote_id)


def _uncertain(fact: records.UncertainSaved) -> Row:
    return (
        digest(fact.nonce),
        enc(fact.nonce),
        *enc_portal(fact.portal),
        enc(fact.room),
        enc(fact.event_id),
        enc(fact.sender),
        fact.part,
        fact.at,
    )


def _uncertain_resolved(fact: records.UncertainResolved) -> Row:
    return (digest(fact.nonce),)


def _management_room(fact: records.ManagementRoomSaved) -> Row:
    return digest(fact.user_id), enc(fact.user_id), digest(fact.room), enc(fact.room)


def _value(fact: records.ValueSaved) -> Row:
    return digest(fact.key), enc(fact.key), enc(fact.value)


# Any: each function takes the kind that it stands beside.
_STATEMENTS: dict[type[Any], tuple[tuple[str, Callable[[Any], Row]], ...]] = {
    records.PortalSaved: (("portal_save", _portal),),
    records.PortalRemoved: (
        ("portal_remove", _portal_removed),
        ("portal_logins_remove", _portal_removed),
        ("relay_remove", _portal_removed),
    ),
    records.GhostSaved: (("ghost_save", _ghost),),
    records.LoginSaved: (("login_save", _login),),
    records.LoginRemoved: (
        ("login_remove", _login_removed),
        ("cursors_remove", _login_removed),
        ("login_portals_remove", _login_removed),
        ("login_relays_remove", _login_removed),
    ),
    records.PortalLoginSaved: (("portal_login_save", _portal_login),),
    records.PortalLoginRemoved: (("portal_login_remove", _portal_login_removed),),
    records.RelaySaved: (("relay_save", _relay),),
    records.RelayRemoved: (("relay_remove", _relay_removed),),
    records.MemberSaved: (("member_save", _member),),
    records.MessageSaved: (("message_save", _message),),
    records.MessageDeleted: (
        ("message_delete", _message_deleted),
        ("aliases_forget", _message_deleted),
        ("reactions_forget", _message_deleted),
    ),
    records.PartsDeleted: (("parts_delete", _parts_deleted),),
    records.MediaJobSaved: (("media_job_save", _media_job),),
    records.MediaJobEnded: (("media_job_end", _media_job_ended),),
    records.PictureSaved: (("picture_save", _picture),),
    records.PictureUsed: (("picture_use", _picture_used),),
    records.CallSaved: (("call_save", _call),),
    records.CallForgotten: (("call_forget", _call_forgotten),),
    records.ReactionSaved: (("reaction_save", _reaction),),
    records.ReactionRemoved: (("reaction_remove", _reaction_removed),),
    records.AliasSaved: (("alias_save", _alias),),
    records.UncertainSaved: (("uncertain_save", _uncertain),),
    records.UncertainResolved: (("uncertain_resolve", _uncertain_resolved),),
    records.ManagementRoomSaved: (("management_room_save", _management_room),),
    records.ValueSaved: (("value_save", _value),),
}
