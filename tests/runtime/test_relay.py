"""People without a login speak through a portal's relay, or are told once why not."""

from __future__ import annotations

import pytest

from bridgekit.errors import AuthFailed, HomeserverUnreachable, Transient
from bridgekit.model.content import Run, Style
from bridgekit.model.ids import LoginID, RemoteUserID, RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.runtime import points
from bridgekit.runtime.relay import RelaySettings
from bridgekit.testing.harness import ALICE, IDENTITY, MINE, Harness
from bridgekit.testing.network import FakeNetwork, Outcome, able

BOB, EVE = UserID("@bob:elsewhere.test"), UserID("@eve:test")
LOGIN = LoginID(MINE)
SHOWS = able(shows_speaker=True)


async def a_room(harness: Harness, *, relay: bool = True) -> RoomID:
    """A portal in which Bob is, who is not logged in."""
    room = await harness.portal()
    harness.homeserver.join_person(room, BOB)
    harness.homeserver.names[BOB] = "Bob"
    if relay:
        assert "From now on" in await said(harness, room, ALICE, "!fake set-relay")
    return room


async def said(harness: Harness, room: RoomID, user: UserID, words: str, **content: str) -> str:
    """What the bot answers."""
    before = len(harness.homeserver.bodies(room, notices=True))
    harness.homeserver.say(room, user, words, **content)
    await harness.settle(1)
    return "\n".join(harness.homeserver.bodies(room, notices=True)[before:])


async def started(network: FakeNetwork | None = None, **options: object) -> Harness:
    harness = Harness(network, **options)  # type: ignore[arg-type]
    await harness.start()
    return harness


# --- with a relay -----------------------------------------------------------------------------------------------------
async def test_the_name_is_written_where_the_network_does_not_show_it(harness: Harness) -> None:
    room = await a_room(harness)
    assert await said(harness, room, BOB, "hi") == ""
    assert await said(harness, room, ALICE, "hello Bob") == ""
    assert harness.network.texts("chat") == ["Bob: hi", "hello Bob"]
    (login, relayed), (_, own) = harness.network.spoken
    assert (login, relayed.speaker.relayed, relayed.text.runs) == (LOGIN, True, (Run(0, 3, Style.BOLD),))
    assert not own.speaker.relayed
    # The echoes are ours, and nobody sees the message twice.
    assert harness.homeserver.bodies(room) == ["hello"]


@pytest.mark.parametrize("echo", ["nonce", "plain"])
@pytest.mark.parametrize("relays_as", [None, RemoteUserID("webhook")])
async def test_a_network_that_shows_names_is_given_name_and_picture(echo: str, relays_as: RemoteUserID | None) -> None:
    network = FakeNetwork(limits=SHOWS, echo=echo)  # type: ignore[arg-type]
    network.relays_as = relays_as
    harness = await started(network, relay=RelaySettings(avatar_url="https://m.test/{server}/{media}"))
    harness.homeserver.avatars[BOB] = "mxc://elsewhere.test/face"
    room = await a_room(harness)
    await said(harness, room, BOB, "hi")
    ((_, message),) = network.spoken
    assert message.text.body == "hi"
    assert (message.speaker.name, message.speaker.avatar_url) == ("Bob", "https://m.test/elsewhere.test/face")
    network.say("chat", "friend", "hi Bob")
    await harness.settle(60)
    assert harness.homeserver.bodies(room) == ["hello", "hi Bob"]
    await harness.kill()


async def test_two_with_one_name_are_told_apart(harness: Harness) -> None:
    room = await a_room(harness)
    await said(harness, room, BOB, "one")
    harness.homeserver.join_person(room, EVE)
    harness.homeserver.names[EVE] = "bob"
    await harness.settle(31)  # names are kept for half a minute
    await said(harness, room, BOB, "two")
    await said(harness, room, EVE, "three")
    assert harness.network.texts("chat") == ["Bob: one", "Bob (@bob:elsewhere.test): two", "bob (@eve:test): three"]


