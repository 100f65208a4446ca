"""Who speaks on the network when somebody writes in a portal: the own login, the portal's relay, or nobody."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from bridgekit.core.loops import DEFAULT_IGNORE, Ignore, Repeats, never_relayed
from bridgekit.core.permissions import Level
from bridgekit.core.speaker import with_speaker
from bridgekit.model.content import Text
from bridgekit.model.ids import LoginID, RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import Speaker
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import LoginRecord, LoginState, Portal
from bridgekit.ports import Clock
from bridgekit.runtime.books import Books
from bridgekit.runtime.permissions import BY_LEVEL, Doors, Told
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.speakers import Speakers

log = logging.getLogger(__name__)


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`command_prefix`: what a command in a portal begins with; ``!`` and the network's id if left out. `ignore`: shell
    patterns of user ids that are never relayed. `avatar_url`: see `core.speaker.avatar_link`."""

    command_prefix: str = ""
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    avatar_url: str = ""


class Voice(msgspec.Struct, frozen=True):
    """Through which login, and as whom. It is kept with a message under way, because a repeat must not speak through
    another login or be cut elsewhere under another name."""

    login: LoginID
    speaker: Speaker


class Refusal(msgspec.Struct, frozen=True):
    """Nobody speaks, and why: `code` for machines, `reason` for the sender. `once`: say it once in each room, until
    something of the sender's is heard; for a `topic` of its own, for good."""

    code: str
    reason: str
    once: bool = True
    topic: str = ""


class Ignored(msgspec.Struct, frozen=True):
    """Nobody speaks, and nobody is told, since the sender is no person who is to be heard. `why` is for the log."""

    why: str


class _Event(msgspec.Struct):
    content: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Event).decode


def _content(event: RawEvent) -> dict[str, Any]:
    try:
        return _decode(event.raw).content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # whoever reads the text of it says what is wrong


