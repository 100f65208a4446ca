"""The client-server API as tests and the demo call it; shares nothing with the code under test."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec

__all__ = [
    "ClientEvent",
    "Ephemeral",
    "Json",
    "MatrixApi",
    "MatrixClientError",
    "Profile",
    "raise_for_error",
    "to_event",
]

Json = dict[str, Any]
"""An object of JSON as it came."""


class MatrixClientError(Exception):
    """The homeserver refused: HTTP `status`, `errcode` ("M_UNKNOWN" where it did not answer in Matrix JSON), `body`."""

    def __init__(self, status: int, errcode: str, message: str, body: Any) -> None:
        super().__init__(f"{status} {errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message
        self.body = body


class ClientEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a room as the client-server API shows it. `state_key` is None for what is not state."""

    event_id: str
    type: str
    room_id: str
    sender: str
    origin_server_ts: int  # milliseconds
    content: Json
    state_key: str | None = None
    redacts: str | None = None
    unsigned: Json = {}

    @property
    def body(self) -> str | None:
        """`content.body`, if it is a string."""
        body = self.content.get("body")
        return body if isinstance(body, str) else None


class Ephemeral(msgspec.Struct, frozen=True):
    """Typing or receipts of a room, as one sync brought them."""

    room_id: str
    type: str
    content: Json


class Profile(msgspec.Struct, frozen=True):
    displayname: str | None = None
    avatar_url: str | None = None