async def test_only_the_first_part_has_the_name_and_a_crash_changes_nothing() -> None:
    harness = await started(FakeNetwork(limits=able(max_text_length=12)))
    room = await a_room(harness)
    dead = harness.kill_at(points.PARTS_BETWEEN)
    harness.homeserver.say(room, BOB, "one two three four five six")
    await harness.until(dead.is_set)
    await harness.kill()
    harness.homeserver.names[BOB] = "Robert the Great"
    await harness.start()
    await harness.until(lambda: len(harness.network.accepted) >= 3)
    await harness.settle(60)
    assert harness.network.texts("chat") == ["Bob: one two", "three four", "five six"]
    await harness.kill()


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("point", [points.APPEND_AFTER, points.NETWORK_SENT, points.PARTS_BETWEEN])
async def test_killed_while_relaying(point: str, dedupes: bool) -> None:
    harness = await started(FakeNetwork(dedupes=dedupes, limits=able(max_text_length=20)))
    room = await a_room(harness)
    dead = harness.kill_at(point)
    for number in range(3):
        harness.homeserver.say(room, BOB, f"number {number} and some more words")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(300)
    got, refused = harness.network.texts("chat"), harness.homeserver.bodies(room, notices=True)[1:]
    whole = [part for n in range(3) for part in (f"Bob: number {n} and", "some more words")]
    # Without deduplication what may have been sent is not sent again, and what follows of it neither.
    uncertain = not dedupes and point != points.APPEND_AFTER
    assert len(refused) == uncertain
    assert got == ([whole[0], *whole[2:]] if uncertain else whole)
    assert harness.homeserver.bodies(room) == ["hello"]
    await harness.kill()


async def test_a_repeat_goes_through_the_same_login() -> None:
    """Another one would not be recognised by the network as a repeat."""
    network = FakeNetwork()
    harness = await started(network)
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("other"), user=RemoteUserID("other"), name="Other"), user_id=ALICE)
    )
    room = await a_room(harness, relay=False)
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    assert "From now on" in await said(harness, room, ALICE, "!fake set-relay mine")
    network.next_sends(Outcome(ConnectionError(), taken=True), *(Transient() for _ in range(5)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    management = harness.homeserver.invite_bot(ALICE)
    await harness.settle()
    await said(harness, management, ALICE, f"set-relay {room} other")
    assert len(network.tries) < 6
    await harness.settle(600)
    assert len(network.tries) > 6
    assert [login for login, _ in network.spoken] == [LOGIN]
    await said(harness, room, BOB, "again")
    assert [login for login, _ in network.spoken] == [LOGIN, "other"]
    await harness.kill()


async def test_the_relay_logs_out_while_something_is_under_way(harness: Harness) -> None:
    room = await a_room(harness)
    harness.network.next_sends(*(Transient() for _ in range(3)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    await harness.bridge.logins.remove(LOGIN)
    await harness.settle(60)
    assert "may not have been sent" in harness.homeserver.bodies(room, notices=True)[-1]


async def test_the_relay_may_not_be_used_any_more_while_something_is_under_way() -> None:
    """It is never connected again, so nobody may have to wait for that."""
    harness = await started(permissions={"*": "relay", "test": "user"})
    room = await a_room(harness)
    harness.network.next_sends(*(Transient() for _ in range(30)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    await harness.kill()
    harness.permissions = {"*": "relay"}
    await harness.start()
    await harness.settle(60)
    assert "may not have been sent" in harness.homeserver.bodies(room, notices=True)[-1]
    assert (await harness.store.stats()).pending_matrix == 0
    await harness.kill()


async def test_an_own_login_is_gone_while_something_is_under_way() -> None:
    """The relay does not repeat it: to the network that would be another message."""
    network = FakeNetwork()
    harness = await started(network, permissions={"*": "user"})
    room = await a_room(harness)
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob"), name="Bob"), user_id=BOB)
    )
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    network.next_sends(Outcome(ConnectionError(), taken=True), *(Transient() for _ in range(3)))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle()
    await harness.bridge.logins.remove(LoginID("bob"))
    await harness.settle(600)
    assert network.texts("chat") == ["hi"]
    assert "may not have been sent" in harness.homeserver.bodies(room, notices=True)[-1]
    await harness.kill()


async def test_a_repeat_waits_for_the_login_that_it_was_sent_through() -> None:
    """Also where the sender has another one, which is connected: to the network that would be another message."""
    network = FakeNetwork()
    harness = await started(network)
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("other"), user=RemoteUserID("other"), name="Other"), user_id=ALICE)
    )
    room = await harness.portal()
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    network.next_sends(Outcome(ConnectionError(), taken=True), *(Transient() for _ in range(3)))
    harness.homeserver.say(room, ALICE, "hi")
    await harness.settle()
    ((first, _),) = network.spoken
    await harness.bridge.sessions.disconnect(first)
    await harness.settle(30)
    harness.bridge.sessions.connect(first)
    await harness.settle(600)
    assert network.texts("chat") == ["hi"]
    await harness.kill()


async def test_another_login_speaks_if_the_first_is_refused() -> None:
    network = FakeNetwork()
    harness = await started(network)
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("other"), user=RemoteUserID("other"), name="Other"), user_id=ALICE)
    )
    room = await harness.portal()
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    network.next_sends(AuthFailed("revoked"))
    harness.homeserver.say(room, ALICE, "hi")
    await harness.settle(60)
    assert [login for login, _ in network.spoken] == ["other"]
    await harness.kill()


