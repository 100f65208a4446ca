"""A homeserver that misbehaves: every failure typed, waits bounded, repeats only where they do no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.wire import encode, path
from bridgekit.model.ids import ContentURI, EventID, RoomAlias, RoomID, TxnID, UserID
from tests.matrix.helpers import Answer, HeldClock, StandIn, answer, assert_never_logged, hang, reset, stand_in

log = logging.getLogger(__name__)

TOKEN = "as-token-secret"
SECRET = "a-secret-message-text"
ROOM, EVENT, TXN = RoomID("!r:hs.test"), EventID("$e"), TxnID("t1")
BOT, GHOST = UserID("@bot:hs.test"), UserID("@g_1:hs.test")


class Setup:
    def __init__(self, server: StandIn, timeout_s: float = 5.0) -> None:
        self.server = server
        self.clock = HeldClock()
        self.hs = Homeserver(
            url=server.url,
            as_token=TOKEN,
            server_name="hs.test",
            bot=BOT,
            appservice_id="as/1",
            clock=self.clock,
            random=lambda: 0.0,
            timeout_s=timeout_s,
        )


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with stand_in() as server:
        made = Setup(server)
        made.server.otherwise = answer(200, {"event_id": "$sent", "room_id": "!made", "user_id": BOT})
        yield made
        await made.hs.close()


def error(status: int, errcode: str = "M_UNKNOWN", **more: Any) -> Answer:
    headers = more.pop("headers", None)
    return answer(status, {"errcode": errcode, "error": "why", **more}, headers=headers)


async def send(hs: Homeserver, **options: Any) -> EventID:
    return await hs.send_event(ROOM, "m.room.message", {"body": SECRET}, txn_id=TXN, **options)


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_send_carries_token_user_and_device(setup: Setup) -> None:
    assert await send(setup.hs, user=GHOST, timestamp=77) == "$sent"
    (seen,) = setup.server.seen
    assert seen.method == "PUT"
    assert seen.path == "/_matrix/client/v3/rooms/%21r%3Ahs.test/send/m.room.message/t1"
    assert seen.query == {
        "user_id": GHOST,
        "device_id": "BRIDGEKIT",
        "org.matrix.msc3202.device_id": "BRIDGEKIT",
        "ts": "77",
    }
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.json == {"body": SECRET}


async def test_the_bot_names_itself_where_a_device_is_named(setup: Setup) -> None:
    await send(setup.hs, device_id="OTHER")
    assert (setup.server.seen[0].query["user_id"], setup.server.seen[0].query["device_id"]) == (BOT, "OTHER")
    await setup.hs.send_state(ROOM, "m.room.name", "", {})
    assert "user_id" not in setup.server.seen[1].query


@pytest.mark.parametrize(
    ("segment", "encoded"),
    [
        ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", "%2131hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"),
        ("#a:hs", "%23a%3Ahs"),
        ("@a/b=c+d:hs", "%40a%2Fb%3Dc%2Bd%3Ahs"),
        ("a b?c#d%e;f", "a%20b%3Fc%23d%25e%3Bf"),
        ("é\U0001f600", "%C3%A9%F0%9F%98%80"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("...", "..."),
        ("\ud800", "%3F"),
        ("", ""),
    ],
)
async def test_every_segment_stays_one_segment(setup: Setup, segment: str, encoded: str) -> None:
    await setup.hs.send_state(ROOM, "t", segment, {})
    assert setup.server.seen[0].path == f"/_matrix/client/v3/rooms/%21r%3Ahs.test/state/t/{encoded}"
    assert path(segment).endswith(f"/{encoded}")


async def test_a_homeserver_below_a_path(setup: Setup) -> None:
    for url in (f"{setup.server.url}/sub/path", f"{setup.server.url}/sub/path/"):
        hs = client(url)
        await hs.whoami()
        await hs.close()
        assert setup.server.seen[-1].path == "/sub/path/_matrix/client/v3/account/whoami"


def test_bodies_are_utf_8_and_lone_surrogates_are_replaced() -> None:
    assert encode({"a": "é\U0001f600"}) == '{"a":"é\U0001f600"}'.encode()
    assert encode({"a": "é\ud800x", "\udc00": [1, None]}) == '{"a":"é\ufffdx","\ufffd":[1,null]}'.encode()


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 2_000_000, b"x" * 27_000_000])
@pytest.mark.parametrize("mimetype", ["image/png", "application/json"])
async def test_an_upload_is_sent_as_it_is(setup: Setup, data: bytes, mimetype: str) -> None:
    setup.server.otherwise = answer(200, {"content_uri": "mxc://hs.test/1"})
    assert await setup.hs.upload(data, mimetype=mimetype, filename="ä\ud800/.png", user=GHOST) == "mxc://hs.test/1"
    (seen,) = setup.server.seen
    assert (seen.path, seen.body) == ("/_matrix/media/v3/upload", data)
    assert seen.query == {"filename": "ä?/.png", "user_id": GHOST}
    assert seen.headers["Content-Type"] == mimetype
    assert seen.headers.get("Content-Length") == str(len(data))


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_an_error_is_told_whole(setup: Setup) -> None:
    setup.server.otherwise = error(403, "M_FORBIDDEN", extra=5)
    with pytest.raises(MatrixRequestError) as caught:
        await send(setup.hs)
    e = caught.value
    assert (e.status, e.errcode, e.message, e.retry_after_ms) == (403, "M_FORBIDDEN", "why", None)
    assert e.data == {"errcode": "M_FORBIDDEN", "error": "why", "extra": 5}
    assert e.endpoint == "PUT /_matrix/client/v3/rooms/!r:hs.test/send/m.room.message/t1"
    assert len(setup.server.seen) == 1
    assert setup.hs.failures == 0


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>Bad Gateway</html>", b"\xff", b"[]", b"null", b'{"errcode": 5}', b'{"error": []}', b"[" * 99_999],
)
async def test_an_error_that_is_not_matrix_has_no_errcode(setup: Setup, raw: bytes) -> None:
    setup.server.otherwise = answer(418, raw=raw)
    with pytest.raises(MatrixRequestError) as caught:
        await setup.hs.whoami()
    assert (caught.value.status, caught.value.errcode) == (418, "M_UNKNOWN")
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(setup: Setup, status: int) -> None:
    setup.server.otherwise = answer(status, raw=b"", headers={"Location": "https://elsewhere.test/"})
    with pytest.raises(MatrixRequestError) as caught:
        await send(setup.hs)
    assert "https://elsewhere.test/" in caught.value.message
    assert len(setup.server.seen) == 1


async def test_a_lone_surrogate_in_an_answer(setup: Setup) -> None:
    setup.server.otherwise = answer(200, raw=b'{"displayname": "a\\ud800"}')
    assert (await setup.hs.get_profile(GHOST)).displayname == "a\ufffd"


# --- 429 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "asked"),
    [
        ({}, {}, 0.0),
        ({}, {"retry_after_ms": 2500}, 2.5),
        ({"Retry-After": "3"}, {}, 3.0),
        ({"Retry-After": "3"}, {"retry_after_ms": 2500}, 3.0),
        ({"Retry-After": "1"}, {"retry_after_ms": 2500}, 2.5),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:25 GMT"}, {}, 5.0),  # the held clock says 22:13:20
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:15 GMT"}, {}, 0.0),
        ({"Retry-After": "soon"}, {"retry_after_ms": "x"}, 0.0),
        ({"Retry-After": "-5"}, {"retry_after_ms": -5}, 0.0),
        ({}, {"retry_after_ms": True}, 0.0),
        ({}, {"retry_after_ms": None}, 0.0),
    ],
)
async def test_the_wait_that_was_asked_for_is_kept(
    setup: Setup, headers: dict[str, str], body: dict[str, Any], asked: float
) -> None:
    setup.server.answers.append(error(429, "M_LIMIT_EXCEEDED", headers=headers, **body))
    assert await send(setup.hs) == "$sent"
    (slept,) = setup.clock.slept
    assert asked <= slept <= max(asked, 0.5)
    assert setup.server.seen[0] == setup.server.seen[1]


@pytest.mark.parametrize("body", [{"retry_after_ms": 86_400_000}, {"retry_after_ms": 30_001}])
async def test_a_long_wait_is_the_callers(setup: Setup, body: dict[str, Any]) -> None:
    setup.server.otherwise = error(429, "M_LIMIT_EXCEEDED", **body)
    with pytest.raises(MatrixRequestError) as caught:
        await send(setup.hs)
    assert caught.value.retry_after_ms == body["retry_after_ms"]
    assert (setup.clock.slept, len(setup.server.seen)) == ([], 1)


async def test_a_server_that_always_says_429_is_given_up(setup: Setup) -> None:
    setup.server.otherwise = error(429, "M_LIMIT_EXCEEDED", retry_after_ms=30_000)
    with pytest.raises(MatrixRequestError) as caught:
        await send(setup.hs)
    assert (caught.value.status, caught.value.retry_after_ms) == (429, 30_000)
    assert (setup.clock.slept, len(setup.server.seen)) == ([30.0] * 3, 4)
    assert setup.hs.failures == 0


# --- no answer --------------------------------------------------------------------------------------------------------

GARBAGE = [answer(200, raw=b"<html>"), answer(200, raw=b""), answer(200, raw=b"[]"), answer(200, raw=b"[" * 99_999)]


@pytest.mark.parametrize("bad", [reset, error(502), error(503), error(504), answer(502, raw=b"<html>"), *GARBAGE])
async def test_what_a_repeat_does_not_harm_is_repeated(setup: Setup, bad: Answer) -> None:
    setup.server.answers.extend([bad, bad])
    assert await send(setup.hs) == "$sent"
    assert setup.hs.failures == 2
    assert len(setup.clock.slept) == 2
    assert {seen.path for seen in setup.server.seen} == {setup.server.seen[0].path}


@pytest.mark.parametrize("status", [500, 501])
async def test_a_500_is_not_repeated_but_counted(setup: Setup, status: int) -> None:
    setup.server.otherwise = error(status)
    with pytest.raises(MatrixRequestError):
        await send(setup.hs)
    assert (len(setup.server.seen), setup.hs.failures) == (1, 1)


async def test_the_pauses_grow_and_the_tries_end(setup: Setup) -> None:
    setup.server.otherwise = error(503)
    with pytest.raises(MatrixRequestError) as caught:
        await send(setup.hs)
    assert caught.value.status == 503
    assert setup.clock.slept == [0.25, 0.5, 1.0]
    assert setup.hs.failures == 4


async def test_nobody_there(setup: Setup) -> None:
    async with stand_in() as gone:
        pass
    setup.hs = Setup(gone).hs
    with pytest.raises(HomeserverUnreachable) as caught:
        await send(setup.hs)
    assert not caught.value.timed_out
    assert caught.value.endpoint.startswith("PUT /_matrix")
    await setup.hs.close()


def client(url: str) -> Homeserver:
    return Homeserver(
        url=url,
        as_token=TOKEN,
        server_name="hs.test",
        bot=BOT,
        appservice_id="as",
        clock=HeldClock(),
        random=lambda: 0.0,
    )


async def test_a_name_that_leads_nowhere() -> None:
    hs = client("http://no-such-host.invalid")
    with pytest.raises(HomeserverUnreachable):
        await hs.whoami()
    await hs.close()


@pytest.mark.parametrize("url", ["http://[::1", "http://hs.test:x", "nonsense", "hs.test:8008", "ftp://hs.test", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError):
        client(url)


async def test_a_timeout_is_typed_and_repeated(setup: Setup) -> None:
    hs = Setup(setup.server, timeout_s=0.05).hs
    setup.server.answers.append(hang)
    assert await send(hs) == "$sent"
    setup.server.otherwise = hang
    with pytest.raises(HomeserverUnreachable) as caught:
        await send(hs)
    assert caught.value.timed_out
    assert len(setup.server.seen) == 6
    await hs.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda hs: hs.create_room(name="x"),
        lambda hs: hs.upload(b"x", mimetype="image/png"),
        lambda hs: hs.ping("x"),
    ],
)
@pytest.mark.parametrize("bad", [reset, error(502), error(503), GARBAGE[0]])
async def test_what_a_repeat_could_double_is_sent_once(
    setup: Setup, call: Callable[[Homeserver], Awaitable[object]], bad: Answer
) -> None:
    setup.server.otherwise = bad
    with pytest.raises(HomeserverError):
        await call(setup.hs)
    assert (len(setup.server.seen), setup.clock.slept) == (1, [])


async def test_a_room_is_not_even_made_again_after_429_but_an_upload_is(setup: Setup) -> None:
    setup.server.otherwise = error(429, "M_LIMIT_EXCEEDED")
    with pytest.raises(MatrixRequestError):
        await setup.hs.create_room()
    assert len(setup.server.seen) == 1
    setup.server.answers.append(error(429, "M_LIMIT_EXCEEDED"))
    setup.server.otherwise = answer(200, {"content_uri": "mxc://hs.test/1"})
    assert await setup.hs.upload(b"x", mimetype="image/png") == "mxc://hs.test/1"


async def test_a_cancelled_call_ends_at_once_and_the_next_one_works(setup: Setup) -> None:
    reached = asyncio.Event()

    async def never(request: Any) -> Any:
        reached.set()
        return await hang(request)

    setup.server.answers.append(never)
    sending = asyncio.ensure_future(send(setup.hs))
    await reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await send(setup.hs) == "$sent"
    assert setup.hs.failures == 0


async def test_many_at_once_each_get_their_own_answer(setup: Setup) -> None:
    async def echo(request: Any) -> Any:
        return await answer(200, {"event_id": f"${request.path.rsplit('/', 1)[1]}"})(request)

    setup.server.otherwise = echo
    sent = await asyncio.gather(
        *(setup.hs.send_event(ROOM, "t", {}, txn_id=TxnID(str(n)), user=GHOST) for n in range(200))
    )
    assert sent == [f"${n}" for n in range(200)]


# --- failure and recovery ---------------------------------------------------------------------------------------------


async def test_listeners_hear_of_each_failure_and_of_the_first_answer_after_it(setup: Setup) -> None:
    heard: list[str] = []
    setup.hs.on_failure.append(lambda: heard.append("failure"))
    setup.hs.on_recovered.append(lambda: heard.append("recovered"))
    await send(setup.hs)
    assert heard == []
    setup.server.answers.extend([reset, error(503)])
    await send(setup.hs)
    await send(setup.hs)
    assert heard == ["failure", "failure", "recovered"]
    setup.server.answers.extend([error(500), error(404, "M_NOT_FOUND")])
    for _ in range(2):
        with pytest.raises(MatrixRequestError):
            await send(setup.hs)
    assert heard[3:] == ["failure", "recovered"]  # a 404 is an answer too


async def test_a_failed_ping_is_no_failure_of_the_homeserver(setup: Setup) -> None:
    setup.server.otherwise = error(502, "M_CONNECTION_FAILED")
    with pytest.raises(MatrixRequestError):
        await setup.hs.ping("x")
    assert setup.hs.failures == 0
    setup.server.otherwise = reset
    with pytest.raises(HomeserverUnreachable):
        await setup.hs.ping("x")
    assert setup.hs.failures == 1


# --- devices ----------------------------------------------------------------------------------------------------------


async def test_a_device_that_is_missing_is_made_once(setup: Setup) -> None:
    setup.server.answers.append(error(400, "M_UNKNOWN_DEVICE"))
    assert await send(setup.hs, user=GHOST) == "$sent"
    first, made, again = setup.server.seen
    assert (made.method, made.path) == ("PUT", "/_matrix/client/v3/devices/BRIDGEKIT")
    assert made.query == {"user_id": GHOST}
    assert again == first


async def test_a_homeserver_that_makes_no_devices_is_sent_to_without(setup: Setup) -> None:
    setup.server.answers.extend([error(400, "ORG.MATRIX.MSC3202.UNKNOWN_DEVICE"), error(404, "M_UNRECOGNIZED")])
    assert await send(setup.hs, user=GHOST) == "$sent"
    assert await send(setup.hs, user=GHOST) == "$sent"
    assert [seen.query for seen in setup.server.seen[2:]] == [{"user_id": GHOST}] * 2


# --- answers that say "already so" or "not there" ---------------------------------------------------------------------


async def test_what_is_not_there_is_none(setup: Setup) -> None:
    setup.server.otherwise = error(404, "M_NOT_FOUND")
    assert await setup.hs.get_state(ROOM, "t", "") is None
    assert await setup.hs.get_event(ROOM, EVENT) is None
    assert await setup.hs.resolve_alias(RoomAlias("#a:hs.test")) is None
    await setup.hs.delete_alias(RoomAlias("#a:hs.test"))
    assert (await setup.hs.get_profile(GHOST)).displayname is None


async def test_a_server_that_does_not_know_the_call_is_not_taken_for_that(setup: Setup) -> None:
    setup.server.otherwise = error(404, "M_UNRECOGNIZED")
    calls: list[Awaitable[object]] = [
        setup.hs.get_state(ROOM, "t", ""),
        setup.hs.get_event(ROOM, EVENT),
        setup.hs.resolve_alias(RoomAlias("#a:hs.test")),
        setup.hs.delete_alias(RoomAlias("#a:hs.test")),
        setup.hs.get_profile(GHOST),
    ]
    for call in calls:
        with pytest.raises(MatrixRequestError):
            await call


async def test_register_asks_for_no_login(setup: Setup) -> None:
    setup.server.answers.append(error(400, "M_USER_IN_USE"))
    assert await setup.hs.register("g_1") == GHOST
    assert setup.server.seen[0].json == {
        "type": "m.login.application_service",
        "username": "g_1",
        "inhibit_login": True,
    }
    setup.server.answers.append(error(400, "M_EXCLUSIVE"))
    with pytest.raises(MatrixRequestError):
        await setup.hs.register("g_1")


@pytest.mark.parametrize(
    ("membership", "invited", "left", "kicked"),
    [
        ("join", True, False, False),
        ("invite", True, False, False),
        ("leave", False, True, True),
        (None, False, True, True),
    ],
)
async def test_a_403_is_success_where_it_is_already_so(
    setup: Setup, membership: str | None, invited: bool, left: bool, kicked: bool
) -> None:
    state = error(404, "M_NOT_FOUND") if membership is None else answer(200, {"membership": membership})

    async def works(call: Awaitable[None]) -> bool:
        setup.server.answers.extend([error(403, "M_FORBIDDEN"), state])
        try:
            await call
        except MatrixRequestError:
            return False
        return True

    assert await works(setup.hs.invite(ROOM, GHOST)) is invited
    assert await works(setup.hs.invite(ROOM, GHOST, is_direct=True)) is invited
    assert await works(setup.hs.leave(ROOM, user=GHOST)) is left
    assert await works(setup.hs.kick(ROOM, GHOST)) is kicked


async def test_a_403_stays_one_where_nothing_can_be_found_out(setup: Setup) -> None:
    setup.server.otherwise = error(403, "M_FORBIDDEN")
    calls: list[Awaitable[None]] = [setup.hs.invite(ROOM, GHOST), setup.hs.leave(ROOM), setup.hs.kick(ROOM, GHOST)]
    for call in calls:
        with pytest.raises(MatrixRequestError):
            await call


async def test_a_page_with_what_cannot_be_read(setup: Setup) -> None:
    good = b'{"event_id":"$1","room_id":"!r","sender":"@a:b","type":"t","content":{"x":"\\ud800"}}'
    deep = b'{"event_id":"$2","content":' + b"[" * 9999 + b"]" * 9999 + b"}"
    setup.server.otherwise = answer(200, raw=b'{"chunk":[' + good + b",5," + deep + b'],"start":"s","end":"e"}')
    page = await setup.hs.messages(ROOM, from_="f", dir="f", limit=7)
    assert ([e.event_id for e in page.chunk], page.malformed, page.start, page.end) == (["$1"], 2, "s", "e")
    assert setup.server.seen[0].query == {"dir": "f", "limit": "7", "from": "f"}


@pytest.mark.parametrize("raw", [b"{}", b'{"chunk":5}', b"[]", b"<html>", b'{"chunk":[],"start":5}'])
async def test_a_page_that_is_none(setup: Setup, raw: bytes) -> None:
    setup.server.otherwise = answer(200, raw=raw)
    with pytest.raises(HomeserverUnreachable):
        await setup.hs.messages(ROOM)


async def test_join_over_other_servers(setup: Setup) -> None:
    await setup.hs.join(RoomID("!x"), via=["a.test", "b.test"])
    assert setup.server.seen[0].path == "/_matrix/client/v3/join/%21x"
    assert setup.server.seen[0].query_string == "via=a.test&via=b.test&server_name=a.test&server_name=b.test"


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_neither_token_nor_body_is_ever_logged(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    for bad in (reset, error(503), error(429), error(403), answer(200, raw=b"<html>"), answer(302), answer()):
        setup.server.answers.append(bad)
        try:
            await send(setup.hs, user=GHOST)
        except HomeserverError:
            log.exception("as the runtime may log it")
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    assert_never_logged(caplog, TOKEN, SECRET)


async def test_profile_and_avatar(setup: Setup) -> None:
    await setup.hs.set_displayname(None, "n\ud800")
    await setup.hs.set_avatar_url(GHOST, ContentURI("mxc://hs.test/1"))
    name, avatar = setup.server.seen
    assert (name.path, name.query) == ("/_matrix/client/v3/profile/%40bot%3Ahs.test/displayname", {})
    assert name.json == {"displayname": "n\ufffd"}
    assert (avatar.query, avatar.json) == ({"user_id": GHOST}, {"avatar_url": "mxc://hs.test/1"})