class MatrixApi:
    """One device of one user: a method per call. Close it (`aclose`), or use it in `async with`.

    With `appservice=True` the token is an application service's, and every request names the user it acts as.
    """

    page_size: int = 1000
    """Events that one sync or one page of history may bring, per room."""

    def __init__(self, url: str, user_id: str, access_token: str, *, appservice: bool = False) -> None:
        self.url: Final = url.rstrip("/")
        self.user_id: Final = user_id
        self.access_token: Final = access_token
        self._appservice: Final = appservice
        self._http: aiohttp.ClientSession | None = None

    @classmethod
    async def login(cls, url: str, user: str, password: str, *, device_id: str | None = None) -> Self:
        """`user` is a localpart or a full user id. Without `device_id` a new device is made."""
        made = await cls.request_login(url, user, password, device_id=device_id)
        return cls(url, made["user_id"], made["access_token"])

    @classmethod
    async def register(cls, url: str, localpart: str, password: str) -> Self:
        """Open registration (m.login.dummy), where the homeserver enables it; the harness uses the shared secret."""
        body = {"username": localpart, "password": password, "auth": {"type": "m.login.dummy"}}
        made = await _post(f"{url}/_matrix/client/v3/register", body)
        return cls(url, made["user_id"], made["access_token"])

    @staticmethod
    async def request_login(url: str, user: str, password: str, *, device_id: str | None = None) -> Json:
        """The homeserver's whole answer to a login by password: `user_id`, `access_token`, `device_id`."""
        body: Json = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
        }
        if device_id is not None:
            body["device_id"] = device_id
        return await _post(f"{url}/_matrix/client/v3/login", body)

    async def aclose(self) -> None:
        """Close the connections; the device stays logged in."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def request(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str | int | None] | None = None
    ) -> Json:
        """One call: `path` below `/_matrix/`, its parts already quoted. Raises `MatrixClientError`; never repeats."""
        async with self._open(method, path, query, json=body) as response:
            return await raise_for_error(response)

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
        *,
        json: Any = None,
        data: io.BytesIO | None = None,
        content_type: str | None = None,
    ) -> aiohttp.client._RequestContextManager:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        parameters = {key: str(value) for key, value in (query or {}).items() if value is not None}
        if self._appservice:
            parameters["user_id"] = self.user_id
        headers = {"Authorization": f"Bearer {self.access_token}"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self._http.request(
            method, f"{self.url}/_matrix/{path}", params=parameters, json=json, data=data, headers=headers
        )

    # --- rooms --------------------------------------------------------------------------------------------------------

    async def create_room(
        self,
        *,
        name: str | None = None,
        invite: Sequence[str] = (),
        preset: str = "private_chat",
        is_direct: bool = False,
        alias_localpart: str | None = None,
        room_version: str | None = None,
        **more: Any,
    ) -> str:
        """Make a room, return its id. `more` goes into the request as it is."""
        body: Json = {"preset": preset, "invite": list(invite), "is_direct": is_direct, **more}
        given = {"name": name, "room_alias_name": alias_localpart, "room_version": room_version}
        body.update({key: value for key, value in given.items() if value is not None})
        return str((await self.request("POST", "client/v3/createRoom", body))["room_id"])

    async def join(self, room: str) -> str:
        """By id or alias; returns the room id."""
        return str((await self.request("POST", f"client/v3/join/{_q(room)}", {}))["room_id"])

    async def invite(self, room_id: str, user_id: str) -> None:
        await self.request("POST", f"client/v3/rooms/{_q(room_id)}/invite", {"user_id": user_id})

    async def leave(self, room_id: str) -> None:
        await self.request("POST", f"client/v3/rooms/{_q(room_id)}/leave", {})

    async def joined_rooms(self) -> list[str]:
        return list((await self.request("GET", "client/v3/joined_rooms"))["joined_rooms"])

    async def joined_members(self, room_id: str) -> dict[str, Profile]:
        """User id -> name and avatar in that room."""
        answer = await self.request("GET", f"client/v3/rooms/{_q(room_id)}/joined_members")
        # Here, and only here, the name is called display_name.
        return {
            user: Profile(member.get("display_name"), member.get("avatar_url"))
            for user, member in answer["joined"].items()
        }

    async def resolve_alias(self, alias: str) -> str:
        """The room id behind `#alias:server`."""
        return str((await self.request("GET", f"client/v3/directory/room/{_q(alias)}"))["room_id"])

    # --- events -------------------------------------------------------------------------------------------------------

    async def send(self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str | None = None) -> str:
        """Send a message event, return its id. `txn_id` defaults to a new random one."""
        path = f"client/v3/rooms/{_q(room_id)}/send/{_q(event_type)}/{_q(txn_id or secrets.token_hex(12))}"
        return str((await self.request("PUT", path, dict(content)))["event_id"])

    async def send_text(self, room_id: str, text: str, txn_id: str | None = None) -> str:
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text}, txn_id)

    async def send_html(self, room_id: str, html: str, body: str, txn_id: str | None = None) -> str:
        """`body` is what clients without HTML show."""
        content = {"msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html}
        return await self.send(room_id, "m.room.message", content, txn_id)

    async def redact(self, room_id: str, event_id: str, reason: str | None = None, *, txn_id: str | None = None) -> str:
        """Returns the id of the redaction. `txn_id` defaults to a new random one."""
        path = f"client/v3/rooms/{_q(room_id)}/redact/{_q(event_id)}/{_q(txn_id or secrets.token_hex(12))}"
        body = {} if reason is None else {"reason": reason}
        return str((await self.request("PUT", path, body))["event_id"])

    async def get_event(self, room_id: str, event_id: str) -> ClientEvent:
        return to_event(await self.request("GET", f"client/v3/rooms/{_q(room_id)}/event/{_q(event_id)}"), room_id)

    async def get_state(self, room_id: str, event_type: str, state_key: str = "") -> Json | None:
        """The content of a state event; None if there is none."""
        try:
            return await self.request("GET", f"client/v3/rooms/{_q(room_id)}/state/{_q(event_type)}/{_q(state_key)}")
        except MatrixClientError as error:
            if error.errcode == "M_NOT_FOUND":
                return None
            raise

    async def set_state(self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = "") -> str:
        """Returns the event id."""
        path = f"client/v3/rooms/{_q(room_id)}/state/{_q(event_type)}/{_q(state_key)}"
        return str((await self.request("PUT", path, dict(content)))["event_id"])

    async def state(self, room_id: str) -> list[ClientEvent]:
        """The whole current state."""
        # The one answer of this API that is a list.
        async with self._open("GET", f"client/v3/rooms/{_q(room_id)}/state") as response:
            events: Any = await raise_for_error(response)
        return [to_event(event, room_id) for event in events]

    async def messages(
        self, room_id: str, *, start: str | None = None, to: str | None = None, direction: str = "b"
    ) -> tuple[list[ClientEvent], str | None]:
        """One page of history in the order of `direction` ("b": newest first), and the next page's token if any."""
        query = {"from": start, "to": to, "dir": direction, "limit": self.page_size}
        page = await self.request("GET", f"client/v3/rooms/{_q(room_id)}/messages", query=query)
        return [to_event(event, room_id) for event in page["chunk"]], page.get("end")

    async def timeline(self, room_id: str, event_type: str | None = None) -> list[ClientEvent]:
        """Every event of the room that this user may see, oldest first; of one type only, if it is given."""
        newest_first = await self.history(room_id, None, None)
        return [event for event in reversed(newest_first) if event_type in (None, event.type)]

    async def texts(self, room_id: str, sender: str | None = None) -> list[str]:
        """The bodies of all messages (`m.room.message`), oldest first; of one sender only, if given."""
        events = await self.timeline(room_id, "m.room.message")
        return [event.body for event in events if event.body is not None and sender in (None, event.sender)]

    async def history(self, room_id: str, start: str | None, to: str | None) -> list[ClientEvent]:
        """Newest first, from `start` (None: now) back to `to` (None: the beginning)."""
        found: list[ClientEvent] = []
        while True:
            page, start = await self.messages(room_id, start=start, to=to)
            found += page
            if start is None or not page:
                return found

    async def sync(
        self, since: str | None = None, timeout_ms: int = 0, *, filter: Mapping[str, Any] | None = None
    ) -> Json:
        """One raw `/sync`; `since` is the `next_batch` of an earlier one."""
        wanted = msgspec.json.encode(filter or {"room": {"timeline": {"limit": self.page_size}}}).decode()
        query = {"since": since, "timeout": timeout_ms, "filter": wanted}
        return await self.request("GET", "client/v3/sync", query=query)

    # --- people and media ---------------------------------------------------------------------------------------------

    async def profile(self, user_id: str) -> Profile:
        return msgspec.convert(await self.request("GET", f"client/v3/profile/{_q(user_id)}"), Profile)

    async def set_displayname(self, name: str) -> None:
        await self.request("PUT", f"client/v3/profile/{_q(self.user_id)}/displayname", {"displayname": name})

    async def upload(self, data: bytes, content_type: str = "application/octet-stream", filename: str = "") -> str:
        """Returns the `mxc://` URI."""
        query = {"filename": filename or None}
        body = io.BytesIO(data)  # aiohttp warns of large bytes
        async with self._open("POST", "media/v3/upload", query, data=body, content_type=content_type) as response:
            return str((await raise_for_error(response))["content_uri"])

    async def reserve(self) -> str:
        """An `mxc://` URI whose bytes `upload_to` brings (MSC2246)."""
        return str((await self.request("POST", "media/v1/create"))["content_uri"])

    async def upload_to(self, mxc: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """The bytes of what was reserved; `M_CANNOT_OVERWRITE_MEDIA` if they are there."""
        path = f"media/v3/upload/{_mxc_path(mxc)}"
        async with self._open("PUT", path, data=io.BytesIO(data), content_type=content_type) as response:
            await raise_for_error(response)

    async def download(self, mxc: str, *, timeout_ms: int | None = None) -> bytes:
        """The bytes behind an `mxc://` URI, by the authenticated path. `timeout_ms`: how long the homeserver waits for
        an upload that is not complete (None: as it likes), until it says `M_NOT_YET_UPLOADED`."""
        path, query = f"client/v1/media/download/{_mxc_path(mxc)}", {"timeout_ms": timeout_ms}
        async with self._open("GET", path, query) as response:
            if response.status >= 400:
                await raise_for_error(response)
            return await response.read()


async def raise_for_error(response: aiohttp.ClientResponse) -> Json:
    """The JSON of a good answer; `MatrixClientError` for any other."""
    raw = await response.read()
    try:
        body: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = raw.decode(errors="replace")
    if response.status < 400:
        return body  # type: ignore[no-any-return]  # callers know the shape of the answer they asked for
    if isinstance(body, dict):
        raise MatrixClientError(response.status, body.get("errcode", "M_UNKNOWN"), str(body.get("error", "")), body)
    raise MatrixClientError(response.status, "M_UNKNOWN", str(body)[:200], body)


async def _post(url: str, body: Json) -> Json:
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        return await raise_for_error(response)


def to_event(raw: Json, room_id: str) -> ClientEvent:
    # /sync leaves the room id out.
    return msgspec.convert({**raw, "room_id": room_id}, ClientEvent)


def _mxc_path(mxc: str) -> str:
    server, media_id = mxc.removeprefix("mxc://").split("/")
    return f"{_q(server)}/{_q(media_id)}"


def _q(part: str) -> str:
    return quote(part, safe="")