async def test_the_name_cannot_be_asked_for_now(harness: Harness) -> None:
    room = await a_room(harness)
    harness.homeserver.fail("member_profiles", HomeserverUnreachable("gone"), times=3)
    harness.homeserver.say(room, BOB, "hi")
    await harness.until(lambda: harness.network.texts("chat") == ["Bob: hi"])


async def test_the_relay_has_to_log_in_again(harness: Harness) -> None:
    room = await a_room(harness)
    harness.network.next_sends(AuthFailed("gone"))
    harness.homeserver.say(room, BOB, "hi")
    await harness.settle(120)
    assert "the room's relay has to log in again" in harness.homeserver.bodies(room, notices=True)[-1]


async def test_who_has_to_log_in_again_is_relayed_meanwhile() -> None:
    network = FakeNetwork()
    harness = await started(network)
    record = LoginRecord(login=Login(id=LoginID("eve"), user=RemoteUserID("eve"), name="Eve"), user_id=EVE)
    await harness.bridge.logins.add(record)
    room = await a_room(harness, relay=False)
    network.say("chat", "friend", "both see this")
    await harness.settle(60)
    harness.homeserver.join_person(room, EVE)
    harness.homeserver.names[EVE] = "Eve"
    harness.homeserver.rooms[room].state["m.room.power_levels", ""] = {"users": {ALICE: 50}}
    assert "From now on" in await said(harness, room, ALICE, "!fake set-relay")
    await harness.bridge.sessions.auth_failed(LoginID("eve"), "gone")
    await harness.bridge.sessions.disconnect(LoginID("eve"))
    await said(harness, room, EVE, "hi")
    assert [(login, m.text.body) for login, m in network.spoken] == [(LOGIN, "Eve: hi")]
    await harness.kill()


# --- without a relay --------------------------------------------------------------------------------------------------
async def test_told_once_why_not(harness: Harness) -> None:
    room = await a_room(harness, relay=False)
    assert "you are not logged in" in await said(harness, room, BOB, "one")
    assert await said(harness, room, BOB, "two") == ""
    await harness.kill()
    await harness.start()
    assert await said(harness, room, BOB, "three") == ""
    harness.homeserver.join_person(room, EVE)
    assert "you are not logged in" in await said(harness, room, EVE, "and I?")
    assert [letter.code for letter in await harness.store.dead_letters()] == ["no_login", "no_login"]
    # Once it was otherwise in between, it is said again.
    await said(harness, room, ALICE, "!fake set-relay")
    await said(harness, room, BOB, "four")
    assert "does not reach" in await said(harness, room, ALICE, "!fake unset-relay")
    assert "you are not logged in" in await said(harness, room, BOB, "five")
    assert harness.network.texts("chat") == ["Bob: four"]


