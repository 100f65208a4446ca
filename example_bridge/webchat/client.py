"""`WebchatClient`: an account's way into a webchat network.

Nothing is ever sent twice by itself: every failure comes out as one of `errors`, and the caller decides. Cancelling a
call is safe; a send that is cancelled may still arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from example_bridge.webchat.acting import Acting
from example_bridge.webchat.errors import (
    Disconnected,
    NotYet,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
    WebchatError,
    error_of_body,
)
from example_bridge.webchat.filing import Download, Filing
from example_bridge.webchat.link import Event, Link, UnknownEvent, decode_event
from example_bridge.webchat.server.acts import Act, Draft
from example_bridge.webchat.server.call_frames import (
    CallAnswer,
    CallCandidates,
    CallFrame,
    CallHangUp,
    CallKind,
    CallMute,
    CallOffer,
    CallReason,
    CallReject,
    CallRinging,
    CallUpdate,
    Candidate,
)
from example_bridge.webchat.server.events import (
    CallEvent,
    ChatDeletedEvent,
    ChatEvent,
    DeleteEvent,
    EditEvent,
    MediaEvent,
    MemberEvent,
    MessageEvent,
    ProfileEvent,
    ReactionEvent,
    ReadSignal,
    RoleEvent,
    Signal,
    TypingSignal,
)
from example_bridge.webchat.server.protocol import (
    Account,
    Chat,
    ChatInfo,
    ChatKind,
    File,
    Info,
    Kind,
    Location,
    Mention,
    Message,
    Persona,
    Ready,
    Receipt,
    Role,
    Span,
)

__all__ = [
    "WebchatClient", "Credentials",
    "Event", "MessageEvent", "EditEvent", "DeleteEvent", "ReactionEvent", "ChatEvent", "ChatDeletedEvent",
    "MediaEvent", "MemberEvent", "RoleEvent", "ProfileEvent", "CallEvent", "UnknownEvent",
    "Signal", "ReadSignal", "TypingSignal",
    "CallFrame", "CallOffer", "CallRinging", "CallAnswer", "CallCandidates", "CallUpdate", "CallMute", "CallReject",
    "CallHangUp", "CallKind", "CallReason", "Candidate",
    "Account", "Chat", "ChatInfo", "ChatKind", "Download", "File", "Info", "Kind", "Location", "Mention", "Message",
    "Persona", "Ready", "Receipt", "Role", "Span",
    "WebchatError", "Unavailable", "RateLimited", "NotYet", "Unauthorized", "Refused", "Disconnected",
]  # fmt: skip

T = TypeVar("T")
PAGE = 1000
"""Events asked for at once by `history`."""
FAREWELL = 2.0
"""Seconds that the network gets to say goodbye when a stream is closed here."""


class Credentials(msgspec.Struct, frozen=True):
    """A new account and the token to speak for it."""

    id: str
    token: str


class _Accounts(msgspec.Struct, frozen=True):
    accounts: tuple[Account, ...]


class _Chats(msgspec.Struct, frozen=True):
    chats: tuple[Chat, ...]


class _Events(msgspec.Struct, frozen=True):
    events: tuple[msgspec.Raw, ...]


class WebchatClient(Acting, Filing):
    """Speaks for one account, or, without a token, only to make accounts. Use it with ``async with``."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0, heartbeat: float = 30.0) -> None:
        """`timeout`: seconds until a request or a send without an answer is `Disconnected`. `heartbeat`: seconds
        between two pings on the stream; half as long without a sign of life, and the stream is `Disconnected`."""
        self.url = url.rstrip("/")
        self.token = token
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._session: aiohttp.ClientSession | None = None
        self._link: Link | None = None
        self._opened = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        link, session = self._link, self._session
        self._link = self._session = None
        self._opened.clear()
        if link is not None:
            await link.close()
        if session is not None:
            await session.close()

    # -- accounts

    async def info(self) -> Info:
        return await self._request("GET", "/api/info", Info)

    async def create_account(
        self, name: str, kind: Kind = "visitor", *, id: str | None = None, avatar_url: str | None = None
    ) -> Credentials:
        """Anybody may. `Refused("conflict")` if there is an account with this id."""
        body = {"name": name, "kind": kind, "id": id, "avatar_url": avatar_url}
        return await self._request("POST", "/api/accounts", Credentials, body)

    async def accounts(self) -> tuple[Account, ...]:
        return (await self._request("GET", "/api/accounts", _Accounts)).accounts

    async def account(self, account: str) -> Account:
        return await self._request("GET", f"/api/accounts/{_segment(account)}", Account)

    async def me(self) -> Account:
        return await self._request("GET", "/api/me", Account)

    async def change_me(self, *, name: str | None = None, avatar_url: str | None = None) -> Account:
        """None leaves a field as it is; an empty `avatar_url` takes the avatar away."""
        return await self._request("PATCH", "/api/me", Account, {"name": name, "avatar_url": avatar_url})

    async def revoke_token(self, account: str) -> None:
        """Log `account` out, everywhere: one's own, or, where faults are allowed, anybody's."""
        await self._request("DELETE", f"/api/accounts/{_segment(account)}/token", object)

    # -- chats

    async def create_chat(
        self,
        kind: ChatKind,
        members: tuple[str, ...] | list[str] = (),
        *,
        id: str | None = None,
        name: str = "",
        avatar_url: str | None = None,
        topic: str = "",
    ) -> Chat:
        """The caller is a member always, of a group an admin. A direct chat without `id` that these two already have
        is returned."""
        body = {"kind": kind, "members": list(members), "id": id, "name": name, "avatar_url": avatar_url}
        body["topic"] = topic
        return await self._request("POST", "/api/chats", Chat, body)

    async def chats(self) -> tuple[Chat, ...]:
        return (await self._request("GET", "/api/chats", _Chats)).chats

    async def chat(self, chat: str) -> Chat:
        return await self._request("GET", f"/api/chats/{_segment(chat)}", Chat)

    # -- what happened and happens

    async def events(self, chat: str, *, after: int = 0, limit: int = 100) -> list[Event]:
        """At most `limit` events of the chat with a seq above `after`, oldest first."""
        query = urlencode({"after": after, "limit": limit})
        page = await self._request("GET", f"/api/chats/{_segment(chat)}/events?{query}", _Events)
        return [decode_event(event) for event in page.events]

    async def history(self, chat: str, *, after: int = 0) -> AsyncIterator[Event]:
        """All events of the chat with a seq above `after`, up to now."""
        while page := await self.events(chat, after=after, limit=PAGE):
            for event in page:
                yield event
            after = page[-1].seq

    async def stream(self, cursors: Mapping[str, int] | None = None) -> AsyncGenerator[Event, None]:
        """Every event after `cursors` (chat -> seq seen last; a chat that is not there: from its first), and on, live.

        In the order of seq per chat. It ends only by an exception: `Disconnected`, `Unauthorized`, `Unavailable` (not
        reached at all) or `Refused("bad_cursor")`; call again with newer cursors. A consumer that pauses holds up the
        network's events, never a send. A second stream of this client ends the first.
        """
        async with aclosing(self.stream_and_ready(cursors)) as stream:
            async for item in stream:
                if not isinstance(item, Ready):
                    yield item

    async def stream_and_ready(self, cursors: Mapping[str, int] | None = None) -> AsyncGenerator[Event | Ready, None]:
        """As `stream`, with one `Ready` behind the last of what was there when it began."""
        async with aclosing(self.stream_and_signals(cursors)) as stream:
            async for item in stream:
                if not isinstance(item, Signal):
                    yield item

    async def stream_and_signals(
        self, cursors: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Event | Signal | Ready, None]:
        """As `stream_and_ready`, with who has read and who writes. How far everybody has read comes before the
        `Ready` too; a place that somebody has read comes behind its event."""
        link = await self._open_link(cursors or {})
        try:
            while True:
                yield await link.next()
        finally:
            if self._link is link:
                self._link = None
                self._opened.clear()
            await link.close()

    @property
    def connected(self) -> bool:
        """Whether a stream is open, so that sends go over it."""
        return self._link is not None and self._link.ended is None

    @property
    def caught_up(self) -> bool:
        """Whether the open stream has received everything that was there when it began."""
        return self._link is not None and self._link.ended is None and self._link.ready.is_set()

    async def wait_caught_up(self) -> None:
        """Wait until a stream is open and `caught_up`; raise why it ended if it does before."""
        while (link := self._link) is None:
            await self._opened.wait()
        await link.ready.wait()
        if link.ended is not None:
            raise link.ended

    # -- faults: only on a server that runs with --faults

    async def set_fault(
        self,
        mode: str,
        *,
        account: str | None = None,
        act: str | None = None,
        delay_ms: int | None = None,
        after: int | None = None,
        count: int | None = None,
        code: str | None = None,
        retry_after_ms: int | None = None,
        **more: int,
    ) -> None:
        """Switch a fault on; PROTOCOL.md says which mode takes which values."""
        fault = {"mode": mode, "account": account, "delay_ms": delay_ms, "after": after, "count": count, "code": code}
        fault |= {"retry_after_ms": retry_after_ms, "act": act, **more}
        given = {key: value for key, value in fault.items() if value is not None}
        await self._request("PUT", "/api/faults", object, given)

    async def clear_faults(self) -> None:
        await self._request("DELETE", "/api/faults", object)

    async def renew_token(self, account: str) -> Credentials:
        """A new token for any account; the old one is revoked."""
        return await self._request("POST", f"/api/accounts/{_segment(account)}/token", Credentials)

    # -- inside

    async def _open_link(self, cursors: Mapping[str, int]) -> Link:
        try:
            socket = await self._http().ws_connect(
                f"{self.url}/api/stream",
                headers=self._headers(),
                heartbeat=self._heartbeat,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=FAREWELL),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                raise Unauthorized("no such token") from error
            raise Unavailable(f"the stream was refused with HTTP status {error.status}") from error
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise Unavailable(f"the network cannot be reached: {error!r}") from error
        try:
            link = await Link.open(socket, cursors)
        except BaseException:
            await socket.close()
            raise
        before, self._link = self._link, link
        self._opened.set()
        if before is not None:
            await before.close()
        return link

    async def _perform(self, chat: str, asked: Draft | Act) -> Receipt:
        link = self._link
        try:
            if link is not None and link.ended is None:
                return await link.send(chat, asked, self._timeout)
            what = "messages" if isinstance(asked, Draft) else "acts"
            return await self._request("POST", f"/api/chats/{_segment(chat)}/{what}", Receipt, asked)
        except UnicodeEncodeError as error:  # half of a surrogate pair: no JSON, so it was not sent
            raise Refused("bad_request", f"not Unicode text: {error.reason}") from None

    async def _request(self, method: str, path: str, type: type[T], body: object = None) -> T:
        data = None if body is None else msgspec.json.encode(body)
        # encoded: yarl must not tidy up what the ids' percent-encoding protects
        url = URL(self.url + path, encoded=True)
        try:
            async with self._http().request(method, url, data=data, headers=self._headers()) as response:
                answer = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"the network cannot be reached: {error}") from error
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise Disconnected(f"{method} {path}: no answer: {error!r}") from error
        if response.status >= 400:
            raise error_of_body(response.status, answer)
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return msgspec.json.decode(answer, type=type)
        raise Disconnected(f"{method} {path}: an answer that makes no sense")

    def _headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use WebchatClient with `async with`")
        return self._session


def _segment(text: str) -> str:
    """`text` as one segment of a URL's path."""
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Refused("not_found", "no id has half of a surrogate pair") from None
