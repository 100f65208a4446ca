"""All checks between the bridge and its homeserver, in order; each is skipped where its ground has failed."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from bridgekit.core.finding import Examination, Finding, skipped
from bridgekit.core.namespace import GhostNamespace
from bridgekit.matrix.doctor import registration as file
from bridgekit.matrix.doctor import server, service
from bridgekit.matrix.doctor.listen import Listener, ping
from bridgekit.matrix.doctor.observe import Asker
from bridgekit.matrix.doctor.reply import Answer, Reply
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.registration import Registration
from bridgekit.matrix.wire import path
from bridgekit.model.ids import UserID
from bridgekit.ports import Clock

CHECKS = (
    "ghosts",
    "aliases",
    "ephemeral",
    "homeserver",
    "clock",
    "server_version",
    "async_media",
    "as_token",
    "server_name",
    "bot",
    *service.PING,
    "media",
    "delayed_events",
    "login_tokens",
    "namespace",
    "exclusive",
    "rate_limits",
    "devices",
    "encryption",
    "room_alias",
)
"""The names of the checks here, in their order."""

GHOST = "==check"
"""The localpart, behind the prefix, of the ghost that checks try out. No remote user's ghost: the escaper never writes
``==`` but before a hash, which is longer."""

NOBODY = "==nobody"
"""The localpart of a ghost that nobody ever registers."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is examined. `file`: the registration's path, for people. `device_id`: the device that the bridge's
    users have. `read_only`: make nothing on the homeserver."""

    url: str
    server_name: str
    registration: Registration
    file: str
    ghosts: GhostNamespace
    alias_prefix: str
    device_id: str
    read_only: bool = False

    @property
    def bot(self) -> UserID:
        return UserID(f"@{self.registration.sender_localpart}:{self.server_name}")


async def examine(target: Target, exam: Examination, listener: Listener | None, clock: Clock) -> None:
    """Add every finding to `exam` as it is made.

    Unless `read_only`, this registers the bot and one ghost and gives the bot its device, which stay, and makes a
    private room with an alias, which go again. `listener` None: the port is
    not the bridge's, so that nobody can be pinged.
    """
    where, reg = target.file, target.registration
    exam.add(file.judge_ghosts(reg, target.ghosts, where=where))
    exam.add(file.judge_aliases(reg, target.alias_prefix, target.server_name, where=where))
    exam.add(file.judge_ephemeral(reg, where=where))
    if finding := file.judge_rate_limited(reg, where=where):
        exam.add(finding)
    async with Asker(target.url, reg.as_token, now=clock.now) as ask:
        versions = await _look_at_server(target.url, exam, ask, clock)
        if versions is None:
            exam.skip(*CHECKS, because="homeserver")
            return
        examiner = _Examiner(target, exam, ask)
        await examiner.identity()
        # Before anything is made that the homeserver would tell the bridge of: a ping amid that may stumble.
        if exam.stands(*service.PING, on=["as_token"]):
            await _ping(target, exam, listener, clock)
        await examiner.features(versions)
        await examiner.ghost()
        await examiner.work()


async def examine_server(url: str, exam: Examination, clock: Clock) -> None:
    """What can be said of the homeserver while there is no registration; the other checks are skipped for its sake."""
    async with Asker(url, "", now=clock.now) as ask:
        await _look_at_server(url, exam, ask, clock)
    exam.skip(*CHECKS, because="registration")


async def _look_at_server(url: str, exam: Examination, ask: Asker, clock: Clock) -> Answer | None:
    """What ``/versions`` says, None unless a homeserver says it."""
    versions = await ask.ask("GET", path("versions"), token=False)
    other: tuple[str, Reply] | None = None
    if meant := server.other_scheme(versions, url):
        async with Asker(meant, "", now=clock.now) as again:
            other = meant, await again.ask("GET", path("versions"), token=False)
    exam.add(server.judge_homeserver(versions, url, other))
    if not exam.stands("clock", "server_version", "async_media", on=["homeserver"]):
        return None
    assert isinstance(versions, Answer)
    exam.add(server.judge_clock(versions))
    federation = await ask.ask("GET", path("v1", "version", api="_matrix/federation"), token=False)
    exam.add(server.judge_version(versions, federation))
    create = await ask.ask("GET", path("v1", "create", api="_matrix/media"), token=False)
    exam.add(server.judge_async_media(create))
    return versions


async def _ping(target: Target, exam: Examination, listener: Listener | None, clock: Clock) -> None:
    if listener is None:
        exam.skip(*service.PING, because="port")
        return
    reg = target.registration
    homeserver = Homeserver(
        url=target.url,
        as_token=reg.as_token,
        server_name=target.server_name,
        bot=target.bot,
        appservice_id=reg.id,
        clock=clock,
        random=random.random,
    )
    try:
        result = await ping(homeserver, listener, registration_url=reg.url, clock=clock)
    finally:
        await homeserver.close()
    for finding in service.judge_ping(result, where=target.file, listener=listener.description):
        exam.add(finding)


class _Examiner:
    """What is asked with the as_token."""

    def __init__(self, target: Target, exam: Examination, ask: Asker) -> None:
        self._target = target
        self._exam = exam
        self._ask = ask

    async def identity(self) -> None:
        exam, target = self._exam, self._target
        whoami = await self._ask.ask("GET", path("v3", "account", "whoami"))
        exam.add(service.judge_as_token(whoami, where=target.file))
        if not exam.stands("server_name", "bot", on=["as_token"]):
            return
        assert isinstance(whoami, Answer)
        user_id: str = (whoami.body or {})["user_id"]
        exam.add(service.judge_server_name(user_id, target.server_name))
        localpart = target.registration.sender_localpart
        same = user_id == target.bot and not target.read_only
        registered = await self._register(localpart) if same else None
        exam.add(service.judge_bot(user_id, localpart, registered, where=target.file))

    async def features(self, versions: Answer) -> None:
        exam, ask = self._exam, self._ask
        if not exam.stands("media", "delayed_events", "login_tokens", on=["as_token"]):
            return
        exam.add(server.judge_media(await ask.ask("GET", path("v1", "media", "config"))))
        capabilities = await ask.ask("GET", path("v3", "capabilities"))
        exam.add(server.judge_delayed_events(versions, capabilities))
        exam.add(server.judge_login_tokens(capabilities, await ask.ask("GET", path("v3", "login"), token=False)))

    async def ghost(self) -> None:
        exam, target = self._exam, self._target
        if not exam.stands("namespace", "exclusive", "rate_limits", on=("as_token", "server_name", "ghosts")):
            return
        localpart, nobody = target.ghosts.prefix + GHOST, target.ghosts.prefix + NOBODY
        ghost = f"@{localpart}:{target.server_name}"
        before = await self._whoami(ghost)
        registered = after = None
        if not target.read_only and not (isinstance(before, Answer) and before.status == 200):
            registered = await self._register(localpart)
            after = await self._whoami(ghost)
        exam.add(service.judge_namespace(before, registered, after, ghost))
        if not exam.stands("exclusive", "rate_limits", on=["namespace"]):
            return
        available = await self._ask.ask(
            "GET", path("v3", "register", "available"), token=False, query={"username": nobody}
        )
        exam.add(service.judge_exclusive(available, f"@{nobody}:{target.server_name}"))
        if not exam.has("rate_limits"):  # the file asks for none
            exam.add(service.judge_rate_limits([await self._offline(ghost) for _ in range(2)]))

    async def work(self) -> None:
        exam, ask, target = self._exam, self._ask, self._target
        names = ("devices", "encryption", "room_alias")
        if not exam.stands(*names, on=("as_token", "server_name", "bot")):
            return
        if target.read_only:
            for name in names:
                exam.add(skipped(name, "it cannot be seen without making something, and nothing was to be made"))
            return
        bot = target.bot
        device = await ask.ask("PUT", path("v3", "devices", target.device_id), {}, user=bot)
        exam.add(service.judge_devices(device, where=target.file))
        body = {
            "preset": "private_chat",  # as portals have it
            "name": f"A check of the {target.registration.id} bridge",
            "creation_content": {"m.federate": False},
        }
        made = await ask.ask("POST", path("v3", "createRoom"), body, user=bot)
        room = (made.body or {}).get("room_id") if isinstance(made, Answer) and made.status == 200 else None
        if not isinstance(room, str):
            exam.add(service.judge_encryption(made, None))
            exam.skip("room_alias", because="encryption")
            return
        try:
            encryption = await ask.ask("GET", path("v3", "rooms", room, "state", "m.room.encryption"), user=bot)
            exam.add(service.judge_encryption(made, encryption))
            if exam.stands("room_alias", on=["aliases"]):
                exam.add(await self._alias(room))
        finally:
            # Nobody is left in it then, and the homeserver may delete it.
            await ask.ask("POST", path("v3", "rooms", room, "leave"), {}, user=bot)
            await ask.ask("POST", path("v3", "rooms", room, "forget"), {}, user=bot)

    async def _alias(self, room: str) -> Finding:
        alias = f"#{self._target.alias_prefix}{GHOST}:{self._target.server_name}"
        where = path("v3", "directory", "room", alias)
        put = await self._ask.ask("PUT", where, {"room_id": room})
        if isinstance(put, Answer) and put.status == 200:
            await self._ask.ask("DELETE", where)
        return service.judge_room_alias(put, alias)

    async def _register(self, localpart: str) -> Reply:
        body: dict[str, Any] = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        return await self._ask.ask("POST", path("v3", "register"), body, query={"kind": "user"})

    async def _whoami(self, user: str) -> Reply:
        return await self._ask.ask("GET", path("v3", "account", "whoami"), user=user)

    async def _offline(self, ghost: str) -> Reply:
        return await self._ask.ask("PUT", path("v3", "presence", ghost, "status"), {"presence": "offline"}, user=ghost)