async def test_told_once_although_it_crashes_before_the_words(harness: Harness) -> None:
    room = await a_room(harness, relay=False)
    harness.homeserver.fail("send_event", HomeserverUnreachable("gone"), times=2)
    harness.homeserver.say(room, BOB, "one")
    await harness.settle()
    await harness.kill()
    await harness.start()
    await harness.until(lambda: any("not logged in" in each for each in harness.homeserver.bodies(room, notices=True)))


# --- loops ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "user, content",
    [
        (BOB, {"msgtype": "m.notice"}),
        (BOB, {"io.bridgekit.key": "bk_x"}),
        (BOB, {"fi.mau.double_puppet_source": "mautrix-telegram"}),
        (UserID("@_irc_bob:elsewhere.test"), {}),
        (UserID("@telegram_7:elsewhere.test"), {}),
        (UserID("@telegram_7:elsewhere.test"), {"msgtype": "m.image"}),
    ],
    ids=["notice", "bridgekit", "double puppet", "underscore", "telegram", "picture"],
)
@pytest.mark.parametrize("relay", [True, False])
async def test_bots_and_other_bridges_are_not_heard_and_not_answered(
    harness: Harness, user: UserID, content: dict[str, str], relay: bool
) -> None:
    room = await a_room(harness, relay=relay)
    harness.homeserver.join_person(room, user)
    assert await said(harness, room, user, "beep", **content) == ""
    assert await said(harness, room, user, "!fake help", **content) == ""
    assert harness.network.texts("chat") == []
    assert await harness.store.dead_letters() == []


async def test_who_is_logged_in_may_say_what_they_like(harness: Harness) -> None:
    room = await a_room(harness)
    await said(harness, room, ALICE, "beep", msgtype="m.notice")
    assert harness.network.texts("chat") == ["beep"]


class Plumbed:
    """Two bridges, each the other's stranger, between the same Matrix room and the same chat."""

    def __init__(self, one: Harness, two: Harness, rooms: tuple[RoomID, RoomID], *, marked: bool) -> None:
        self.sides = ((one, two, rooms[0], rooms[1], "a"), (two, one, rooms[1], rooms[0], "b"))
        self.marked = marked
        self.shown = {name: 0 for *_, name in self.sides}
        self.taken = {name: 0 for *_, name in self.sides}

    async def turn(self) -> None:
        """What each has put into the room and into the chat, the other sees there."""
        for here, there, room, other_room, name in self.sides:
            ours = [e for e in here.homeserver.rooms[room].timeline if e["sender"] in here.homeserver.users]
            messages = [event for event in ours if event["type"] == "m.room.message"]
            for event in messages[self.shown[name] :]:
                content = dict(event["content"])
                if not self.marked:
                    content.pop("io.bridgekit.key")
                stranger = UserID(f"@puppet{name}.{event['sender'][1:].replace(':', '.')}:elsewhere.test")
                there.homeserver.join_person(other_room, stranger)
                there.homeserver.emit(other_room, stranger, "m.room.message", content)
            self.shown[name] = len(messages)
            accepted = here.network.texts("chat")
            for text in accepted[self.taken[name] :]:
                there.network.say("chat", f"account-{name}", text)
            self.taken[name] = len(accepted)
        for here, *_ in self.sides:
            await here.settle(1)

    def relayed(self) -> int:
        return sum(len(here.network.accepted) for here, *_ in self.sides)


@pytest.mark.parametrize(
    "marked, limits, most",
    [(True, able(), 0), (False, able(), 4), (False, SHOWS, 20)],
    ids=["marked", "name", "as"],
)
async def test_two_bridges_in_one_room_do_not_loop(marked: bool, limits: Limits, most: int) -> None:
    one, two = await started(FakeNetwork(limits=limits)), await started(FakeNetwork(limits=limits))
    rooms = (await a_room(one), await a_room(two))
    plumbed = Plumbed(one, two, rooms, marked=marked)
    for here in (one, two):
        here.network.say("chat", "friend", "hi")
    counts = []
    for _ in range(30):
        await plumbed.turn()
        counts.append(plumbed.relayed())
    assert counts[-1] <= most
    assert counts[-10:] == counts[-1:] * 10
    await one.kill()
    await two.kill()


