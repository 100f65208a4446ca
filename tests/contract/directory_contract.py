"""What the bridge knows for good: facts, and looking them up."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bridgekit.model.entry import Append
from bridgekit.model.ids import (
    ChatID,
    ContentURI,
    EventID,
    LoginID,
    Nonce,
    PortalKey,
    RemoteMessageID,
    RemoteUserID,
    RoomID,
    UserID,
)
from bridgekit.model.records import (
    AliasSaved,
    Ghost,
    GhostSaved,
    LoginRecord,
    LoginRemoved,
    LoginSaved,
    LoginState,
    ManagementRoomSaved,
    MemberSaved,
    Membership,
    MessageDeleted,
    MessageRecord,
    MessageSaved,
    PartsDeleted,
    Portal,
    PortalLoginRemoved,
    PortalLoginSaved,
    PortalRemoved,
    PortalSaved,
    PortalState,
    ReactionRecord,
    ReactionRemoved,
    ReactionSaved,
    RelayRemoved,
    RelaySaved,
    UncertainResolved,
    UncertainSaved,
    ValueSaved,
)
from bridgekit.model.remote import Cursor, Login
from bridgekit.ports import Store
from tests.contract.values import NOW, WEIRD, Opened

KEY = PortalKey(ChatID("chat"), LoginID("login"))
ROOM = RoomID("!room:example.org")
ME = UserID("@me:example.org")


def portal(key: PortalKey = KEY, *, room: RoomID | None = ROOM, name: str = "name") -> Portal:
    return Portal(
        key=key,
        state=PortalState.READY,
        alias_localpart="alias",
        room=room,
        name=name,
        topic="topic",
        avatar="avatar",
        avatar_mxc=ContentURI("mxc://example.org/a"),
        dm=True,
    )


def message(id: str, part: int = 0, *, key: PortalKey = KEY, event: str = "$event", at: int = NOW) -> MessageRecord:
    return MessageRecord(
        portal=key,
        remote_id=RemoteMessageID(id),
        part=part,
        room=ROOM,
        event_id=EventID(event),
        sender=ME,
        timestamp=at,
    )


def reaction(
    target: str,
    emoji: str = "\N{THUMBS UP SIGN}",
    *,
    key: PortalKey = KEY,
    by: str = ME,
    event: str = "$r",
    at: int = NOW,
) -> ReactionRecord:
    return ReactionRecord(
        portal=key,
        target=RemoteMessageID(target),
        sender=UserID(by),
        emoji=emoji,
        room=ROOM,
        event_id=EventID(event),
        emoji_id=f"id of {emoji}",
        timestamp=at,
    )


def login(id: str = "login", *, user_id: UserID = ME, state: bytes | None = None) -> LoginRecord:
    secrets = {"token": "s3cret", "\x00": "\ud800"}
    value = Login(id=LoginID(id), user=RemoteUserID("me"), name="My phone", secrets=secrets, state=state)
    return LoginRecord(login=value, user_id=user_id)


class DirectoryContract:
    async def test_the_secret_is_made_once(self, store: Store, second: Store) -> None:
        secret = await store.secret()
        assert len(secret) == 32
        assert await second.secret() == secret

    @pytest.mark.parametrize("text", WEIRD, ids=range(len(WEIRD)))
    async def test_values(self, text: str, held: Opened) -> None:
        assert await held.store.value(text) is None
        await held.know(ValueSaved(text, text))
        await held.know(ValueSaved(text + "!", "other"))
        assert await held.store.value(text) == text
        await held.know(ValueSaved(text, "new"))
        assert await held.store.value(text) == "new"

    # --- portals ----------------------------------------------------------------------------------------------------
    async def test_portals(self, held: Opened) -> None:
        assert await held.store.portal(KEY) is None
        creating = Portal(key=KEY, state=PortalState.CREATING, alias_localpart="alias")
        await held.know(PortalSaved(creating))
        assert await held.store.portal(KEY) == creating
        assert await held.store.portal_by_room(ROOM) is None
        await held.know(PortalSaved(portal()))
        assert await held.store.portal(KEY) == await held.store.portal_by_room(ROOM) == portal()
        await held.know(PortalSaved(portal(room=RoomID("!upgraded"))))
        assert await held.store.portal_by_room(ROOM) is None
        await held.know(PortalLoginSaved(KEY, LoginID("login")), PortalRemoved(KEY))
        assert await held.store.portal(KEY) is None
        assert await held.store.portal_by_room(RoomID("!upgraded")) is None
        assert await held.store.portal_logins(KEY) == []
        await held.know(PortalRemoved(KEY))

    async def test_portal_keys_are_never_confused(self, held: Opened) -> None:
        """No receiver, an empty one, and parts that would be equal if they were joined."""
        receivers = [None, *(LoginID(text) for text in WEIRD)]
        keys = [PortalKey(ChatID(chat), receiver) for chat in WEIRD for receiver in receivers]
        keys += [PortalKey(ChatID("ab"), LoginID("c")), PortalKey(ChatID("a"), LoginID("bc"))]
        await held.know(*(PortalSaved(portal(key, name=str(number))) for number, key in enumerate(keys)))
        for number, key in enumerate(keys):
            found = await held.store.portal(key)
            assert found is not None and (found.name, found.key) == (str(number), key)

        found_keys: list[PortalKey] = []
        while page := await held.store.portals(after=found_keys[-1] if found_keys else None, limit=50):
            found_keys.extend(one.key for one in page)
        assert found_keys == sorted(keys, key=lambda key: (key.chat, key.receiver is not None, key.receiver or ""))

    async def test_which_logins_see_a_portal(self, held: Opened) -> None:
        other = PortalKey(ChatID("other"))
        for id in ("b", "a", "b", ""):
            await held.know(PortalLoginSaved(KEY, LoginID(id)), PortalLoginSaved(other, LoginID(id)))
        assert await held.store.portal_logins(KEY) == ["", "a", "b"]
        await held.know(PortalLoginRemoved(KEY, LoginID("a")), PortalLoginRemoved(KEY, LoginID("unknown")))
        assert await held.store.portal_logins(KEY) == ["", "b"]
        assert await held.store.portal_logins(other) == ["", "a", "b"]

    async def test_relays(self, held: Opened) -> None:
        assert await held.store.relays() == {}
        keys = [PortalKey(ChatID(text), LoginID(text)) for text in WEIRD] + [PortalKey(ChatID("a"))]
        for key in keys:
            await held.know(RelaySaved(key, LoginID("first")))
        assert await held.store.relays() == dict.fromkeys(keys, "first")
        await held.know(RelaySaved(KEY, LoginID("login")), RelaySaved(KEY, LoginID("other")), RelayRemoved(keys[0]))
        assert await held.store.relays() == {**dict.fromkeys(keys[1:], "first"), KEY: "other"}
        await held.know(PortalSaved(portal()), PortalRemoved(KEY), RelayRemoved(KEY))
        assert KEY not in await held.store.relays()
        await held.know(LoginSaved(login("first")), LoginRemoved(LoginID("first")))
        assert await held.store.relays() == {}

    # --- people -----------------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("text", WEIRD, ids=range(len(WEIRD)))
    async def test_ghosts(self, text: str, held: Opened) -> None:
        ghost = Ghost(remote_id=RemoteUserID(text), user_id=UserID(f"@{text}"))
        assert await held.store.ghost(ghost.remote_id) is None
        await held.know(GhostSaved(ghost))
        changed = msgspec.structs.replace(
            ghost, registered=True, device_id=text, name=text, avatar=text, avatar_mxc=ContentURI(text)
        )
        assert await held.store.ghost_by_user(ghost.user_id) == ghost
        await held.know(GhostSaved(changed))
        assert await held.store.ghost(ghost.remote_id) == await held.store.ghost_by_user(ghost.user_id) == changed

    async def test_members(self, held: Opened) -> None:
        assert await held.store.membership(ROOM, ME) is None
        for user in ("@b", "@a", "@\x00"):
            await held.know(MemberSaved(ROOM, UserID(user), Membership.JOINED))
        await held.know(MemberSaved(ROOM, UserID("@b"), Membership.LEFT))
        await held.know(MemberSaved(RoomID("!other"), UserID("@c"), Membership.JOINED))
        assert await held.store.members(ROOM) == ["@\x00", "@a"]
        assert await held.store.membership(ROOM, UserID("@b")) is Membership.LEFT
        assert await held.store.membership(ROOM, UserID("@a")) is Membership.JOINED

    # --- logins -----------------------------------------------------------------------------------------------------
    async def test_logins(self, held: Opened) -> None:
        first, second = login("b"), login("a", user_id=UserID("@other"))
        await held.know(LoginSaved(first), LoginSaved(second))
        assert await held.store.login(LoginID("b")) == first
        assert await held.store.login(LoginID("unknown")) is None
        assert await held.store.logins() == [second, first]
        assert await held.store.logins(user_id=ME) == [first]
        assert await held.store.logins(user_id=UserID("@nobody")) == []

    async def test_saving_a_login_leaves_its_sessions_state(self, held: Opened) -> None:
        await held.know(LoginSaved(login(state=b"ignored")))
        assert await held.store.login(LoginID("login")) == login()
        await held.store.append(Append(login=LoginID("login"), state=b"ratchet"), epoch=held.epoch)
        assert await held.store.login(LoginID("login")) == login(state=b"ratchet")
        bad = msgspec.structs.replace(login(), state=LoginState.BAD_CREDENTIALS)
        await held.know(LoginSaved(bad))
        stored = await held.store.login(LoginID("login"))
        assert stored is not None
        assert (stored.state, stored.login.state) == (LoginState.BAD_CREDENTIALS, b"ratchet")

    async def test_a_removed_login_is_forgotten_with_its_cursors_and_places(self, held: Opened) -> None:
        for id in ("login", "other"):
            await held.know(LoginSaved(login(id)), PortalLoginSaved(KEY, LoginID(id)))
            append = Append(login=LoginID(id), cursors=(Cursor("", "1"),), state=b"ratchet")
            await held.store.append(append, epoch=held.epoch)
        await held.know(LoginRemoved(LoginID("login")))
        assert await held.store.login(LoginID("login")) is None
        assert await held.store.cursors(LoginID("login")) == {}
        assert await held.store.portal_logins(KEY) == ["other"]
        assert await held.store.cursors(LoginID("other")) == {"": "1"}
        # Logged in again: nothing of the old session.
        await held.know(LoginSaved(login()))
        assert await held.store.login(LoginID("login")) == login()

    async def test_cursors_with_weird_scopes(self, held: Opened) -> None:
        cursors = tuple(Cursor(text, text) for text in WEIRD)
        await held.store.append(Append(login=LoginID("\x00"), cursors=cursors), epoch=held.epoch)
        assert await held.store.cursors(LoginID("\x00")) == {text: text for text in WEIRD}
        assert await held.store.cursors(LoginID("")) == {}

    # --- messages ---------------------------------------------------------------------------------------------------
    async def test_messages_by_both_names(self, held: Opened) -> None:
        parts = [message("1", 1, event="$b"), message("1", 0, event="$a"), message("2", event="$c")]
        await held.know(*(MessageSaved(part) for part in parts))
        store = held.store
        assert await store.message_by_remote(KEY, RemoteMessageID("1")) == [parts[1], parts[0]]
        assert await store.message_by_remote(PortalKey(KEY.chat), RemoteMessageID("1")) == []
        assert await store.message_by_event(ROOM, EventID("$b")) == parts[0]
        assert await store.message_by_event(RoomID("!other"), EventID("$b")) is None
        # A message that was sent anew after all: the new event counts.
        moved = msgspec.structs.replace(parts[0], event_id=EventID("$new"), timestamp=NOW + 1)
        await held.know(MessageSaved(moved))
        assert await store.message_by_remote(KEY, RemoteMessageID("1")) == [parts[1], moved]
        assert await store.message_by_event(ROOM, EventID("$b")) is None

    async def test_a_message_twice_at_once(self, held: Opened) -> None:
        first, last = message("1", event="$a"), message("1", event="$b")
        await held.know(MessageSaved(first), MessageSaved(message("2", event="$c")), MessageSaved(last))
        assert await held.store.message_by_remote(KEY, RemoteMessageID("1")) == [last]
        assert await held.store.message_by_event(ROOM, EventID("$a")) is None
        assert await held.store.message_by_event(ROOM, EventID("$b")) == last

    async def test_one_event_that_became_two_messages(self, held: Opened) -> None:
        await held.know(MessageSaved(message("b", 1)), MessageSaved(message("a", 0)))
        assert await held.store.message_by_event(ROOM, EventID("$event")) == message("a", 0)
        assert await held.store.messages_by_event(ROOM, EventID("$event")) == [message("a", 0), message("b", 1)]
        assert await held.store.messages_by_event(RoomID("!other"), EventID("$event")) == []

    async def test_other_names_of_a_message(self, held: Opened) -> None:
        await held.know(
            AliasSaved(KEY, RemoteMessageID("also"), RemoteMessageID("1")),  # before the message itself
            MessageSaved(message("1")),
        )
        assert await held.store.message_by_remote(KEY, RemoteMessageID("also")) == [message("1")]
        assert await held.store.message_by_remote(PortalKey(KEY.chat), RemoteMessageID("also")) == []
        await held.know(MessageSaved(message("2")), AliasSaved(KEY, RemoteMessageID("also"), RemoteMessageID("2")))
        assert await held.store.message_by_remote(KEY, RemoteMessageID("also")) == [message("2")]
        # A message that really has that id comes first.
        await held.know(MessageSaved(message("also")))
        assert await held.store.message_by_remote(KEY, RemoteMessageID("also")) == [message("also")]

    async def test_messages_with_weird_ids(self, held: Opened) -> None:
        keys = [PortalKey(ChatID(text), LoginID(text)) for text in WEIRD]
        records = [message(text, key=key, event=text) for text, key in zip(WEIRD, keys, strict=True)]
        await held.know(*(MessageSaved(record) for record in records))
        for text, key, record in zip(WEIRD, keys, records, strict=True):
            assert await held.store.message_by_remote(key, RemoteMessageID(text)) == [record]
            assert await held.store.message_by_event(ROOM, EventID(text)) == record

    async def test_a_nonsensical_timestamp_wedges_nothing(self, held: Opened) -> None:
        await held.know(MessageSaved(message("1", at=10**30)), MessageSaved(message("2", at=-(10**30))))
        (record,) = await held.store.message_by_remote(KEY, RemoteMessageID("1"))
        assert record.timestamp > NOW

    async def test_a_deleted_message_is_forgotten_with_all_that_belongs_to_it(self, held: Opened) -> None:
        other, also = PortalKey(KEY.chat), RemoteMessageID("also 1")
        await held.know(
            *(MessageSaved(one) for one in (message("1", 0), message("1", 1), message("2"), message("1", key=other))),
            *(ReactionSaved(one) for one in (reaction("1"), reaction("2", event="$2"), reaction("1", key=other))),
            AliasSaved(KEY, also, RemoteMessageID("1")),
            AliasSaved(KEY, RemoteMessageID("also 2"), RemoteMessageID("2")),
        )
        for _ in range(2):
            await held.know(MessageDeleted(KEY, RemoteMessageID("1")))
            assert await held.store.message_by_remote(KEY, RemoteMessageID("1")) == []
            assert await held.store.message_by_remote(KEY, also) == []
            assert await held.store.reactions(KEY, RemoteMessageID("1")) == []
            assert await held.store.messages_by_event(ROOM, EventID("$event")) == [
                message("1", key=other),
                message("2"),
            ]
            assert await held.store.reactions(other, RemoteMessageID("1")) == [reaction("1", key=other)]
            assert await held.store.reactions(KEY, RemoteMessageID("also 2")) == [reaction("2", event="$2")]
        # Its id again: nothing of the old one.
        await held.know(MessageSaved(message("1")))
        assert await held.store.message_by_remote(KEY, also) == []
        assert await held.store.reactions(KEY, RemoteMessageID("1")) == []

    async def test_a_message_with_fewer_parts(self, held: Opened) -> None:
        other = PortalKey(KEY.chat)
        parts = [message("1", 0, event="$0"), message("1", 1, event="$1"), message("1", 2, event="$2")]
        await held.know(
            *(MessageSaved(one) for one in (*parts, message("1", 1, key=other))),
            ReactionSaved(reaction("1")),
            AliasSaved(KEY, RemoteMessageID("also"), RemoteMessageID("1")),
        )
        for _ in range(2):
            await held.know(PartsDeleted(KEY, RemoteMessageID("1"), 1))
            assert await held.store.message_by_remote(KEY, RemoteMessageID("also")) == parts[:1]
            assert await held.store.message_by_event(ROOM, EventID("$2")) is None
            assert await held.store.reactions(KEY, RemoteMessageID("1")) == [reaction("1")]
            assert await held.store.message_by_remote(other, RemoteMessageID("1")) == [message("1", 1, key=other)]
        await held.know(MessageSaved(parts[1]))
        assert await held.store.message_by_remote(KEY, RemoteMessageID("1")) == parts[:2]

    # --- reactions --------------------------------------------------------------------------------------------------
    async def test_reactions(self, held: Opened) -> None:
        store, target = held.store, RemoteMessageID("1")
        first, heart = reaction("1", event="$a", at=NOW + 1), reaction("1", "heart", event="$b", at=NOW)
        other = reaction("1", by="@other:example.org", event="$c", at=NOW + 1)
        await held.know(*(ReactionSaved(one) for one in (other, first, heart, reaction("2", event="$d"))))
        assert await store.reactions(KEY, target) == [heart, first, other]
        assert await store.reactions(PortalKey(KEY.chat), target) == []
        assert await store.reaction_by_event(ROOM, EventID("$c")) == other
        assert await store.reaction_by_event(RoomID("!other"), EventID("$c")) is None
        assert await store.message_by_event(ROOM, EventID("$c")) is None
        # Taken back and given anew: the new event counts.
        anew = msgspec.structs.replace(first, event_id=EventID("$new"), emoji_id="", timestamp=NOW + 2)
        await held.know(ReactionSaved(anew), ReactionRemoved(KEY, target, other.sender, other.emoji))
        assert await store.reactions(KEY, target) == [heart, anew]
        assert await store.reaction_by_event(ROOM, EventID("$a")) is None
        assert await store.reaction_by_event(ROOM, EventID("$new")) == anew
        await held.know(
            ReactionRemoved(KEY, target, ME, "unknown"),
            ReactionRemoved(KEY, target, ME, "heart"),
            ReactionRemoved(KEY, RemoteMessageID("3"), ME, "heart"),
        )
        assert await store.reactions(KEY, target) == [anew]
        assert await store.reactions(KEY, RemoteMessageID("2")) == [reaction("2", event="$d")]

    async def test_reactions_by_another_name_of_their_message(self, held: Opened) -> None:
        also = RemoteMessageID("also")
        await held.know(
            MessageSaved(message("1")), AliasSaved(KEY, also, RemoteMessageID("1")), ReactionSaved(reaction("1"))
        )
        assert await held.store.reactions(KEY, also) == [reaction("1")]
        # A message that really has that id comes first, although there is nothing on it.
        await held.know(MessageSaved(message("also")))
        assert await held.store.reactions(KEY, also) == []
        await held.know(ReactionSaved(reaction("also", event="$2")))
        assert await held.store.reactions(KEY, also) == [reaction("also", event="$2")]

    async def test_reactions_with_weird_texts(self, held: Opened) -> None:
        keys = [PortalKey(ChatID(text), LoginID(text)) for text in WEIRD]
        records = [reaction(text, text, key=key, by=text, event=text) for text, key in zip(WEIRD, keys, strict=True)]
        await held.know(*(ReactionSaved(record) for record in records))
        for text, key, record in zip(WEIRD, keys, records, strict=True):
            assert await held.store.reactions(key, RemoteMessageID(text)) == [record]
            assert await held.store.reaction_by_event(ROOM, EventID(text)) == record
            await held.know(ReactionRemoved(key, RemoteMessageID(text), UserID(text), text))
            assert await held.store.reactions(key, RemoteMessageID(text)) == []

    async def test_uncertain_sends(self, held: Opened) -> None:
        for text in WEIRD:
            fact = UncertainSaved(
                nonce=Nonce(text), portal=KEY, room=ROOM, event_id=EventID(text), sender=ME, part=2, at=NOW
            )
            await held.know(fact)
            assert await held.store.uncertain(fact.nonce) == fact
            later = msgspec.structs.replace(fact, at=NOW + 1, portal=PortalKey(ChatID("x")))
            await held.know(later)
            assert await held.store.uncertain(fact.nonce) == later
            await held.know(UncertainResolved(fact.nonce))
            assert await held.store.uncertain(fact.nonce) is None

    async def test_management_rooms(self, held: Opened) -> None:
        assert await held.store.management_room(ME) is None
        await held.know(ManagementRoomSaved(ME, ROOM))
        assert await held.store.management_room(ME) == ROOM
        assert await held.store.management_user(ROOM) == ME
        await held.know(ManagementRoomSaved(ME, RoomID("!new")))
        assert await held.store.management_user(ROOM) is None
        assert await held.store.management_user(RoomID("!new")) == ME

    async def test_facts_that_wait_together_keep_the_order_of_their_calls(self, held: Opened) -> None:
        facts = [fact for n in range(20) for fact in (PortalSaved(portal(name=str(n))), PortalRemoved(KEY))]
        await asyncio.gather(*(held.know(fact) for fact in facts[:-1]))
        found = await held.store.portal(KEY)
        assert found is not None and found.name == "19"
