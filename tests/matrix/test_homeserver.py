"""Every call against a real Synapse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from bridgekit.core.room_power import create_event, is_creator
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.model.ids import ContentURI, EventID, RoomAlias, RoomID, TxnID, UserID
from bridgekit.model.raw import MemberProfile
from tests.conftest import NewUser
from tests.matrix.helpers import HeldClock
from tests.support.homeserver import AppserviceSlot
from tests.support.homeserver import Homeserver as Shared

PNG = bytes.fromhex("89504e470d0a1a0a")


def connect(slot: AppserviceSlot, **changes: Any) -> Homeserver:
    options: dict[str, Any] = {
        "url": slot.homeserver_url,
        "as_token": slot.as_token,
        "server_name": slot.server_name,
        "bot": UserID(slot.bot),
        "appservice_id": slot.id,
        "clock": HeldClock(),
        "random": lambda: 0.5,
        **changes,
    }
    return Homeserver(**options)


@pytest.fixture(scope="module")
async def slot(homeserver: Shared) -> AppserviceSlot:
    return homeserver.take_slot()


@pytest.fixture(scope="module")
async def hs(slot: AppserviceSlot) -> AsyncIterator[Homeserver]:
    made = connect(slot)
    yield made
    await made.close()


@pytest.fixture
async def ghost(hs: Homeserver, slot: AppserviceSlot) -> UserID:
    return await hs.register(f"{slot.prefix}{uuid4().hex}")


@pytest.fixture
async def room(hs: Homeserver) -> RoomID:
    return await hs.create_room(preset="private_chat", name="a room")


def txn() -> TxnID:
    return TxnID(uuid4().hex)


async def test_versions_capabilities_whoami(hs: Homeserver, slot: AppserviceSlot, ghost: UserID) -> None:
    assert "v1.11" in (await hs.versions())["versions"]
    assert (await hs.capabilities())["capabilities"]["m.room_versions"]["default"]
    assert await hs.whoami() == slot.bot
    assert await hs.whoami(ghost) == ghost


async def test_a_token_that_nobody_knows(slot: AppserviceSlot) -> None:
    stranger = connect(slot, as_token="wrong")
    with pytest.raises(MatrixRequestError) as caught:
        await stranger.whoami()
    assert (caught.value.status, caught.value.errcode) == (401, "M_UNKNOWN_TOKEN")
    await stranger.close()


async def test_register_and_device_again_and_at_once(hs: Homeserver, slot: AppserviceSlot) -> None:
    localpart = f"{slot.prefix}weird=2f/{uuid4().hex}"
    users = await asyncio.gather(*(hs.register(localpart) for _ in range(5)))
    assert set(users) == {f"@{localpart}:{slot.server_name}"}
    assert await hs.register(localpart) == users[0]
    assert [await hs.ensure_device(users[0]), await hs.ensure_device(users[0])] == ["BRIDGEKIT", "BRIDGEKIT"]
    assert await hs.ensure_device(users[0], "OTHER") == "OTHER"
    assert await hs.ensure_device() == "BRIDGEKIT"


async def test_a_user_outside_our_namespace(hs: Homeserver) -> None:
    with pytest.raises(MatrixRequestError) as caught:
        await hs.register(f"stranger{uuid4().hex}")
    assert caught.value.errcode == "M_EXCLUSIVE"


async def test_a_repeat_of_a_transaction_id_is_the_same_event(hs: Homeserver, room: RoomID, ghost: UserID) -> None:
    await hs.invite(room, ghost)
    await hs.join(room, user=ghost)
    for user in (None, ghost):
        id = txn()
        # The ghost has no device yet: the first send makes it.
        first = await hs.send_event(room, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn_id=id, user=user)
        again = await hs.send_event(room, "m.room.message", {"msgtype": "m.text", "body": "y"}, txn_id=id, user=user)
        assert first == again


async def test_the_homeserver_remembers_a_transaction_id_over_a_restart(private_homeserver: Shared) -> None:
    slot = private_homeserver.take_slot()
    hs = connect(slot)
    ghost = await hs.register(f"{slot.prefix}g")
    room = await hs.create_room(invite=[ghost])
    await hs.join(room, user=ghost)
    ids = {user: txn() for user in (None, ghost)}
    first = {user: await hs.send_event(room, "t.x", {}, txn_id=id, user=user) for user, id in ids.items()}
    redacted = await hs.redact(room, first[ghost], txn_id=ids[None], user=ghost)
    await private_homeserver.synapse.restart()
    assert {user: await hs.send_event(room, "t.x", {}, txn_id=id, user=user) for user, id in ids.items()} == first
    assert await hs.redact(room, first[ghost], txn_id=ids[None], user=ghost) == redacted
    await hs.close()


async def test_what_is_sent_is_what_is_read(hs: Homeserver, room: RoomID) -> None:
    content = {"msgtype": "m.text", "body": "é\U0001f600\ud800\0", "x.list": [1, None, {"a": True}]}
    id = await hs.send_event(room, "m.room.message", content, txn_id=txn(), timestamp=1_600_000_000_000)
    event = await hs.get_event(room, id)
    assert event is not None
    assert json.loads(event.raw)["content"] == {**content, "body": "é\U0001f600\ufffd\0"}
    assert (event.room_id, event.type, event.state_key) == (room, "m.room.message", None)
    assert event.origin_server_ts == 1_600_000_000_000
    assert await hs.get_event(room, EventID("$unknown")) is None


async def test_what_made_a_room_of_version_12_is_found_by_the_rooms_id(hs: Homeserver) -> None:
    room = await hs.create_room(room_version="12")
    id = create_event(room)
    event = await hs.get_event(room, id) if id is not None else None
    assert event is not None and (event.type, event.sender) == ("m.room.create", hs.bot)
    assert is_creator(event, hs.bot)
    assert create_event(await hs.create_room(room_version="11")) is None


@pytest.mark.parametrize("key", ["", "a/b", "..", ".", "x@y:z", "é \U0001f600", "a?b#c%2Fd;e=f&g"])
async def test_state_keys_of_every_kind(hs: Homeserver, room: RoomID, key: str) -> None:
    assert await hs.get_state(room, "t/x", key) is None
    first = await hs.send_state(room, "t/x", key, {"n": 1})
    assert await hs.send_state(room, "t/x", key, {"n": 1}) == first
    assert await hs.get_state(room, "t/x", key) == {"n": 1}
    (event,) = [event for event in await hs.get_full_state(room) if event.type == "t/x"]
    assert (event.state_key, event.event_id) == (key, first)


async def test_pages_go_through_the_whole_room(hs: Homeserver, room: RoomID) -> None:
    sent = [await hs.send_event(room, "t.x", {"n": n}, txn_id=txn()) for n in range(7)]
    found: list[str] = []
    page = await hs.messages(room, limit=3)
    while True:
        found += [event.event_id for event in page.chunk]
        if page.end is None:
            break
        page = await hs.messages(room, from_=page.end, limit=3)
    assert found[:7] == sent[::-1]
    forward = await hs.messages(room, dir="f", limit=100)
    assert [event.event_id for event in forward.chunk][-7:] == sent
    assert forward.chunk[0].type == "m.room.create"


async def test_redact_and_again(hs: Homeserver, room: RoomID) -> None:
    sent = await hs.send_event(room, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn_id=txn())
    redaction = await hs.redact(room, sent, txn_id=txn(), reason="because")
    assert await hs.redact(room, sent, txn_id=txn()) != redaction
    event = await hs.get_event(room, redaction)
    assert event is not None
    assert event.redacts == sent
    assert json.loads(event.raw)["content"]["reason"] == "because"


@pytest.mark.parametrize("version", ["1", "10", "11", "12"])
async def test_room_versions(hs: Homeserver, ghost: UserID, version: str) -> None:
    room = await hs.create_room(room_version=version)
    await hs.invite(room, ghost)
    await hs.join(room, user=ghost)
    sent = await hs.send_event(room, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn_id=txn(), user=ghost)
    redaction = await hs.get_event(room, await hs.redact(room, sent, txn_id=txn()))
    assert redaction is not None
    assert redaction.redacts == sent


async def test_aliases(hs: Homeserver, slot: AppserviceSlot) -> None:
    localpart = f"{slot.prefix}chat/é={uuid4().hex}"
    alias = RoomAlias(f"#{localpart}:{slot.server_name}")
    assert await hs.resolve_alias(alias) is None
    room = await hs.create_room(room_alias_name=localpart)
    assert await hs.resolve_alias(alias) == room
    with pytest.raises(MatrixRequestError) as caught:
        await hs.create_room(room_alias_name=localpart)
    assert caught.value.errcode == "M_ROOM_IN_USE"
    made = await hs.resolve_alias(alias)
    assert made is not None
    await hs.create_alias(alias, made)
    other = await hs.create_room()
    with pytest.raises(MatrixRequestError) as caught:
        await hs.create_alias(alias, other)
    assert caught.value.status == 409
    await hs.delete_alias(alias)
    await hs.delete_alias(alias)
    assert await hs.resolve_alias(alias) is None
    await hs.create_alias(alias, other)
    assert await hs.resolve_alias(alias) == other


async def test_membership_and_again(hs: Homeserver, room: RoomID, ghost: UserID) -> None:
    with pytest.raises(MatrixRequestError) as caught:
        await hs.join(room, user=ghost)
    assert caught.value.status == 403
    await hs.leave(room, user=ghost)  # never was there
    await hs.kick(room, ghost)
    await hs.set_displayname(ghost, "A Ghost")
    await hs.set_avatar_url(ghost, ContentURI("mxc://hs.test/face"))
    for _ in range(2):
        await hs.invite(room, ghost, reason="welcome")
    for _ in range(2):
        await hs.join(room, user=ghost)
    await hs.invite(room, ghost)
    await hs.invite(room, ghost, is_direct=True)
    assert set(await hs.joined_members(room)) == {hs.bot, ghost}
    assert set(await hs.joined_members(room, user=ghost)) == {hs.bot, ghost}
    assert await hs.joined_rooms(user=ghost) == [room]
    profiles = await hs.member_profiles(room)
    assert set(profiles) == {hs.bot, ghost}
    assert profiles[ghost] == MemberProfile("A Ghost", "mxc://hs.test/face")
    for _ in range(2):
        await hs.leave(room, user=ghost, reason="bye")
    for _ in range(2):
        await hs.kick(room, ghost)
    assert await hs.joined_members(room) == [hs.bot]
    assert await hs.joined_rooms(user=ghost) == []


async def test_an_invite_keeps_its_content(hs: Homeserver, room: RoomID, ghost: UserID) -> None:
    await hs.invite(room, ghost, is_direct=True, reason="chat", extra={"x.y": 1})
    content = await hs.get_state(room, "m.room.member", ghost)
    assert content is not None
    assert {"membership": "invite", "is_direct": True, "reason": "chat", "x.y": 1}.items() <= content.items()


async def test_an_invite_of_somebody_banned_is_refused(hs: Homeserver, room: RoomID, ghost: UserID) -> None:
    await hs.send_state(room, "m.room.member", ghost, {"membership": "ban"})
    for direct in (False, True):
        with pytest.raises(MatrixRequestError) as caught:
            await hs.invite(room, ghost, is_direct=direct)
        assert caught.value.status == 403
    await hs.leave(room, user=ghost)


async def test_a_kick_takes_an_invite_back(hs: Homeserver, room: RoomID, ghost: UserID) -> None:
    await hs.invite(room, ghost)
    await hs.kick(room, ghost)
    content = await hs.get_state(room, "m.room.member", ghost)
    assert content is not None
    assert content["membership"] == "leave"


async def test_profile(hs: Homeserver, ghost: UserID, new_user: NewUser) -> None:
    mxc = await hs.upload(PNG, mimetype="image/png", filename="é/..png", user=ghost)
    await hs.set_displayname(ghost, "Ghöst \U0001f600")
    await hs.set_avatar_url(ghost, mxc)
    profile = await hs.get_profile(ghost)
    assert (profile.displayname, profile.avatar_url) == ("Ghöst \U0001f600", mxc)
    await hs.set_avatar_url(ghost, "")
    assert not (await hs.get_profile(ghost)).avatar_url
    assert (await hs.get_profile(UserID("@nobody:hs.test"))).displayname is None
    person = await new_user("person")
    with pytest.raises(MatrixRequestError):
        await hs.set_displayname(UserID(person.user_id), "not ours")


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 3_000_000, b"x" * 30_000_000])
async def test_uploads(hs: Homeserver, slot: AppserviceSlot, data: bytes) -> None:
    mxc = await hs.upload(data, mimetype="application/octet-stream")
    assert mxc.startswith(f"mxc://{slot.server_name}/")
    async with aiohttp.ClientSession() as http:
        url = f"{slot.homeserver_url}/_matrix/client/v1/media/download/{mxc.removeprefix('mxc://')}"
        async with http.get(url, headers={"Authorization": f"Bearer {slot.as_token}"}) as response:
            assert await response.read() == data


async def test_an_upload_over_the_limit_is_a_typed_error(hs: Homeserver) -> None:
    with pytest.raises((MatrixRequestError, HomeserverUnreachable)):
        await hs.upload(b"x" * (51 * 1024 * 1024), mimetype="application/octet-stream")


async def test_too_large_an_event(hs: Homeserver, room: RoomID) -> None:
    with pytest.raises(MatrixRequestError) as caught:
        await hs.send_event(room, "t.x", {"body": "x" * 70_000}, txn_id=txn())
    assert (caught.value.status, caught.value.errcode) == (413, "M_TOO_LARGE")


async def test_a_room_that_is_not_there(hs: Homeserver) -> None:
    nowhere = RoomID("!nowhere/..%2F:hs.test")
    with pytest.raises(MatrixRequestError):
        await hs.send_event(nowhere, "t.x", {}, txn_id=txn())
    with pytest.raises(MatrixRequestError):
        await hs.messages(nowhere)
    with pytest.raises(MatrixRequestError):
        await hs.set_avatar_url(UserID("@nobody:hs.test"), ContentURI("mxc://a/b"))


async def test_a_homeserver_that_goes_and_comes_back(private_homeserver: Shared) -> None:
    slot = private_homeserver.take_slot()
    hs = connect(slot)
    heard: list[str] = []
    hs.on_failure.append(lambda: heard.append("failure"))
    hs.on_recovered.append(lambda: heard.append("recovered"))
    await hs.whoami()
    await private_homeserver.synapse.kill()
    with pytest.raises(HomeserverUnreachable):
        await hs.whoami()
    assert heard == ["failure"] * 4
    await private_homeserver.synapse.start()
    await hs.whoami()
    assert heard[4:] == ["recovered"]
    await hs.close()