# --- commands in portals ----------------------------------------------------------------------------------------------
async def test_commands_stay_on_matrix(harness: Harness) -> None:
    room = await a_room(harness, relay=False)
    help = await said(harness, room, ALICE, "!fake help")
    assert "\n!fake set-relay [login] - " in help
    assert await said(harness, room, ALICE, "!fake") == help
    assert "set-relay" not in await said(harness, room, BOB, "!fake help")
    assert "do not know" in await said(harness, room, ALICE, "!fake dance")
    assert "No relay is set here" in await said(harness, room, ALICE, "!fake unset-relay")
    assert harness.network.texts("chat") == []
    for words in ("!fakes set-relay", "so, !fake set-relay", "!Fake set-relay"):
        assert await said(harness, room, ALICE, words) == ""
    assert len(harness.network.texts("chat")) == 3


async def test_the_prefix_can_be_another() -> None:
    harness = await started(relay=RelaySettings(command_prefix="/ünder"))
    room = await harness.portal()
    assert "/ünder help" in await said(harness, room, ALICE, "/ünder")
    await harness.kill()


async def test_a_command_is_answered_later_when_the_homeserver_is_away(harness: Harness) -> None:
    room = await a_room(harness, relay=False)
    harness.homeserver.fail("send_event", HomeserverUnreachable("gone"), times=3)
    harness.homeserver.say(room, ALICE, "!fake set-relay")
    await harness.until(lambda: any("From now on" in each for each in harness.homeserver.bodies(room, notices=True)))


async def test_who_may_set_a_relay() -> None:
    """Whose login is in the chat, and who is alone in that or has power in the room; and admins."""
    harness = await started(permissions={"*": "relay", "test": "user", "@root:test": "admin"})
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("eve"), user=RemoteUserID("eve"), name="Eve"), user_id=EVE)
    )
    room = await a_room(harness, relay=False)
    harness.network.say("chat", "friend", "both see this")
    await harness.settle(60)
    mallory, root = UserID("@mallory:test"), UserID("@root:test")
    for user in (EVE, mallory, root):
        harness.homeserver.join_person(room, user)

    assert "only admins" not in await said(harness, room, BOB, "!fake set-relay")
    assert harness.bridge.books.relay((await harness.store.portals())[0].key) is None
    for user in (ALICE, EVE, mallory):
        assert "This takes an admin" in await said(harness, room, user, "!fake set-relay")
    harness.homeserver.rooms[room].state["m.room.power_levels", ""] = {"users": {EVE: 50}}
    assert "Which login" in await said(harness, room, EVE, "!fake set-relay mine")  # only the own
    assert "through Eve" in await said(harness, room, EVE, "!fake set-relay")
    assert "Which login? Name one of: eve, mine" in await said(harness, room, root, "!fake set-relay")
    assert "through Mine" in await said(harness, room, root, "!fake set-relay mine")
    await said(harness, room, BOB, "hi")
    assert [login for login, _ in harness.network.spoken] == [LOGIN]
    await harness.kill()


async def test_people_are_brought_in(harness: Harness) -> None:
    room = await harness.portal()
    assert f"{BOB} is invited" in await said(harness, room, ALICE, f"!fake invite {BOB}")
    assert harness.homeserver.rooms[room].members[BOB] == "invite"
    assert "Whom?" in await said(harness, room, ALICE, "!fake invite bob")


async def test_set_from_elsewhere_the_room_is_told(harness: Harness) -> None:
    room = await a_room(harness, relay=False)
    management = harness.homeserver.invite_bot(ALICE)
    await harness.settle()
    assert await said(harness, management, ALICE, f"set-relay {room}") == "Done; the room is told."
    assert "From now on" in harness.homeserver.bodies(room, notices=True)[-1]
    assert await said(harness, management, ALICE, f"unset-relay {room}") == "Done; the room is told."
    unknown = await said(harness, management, ALICE, "unset-relay !nowhere")
    theirs = harness.homeserver.invite_bot(EVE)
    await harness.settle()
    assert await said(harness, theirs, EVE, f"unset-relay {room}") == unknown


def test_nobody_takes_our_own_people_for_strangers() -> None:
    assert IDENTITY.ghosts.is_ghost(UserID("@fake_friend:test"))
