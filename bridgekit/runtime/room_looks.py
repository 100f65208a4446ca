"""How a portal's room looks, as people change it: its name, its topic and its picture."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any

from bridgekit.adapter.capabilities import CanRename, CanSetAvatar, capability
from bridgekit.core.media_from_matrix import ReadFile
from bridgekit.core.mxc import parse_mxc
from bridgekit.core.rooms import clean
from bridgekit.model.entry import Ending
from bridgekit.model.ids import ContentURI
from bridgekit.model.records import Portal
from bridgekit.model.remote import Avatar
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.portals import MAX_NAME, MAX_TOPIC, Portals
from bridgekit.runtime.room_change import Change, decode_state
from bridgekit.runtime.room_picture import NO_ADDRESS, Picture, read_picture, refusal
from bridgekit.runtime.sending import Attempt, Connected

log = logging.getLogger(__name__)

NOT_FROM_HERE = "this network does not let it be changed from here"


class _LookChange(Change):
    """Raises `msgspec.DecodeError` if it cannot be read."""

    def __init__(self, a: Attempt, portals: Portals) -> None:
        super().__init__(a)
        self.portals = portals
        self.content: dict[str, Any] = decode_state(a.event.raw).content

    async def handle(self) -> Handled:
        a = self.a
        known = self.is_known()
        if known or await self._now() != self.content:
            self.portals.told.end(a.portal.key, a.event.type)
            if known:
                await self.portals.show_which(a.portal)  # an earlier attempt may have been cut short before that
            return Handled()  # nothing new, or no longer so: the later change has its own turn
        if a.o.relay.ignores(a.event):
            return await self.put_back()
        to = await self.changer()
        return await self.tell(to) if isinstance(to, Connected) else to

    async def undo(self) -> None:
        a = self.a
        self.portals.told.end(a.portal.key, a.event.type)
        if await self._now() == self.content:
            await a.o.homeserver.send_state(a.event.room_id, a.event.type, "", self.before())

    async def _now(self) -> dict[str, Any] | None:
        return await self.a.o.homeserver.get_state(self.a.event.room_id, self.a.event.type)

    async def answered(self, outcome: object) -> Handled:
        """The network has taken it, or how it ends."""
        if isinstance(outcome, Ending):
            return await self.refuse(outcome)
        self.portals.told.end(self.a.portal.key, self.a.event.type)
        return self.a.crossed()

    @abstractmethod
    def is_known(self) -> bool:
        """Whether the network says the same."""

    @abstractmethod
    def before(self) -> dict[str, Any]:
        """The content that says what the network says."""

    @abstractmethod
    async def tell(self, to: Connected) -> Handled:
        """Tell the network."""


class NameChange(_LookChange):
    """One ``m.room.name`` or ``m.room.topic``."""

    @property
    def _key(self) -> str:
        return self.a.event.type.removeprefix("m.room.")

    @property
    def _wanted(self) -> str:
        said = self.content.get(self._key)
        return clean(said) if isinstance(said, str) else ""

    def is_known(self) -> bool:
        return self._wanted == self._known

    @property
    def _known(self) -> str:
        return clean(self._of(self.a.portal))

    def before(self) -> dict[str, Any]:
        return {self._key: self._known}

    async def tell(self, to: Connected) -> Handled:
        a = self.a
        renamer = capability(to.session, CanRename)
        if renamer is None:
            return await self.refuse(a.ending("not_supported", NOT_FROM_HERE))
        name = self._wanted[:MAX_NAME] if self._key == "name" else None
        topic = self._wanted[:MAX_TOPIC] if self._key == "topic" else None
        self.portals.told.begin(a.portal.key, a.event.type, name if name is not None else topic or "")
        outcome = await a.call(lambda: renamer.rename(a.portal.key, name=name, topic=topic), to)
        if not isinstance(outcome, Ending):
            # What the network then says is so already.
            before = self._of(a.portal)
            changed = {"name": name} if name is not None else {"topic": topic}
            await self.portals.now_says(a.portal.key, unless=lambda portal: self._of(portal) != before, **changed)
        return await self.answered(outcome)

    def _of(self, portal: Portal) -> str:
        return portal.name if self._key == "name" else portal.topic


class AvatarChange(_LookChange):
    """One ``m.room.avatar``. Its content is a client's, and its file anybody's."""

    @property
    def _url(self) -> object:
        """None: there is to be no picture."""
        return self.content.get("url") or None

    def is_known(self) -> bool:
        return self._url == (self.a.portal.avatar_mxc or None)

    def before(self) -> dict[str, Any]:
        return {"url": self.a.portal.avatar_mxc} if self.a.portal.avatar_mxc else {}

    async def tell(self, to: Connected) -> Handled:
        a = self.a
        able = capability(to.session, CanSetAvatar)
        if able is None:
            return await self.refuse(a.ending("not_supported", NOT_FROM_HERE))
        limits = to.session.limits(a.portal.key)
        picture: Picture | None = None
        if self._url is not None:
            if parse_mxc(self._url) is None:
                return await self.refuse(a.ending("bad_content", NO_ADDRESS))
            file = read_picture(self.content)
            if not isinstance(file, ReadFile):
                return await self.refuse(a.ending(file.code, file.reason))
            if (why := refusal(file, limits)) is not None:
                return await self.refuse(a.ending(*why))
            picture = Picture(a, file, limits)
        media = picture.media() if picture is not None else None
        self.portals.told.begin(a.portal.key, a.event.type, str(self._url or ""))
        outcome = await a.call(lambda: able.set_avatar(a.portal.key, media), to)
        if not isinstance(outcome, Ending):
            await self._given(outcome)
        return await self.answered(outcome)

    async def _given(self, said: object) -> None:
        """What the network then says is so already: it calls the picture `said`."""
        a, before = self.a, self.a.portal
        if not isinstance(said, str):
            log.error("the adapter's set_avatar returned %r instead of an id", type(said))
            said = ""
        uri = None if self._url is None else ContentURI(str(self._url))
        # If it does not say what it calls it: any name that is none of its own, so that the picture is recognised by
        # its bytes when it comes back.
        id = "" if uri is None else (said or uri)
        if uri is not None and said:
            await a.o.ghosts.is_picture(Avatar(said), uri)

        def has_spoken(portal: Portal) -> bool:
            # It has shown the chat's picture meanwhile: this one, or a later one.
            return (portal.avatar, portal.avatar_mxc) != (before.avatar, before.avatar_mxc)

        await self.portals.now_says(before.key, unless=has_spoken, avatar=id, avatar_mxc=uri)
