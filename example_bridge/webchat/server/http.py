"""The HTTP side: accounts, chats, history, sending without a socket, and the faults."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec
from aiohttp import web

from example_bridge.webchat.server import accounts, chats, history
from example_bridge.webchat.server import protocol as p
from example_bridge.webchat.server.acts import Act, AddMember, ChangeChat, Draft, RemoveMember, type_of
from example_bridge.webchat.server.checks import check_id, check_persons_picture, check_short, check_topic
from example_bridge.webchat.server.faults import Fate, Fault
from example_bridge.webchat.server.network import Network

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_EVENTS = 1000
"""Most events in one answer."""
NETWORK = web.AppKey("network", Network)


class NewAccount(msgspec.Struct, frozen=True):
    name: str
    kind: p.Kind
    id: str | None = None
    avatar_url: str | None = None


class NewChat(msgspec.Struct, frozen=True):
    kind: p.ChatKind
    members: tuple[str, ...] = ()
    id: str | None = None
    name: str = ""
    avatar_url: str | None = None
    topic: str = ""


class Change(msgspec.Struct, frozen=True):
    """None leaves a field as it is; an empty `avatar_url` takes the avatar away."""

    name: str | None = None
    avatar_url: str | None = None


def reply(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def refused(refusal: p.Refusal) -> web.Response:
    error = p.Error(refusal.code, refusal.message, retry_after_ms=refusal.retry_after_ms)
    return reply(error, p.ERROR_STATUS[refusal.code])


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except p.Refusal as refusal:
        return refused(refusal)
    except web.HTTPRequestEntityTooLarge:
        return refused(p.Refusal("too_long", f"more than {p.MAX_FRAME_BYTES} bytes"))
    except web.HTTPNotFound:
        return refused(p.Refusal("not_found", "no such address"))
    except web.HTTPMethodNotAllowed as error:
        message = f"only {', '.join(sorted(error.allowed_methods))}"
        return reply(p.Error("bad_request", message), error.status)


async def authenticate(request: web.Request) -> p.Account:
    """The account whose token came in the header, or in the query (browsers cannot set a header on a WebSocket)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.query.get("token", "")
    if not token:
        raise p.Refusal("unauthorized", "no token")
    return await request.app[NETWORK].store.read(partial(accounts.account_of_token, token=token.strip()))