class Relay:
    """Chooses the voice of each message."""

    def __init__(
        self,
        books: Books,
        sessions: Sessions,
        doors: Doors,
        told: Told,
        speakers: Speakers,
        clock: Clock,
        settings: RelaySettings,
        *,
        network: str,
    ) -> None:
        self._books = books
        self._sessions = sessions
        self._doors = doors
        self._told = told
        self._speakers = speakers
        self._clock = clock
        self._network = network
        self._ignore = Ignore(settings.ignore)
        self._repeats = Repeats()

    # --- who speaks -----------------------------------------------------------------------------------------------
    async def voice(
        self, event: RawEvent, portal: Portal, text: Text | None, *, begun: Voice | None, tried: bool, may_be_sent: bool
    ) -> Voice | Refusal | Ignored:
        """Who speaks. `text`: what the event says, None if it cannot cross anyway. `begun`: what was chosen when this
        message was begun. `tried`: it was sent, and may have reached the network; `may_be_sent`: the same, or nobody
        knows whether it was sent.

        Raises `HomeserverError`, `StoreError`.
        """
        if begun is not None:
            record = self._books.login(begun.login)
            if record is None:
                return Refusal("uncertain", "the login that it was sent through has logged out meanwhile", once=False)
            if not self._doors.may_connect(record):
                # It is never connected again, and the others in the room must not wait for that.
                return Refusal("uncertain", "the login that it was sent through may not be used any more", once=False)
            if may_be_sent or record.state is LoginState.ACTIVE:
                return begun
        level = self._doors.level(event.sender)
        own = await self._own(event.sender, portal) if level >= Level.USER else None
        if own is not None and (own.state is LoginState.ACTIVE or may_be_sent):
            return await self._heard(event, own)
        if own is None and tried:
            # Sent through a login of the sender's own. The network would not know another's repeat for one.
            return Refusal("uncertain", "the login that it was sent through is not there any more", once=False)
        content = _content(event)
        if (why := never_relayed(content, event.sender, self._ignore)) is not None:
            # With a login of one's own one may say what one likes, if late.
            return Ignored(why) if own is None else await self._heard(event, own)
        if level < Level.RELAY:
            return Refusal("forbidden", BY_LEVEL[Level.RELAY])
        relay = self.relay(portal)
        if relay is None or (own is not None and relay.state is not LoginState.ACTIVE):
            return await self._heard(event, own) if own is not None else self._no_relay(level)
        body = text.body if text is not None else ""
        now = self._clock.now()
        if self._repeats.comes_back(event.room_id, event.event_id, event.sender, body, now=now):
            log.warning("what was relayed came back; it is not relayed again", extra={"event_id": event.event_id})
            return Refusal("loop", "it repeats what the bridge has just sent, as if another bridge sent it back")
        await self._told.forget(event.sender, event.room_id)
        return Voice(relay.login.id, await self._speakers.speaker(event.room_id, event.sender))

    async def expected(self, event: RawEvent, portal: Portal) -> LoginID | None:
        """Through which login a message will probably go; None: perhaps through none. Nothing follows from asking.
        Raises `StoreError`."""
        level = self._doors.level(event.sender)
        own = await self._own(event.sender, portal) if level >= Level.USER else None
        if own is not None and own.state is LoginState.ACTIVE:
            return own.login.id
        if level < Level.RELAY or never_relayed(_content(event), event.sender, self._ignore) is not None:
            return None
        relay = self.relay(portal)
        return relay.login.id if relay is not None else None

    async def own_voice(self, event: RawEvent, portal: Portal) -> Voice | Refusal | Ignored:
        """The sender's own login; nobody else can react for a person. Raises `StoreError`."""
        own = await self._own(event.sender, portal) if self._doors.level(event.sender) >= Level.USER else None
        if own is not None:
            return await self._heard(event, own)
        if never_relayed(_content(event), event.sender, self._ignore) is not None:
            return Ignored("other_bridge")
        said = f"without a login of your own your reactions do not reach {self._network}; this is said only once"
        return Refusal("no_login", said, topic="reactions")

    async def changer(self, event: RawEvent, portal: Portal) -> Voice | None:
        """The sender's own login, to change the chat itself with; nobody does that for others. Raises `StoreError`."""
        own = await self._own(event.sender, portal) if self._doors.level(event.sender) >= Level.USER else None
        return await self._heard(event, own) if own is not None else None

    async def voice_of(self, user: UserID, portal: Portal) -> Voice | None:
        """Somebody's own login, to take back what that person left there. Raises `StoreError`."""
        own = await self._own(user, portal)
        return Voice(own.login.id, Speaker(name=own.login.name or own.user_id)) if own is not None else None

    def relay(self, portal: Portal) -> LoginRecord | None:
        """The portal's relay, if its person may (still) use the bridge."""
        record = self._books.relay(portal.key)
        return record if record is not None and self._doors.may_connect(record) else None

    def ignores(self, event: RawEvent) -> bool:
        """Whether an event comes from another bridge or a bot, to whom our bot must not answer."""
        return never_relayed(_content(event), event.sender, self._ignore) is not None

    async def is_told(self, refusal: Refusal, event: RawEvent) -> bool:
        """Whether the sender was told this already, because of an earlier message in this room. Raises `StoreError`."""
        place = RoomID(f"{event.room_id} {refusal.topic}") if refusal.topic else event.room_id
        return refusal.once and not await self._told.is_first(event.sender, place, refusal.code, event.event_id)

    async def has_choice(self, event: RawEvent, portal: Portal) -> bool:
        """Whether the sender has several logins in this portal, so that a repeat might choose another one."""
        return sum(record.user_id == event.sender for record in await self._books.portal_logins(portal.key)) > 1

    async def _own(self, user: UserID, portal: Portal) -> LoginRecord | None:
        """Somebody's own login in this portal; a connected one before others."""
        records = [r for r in await self._books.portal_logins(portal.key) if r.user_id == user]
        if len(records) > 1:
            records.sort(key=lambda record: self._sessions.session(record.login.id) is None)
        return records[0] if records else None

    async def _heard(self, event: RawEvent, record: LoginRecord) -> Voice:
        await self._told.forget(event.sender, event.room_id)
        return Voice(record.login.id, Speaker(name=record.login.name or record.user_id))

    def _no_relay(self, level: Level) -> Refusal:
        said = "you are not logged in to the network that this room belongs to, and no relay is set here"
        fix = 'say "login" to the bot in a room of your own' if level >= Level.USER else "ask for a relay"
        said += f"; {fix}. Until then nothing that you write here reaches {self._network}, and this is said only once"
        return Refusal("no_login", said)

    # --- what is said ---------------------------------------------------------------------------------------------
    def spoken(self, event: RawEvent, text: Text, speaker: Speaker, limits: Limits) -> Text:
        """The text as it goes to the network: with the name in front where the network does not show it itself."""
        if not speaker.relayed:
            return text
        shown = text if limits.shows_speaker else with_speaker(text, speaker.name)
        self._repeats.relayed(event.room_id, event.event_id, event.sender, text.body, shown.body, now=self._clock.now())
        return shown