async def body_of(request: web.Request, type: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise p.Refusal("bad_request", str(error)) from None


def number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise p.Refusal("bad_request", f"{name}: not a count")
    return int(text)


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(8)


# -- accounts ---------------------------------------------------------------------------------------------------------


async def get_info(request: web.Request) -> web.Response:
    network = request.app[NETWORK]
    return reply(
        p.Info(
            name="webchat",
            version=1,
            max_text_length=network.max_text_length,
            dedupe_seconds=network.dedupe_seconds,
            max_events=MAX_EVENTS,
            max_upload_size=network.max_upload_size,
            ice_servers=network.ice_servers,
        )
    )


async def create_account(request: web.Request) -> web.Response:
    new = await body_of(request, NewAccount)
    account = p.Account(new.id if new.id is not None else _new_id(new.kind[0]), new.kind, new.name, new.avatar_url)
    check_id(account.id, "id")
    _check_change(Change(new.name, new.avatar_url))
    token = await request.app[NETWORK].store.write(partial(accounts.create_account, account=account))
    return reply({"id": account.id, "token": token}, 201)


async def list_accounts(request: web.Request) -> web.Response:
    await authenticate(request)
    return reply({"accounts": await request.app[NETWORK].store.read(accounts.list_accounts)})


async def get_account(request: web.Request) -> web.Response:
    await authenticate(request)
    find = partial(accounts.find_account, account=request.match_info["account"])
    return reply(await request.app[NETWORK].store.read(find))


async def get_me(request: web.Request) -> web.Response:
    return reply(await authenticate(request))


async def patch_me(request: web.Request) -> web.Response:
    me = await authenticate(request)
    change = await body_of(request, Change)
    _check_change(change)
    network = request.app[NETWORK]
    write = partial(
        accounts.change_profile, account=me.id, name=change.name, avatar_url=change.avatar_url, now=network.now()
    )
    changed = await network.store.write(write)
    return reply(changed)


async def delete_token(request: web.Request) -> web.Response:
    """Log out; with --faults anybody may do it to anybody, without a token."""
    network = request.app[NETWORK]
    account = request.match_info["account"]
    if not network.faults_allowed and (await authenticate(request)).id != account:
        raise p.Refusal("forbidden", "not your account")
    await network.store.write(partial(accounts.set_token, account=account, token=None))
    for stream in network.hub.of(account):
        stream.revoke()
    return reply({})


async def renew_token(request: web.Request) -> web.Response:
    """Only with --faults: a new token for an account, the way a person would log in again."""
    network = request.app[NETWORK]
    account, token = request.match_info["account"], secrets.token_urlsafe(24)
    await network.store.write(partial(accounts.set_token, account=account, token=token))
    for stream in network.hub.of(account):
        stream.revoke()
    return reply({"id": account, "token": token})


def _check_change(change: Change) -> None:
    if change.name is not None and not change.name.strip():
        raise p.Refusal("bad_request", "name: empty")
    check_short(change.name, "name")
    check_persons_picture(change.avatar_url, "avatar_url")


# -- chats ------------------------------------------------------------------------------------------------------------


async def create_chat(request: web.Request) -> web.Response:
    me = await authenticate(request)
    new = await body_of(request, NewChat)
    chat = p.ChatInfo(
        new.id if new.id is not None else _new_id("c"), new.kind, new.name, new.avatar_url or None, new.topic
    )
    check_id(chat.id, "id")
    check_short(chat.name, "name")
    check_topic(chat.topic)
    check_short(chat.avatar_url, "avatar_url")
    network = request.app[NETWORK]
    write = partial(
        chats.create_chat, creator=me.id, chat=chat, members=new.members, now=network.now(), reuse=new.id is None
    )
    made = await network.store.write(write)
    return reply(made, 201 if made.id == chat.id else 200)


async def list_chats(request: web.Request) -> web.Response:
    me = await authenticate(request)
    return reply({"chats": await request.app[NETWORK].store.read(partial(chats.list_chats, account=me.id))})


async def get_chat(request: web.Request) -> web.Response:
    me = await authenticate(request)
    read = partial(chats.get_chat, account=me.id, chat=request.match_info["chat"])
    return reply(await request.app[NETWORK].store.read(read))


async def patch_chat(request: web.Request) -> web.Response:
    me = await authenticate(request)
    await _perform(request, me.id, await body_of(request, ChangeChat))
    return await get_chat(request)


async def change_member(request: web.Request) -> web.Response:
    me = await authenticate(request)
    member, nonce = request.match_info["account"], request.query.get("nonce")
    adds = request.method == "PUT"
    await _perform(
        request, me.id, AddMember(member=member, nonce=nonce) if adds else RemoveMember(member=member, nonce=nonce)
    )
    return reply({})


async def post_act(request: web.Request) -> web.Response:
    me = await authenticate(request)
    # mypy does not take a union for a type.
    act: Act = await body_of(request, Act)  # type: ignore[arg-type]
    return reply(await _perform(request, me.id, act))


async def get_events(request: web.Request) -> web.Response:
    me = await authenticate(request)
    limit = min(max(1, number(request, "limit", 100)), MAX_EVENTS)
    read = partial(
        history.events_after,
        account=me.id,
        chat=request.match_info["chat"],
        after=number(request, "after", 0),
        limit=limit,
    )
    rows = await request.app[NETWORK].store.read(read)
    return reply({"events": [msgspec.Raw(event) for _, event in rows]})


async def post_message(request: web.Request) -> web.Response:
    me = await authenticate(request)
    return reply(await _perform(request, me.id, await body_of(request, Draft)))


async def _perform(request: web.Request, account: str, asked: Draft | Act) -> p.Receipt:
    """Do it, and answer as the faults that are on have it."""
    network, chat = request.app[NETWORK], request.match_info["chat"]
    act = "send" if isinstance(asked, Draft) else type_of(asked)
    refusal = network.faults.refusal(account, act)
    if refusal is not None:
        raise refusal
    if isinstance(asked, Draft):
        receipt = await network.submit(account, chat, asked)
    else:
        receipt = await network.act(account, chat, asked)
    await suffer(request, account, act)
    return receipt


async def suffer(request: web.Request, account: str, act: str) -> None:
    """Whatever the faults that are on have in store for the answer to what is committed."""
    faults = request.app[NETWORK].faults
    fate = faults.fate(account, act)
    await asyncio.sleep(faults.delay(account, act))
    if fate is Fate.CUT and request.transport is not None:
        request.transport.abort()
    if fate is Fate.SILENCE:
        await asyncio.Event().wait()  # until the asker gives up, or the server stops


# -- faults -----------------------------------------------------------------------------------------------------------


async def put_fault(request: web.Request) -> web.Response:
    network = request.app[NETWORK]
    fault = await body_of(request, Fault)
    if fault.mode == "cut" and fault.after is None:
        for stream in network.hub.of(fault.account):
            stream.drop()
    else:
        network.faults.set(fault)
    return reply({"faults": network.faults.active()})


async def get_faults(request: web.Request) -> web.Response:
    return reply({"faults": request.app[NETWORK].faults.active()})


async def clear_faults(request: web.Request) -> web.Response:
    network = request.app[NETWORK]
    network.faults.clear()
    for stream in network.hub.of(None):
        stream.wake()
    return reply({})


def add_routes(app: web.Application, *, faults: bool) -> None:
    # The patterns are spelled out because aiohttp's default refuses braces, and an id may be anything.
    chat, member = "/api/chats/{chat:[^/]+}", "/api/chats/{chat:[^/]+}/members/{account:[^/]+}"
    account = "/api/accounts/{account:[^/]+}"
    route = app.router.add_route
    route("GET", "/api/info", get_info)
    route("POST", "/api/accounts", create_account)
    route("GET", "/api/accounts", list_accounts)
    route("GET", account, get_account)
    route("DELETE", account + "/token", delete_token)
    route("GET", "/api/me", get_me)
    route("PATCH", "/api/me", patch_me)
    route("POST", "/api/chats", create_chat)
    route("GET", "/api/chats", list_chats)
    route("GET", chat, get_chat)
    route("PATCH", chat, patch_chat)
    route("PUT", member, change_member)
    route("DELETE", member, change_member)
    route("GET", chat + "/events", get_events)
    route("POST", chat + "/messages", post_message)
    route("POST", chat + "/acts", post_act)
    if faults:
        route("POST", account + "/token", renew_token)
        route("PUT", "/api/faults", put_fault)
        route("GET", "/api/faults", get_faults)
        route("DELETE", "/api/faults", clear_faults)
