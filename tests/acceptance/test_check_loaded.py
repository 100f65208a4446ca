"""`check` where the homeserver has loaded something else than the file says, or is set up in a way that hurts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from bridgekit.cli import Exit
from bridgekit.testing.process import free_ports
from tests.support.check import Files, check_as_process, serving
from tests.support.homeserver import Homeserver

GIVE_IT: Final = (
    "Give the homeserver this very registration file (Synapse: app_service_config_files), and restart the homeserver."
)

Loaded = Callable[[dict[str, Any]], object]


def another_url(registration: dict[str, Any]) -> None:
    registration["url"] = f"http://127.0.0.1:{free_ports(1)[0]}"


def takes_others_names(registration: dict[str, Any]) -> None:
    """The ghosts of the first in the list, and the bot of the second."""
    taken = ["^@as00_.*:hs\\.test$", "^@as01bot:hs\\.test$"]
    registration["namespaces"]["users"] += [{"exclusive": True, "regex": regex} for regex in taken]


# What Synapse has loaded differs in this from what the file says. The place in the list is the slot's number.
LOADED: Final[dict[str, Loaded]] = {
    "its ghosts are another bridge's too": lambda r: None,
    "its bot is another bridge's too": lambda r: None,
    "the thief of both": takes_others_names,
    "nothing": lambda r: None,
    "as_token": lambda r: r.update(as_token="another"),
    "hs_token": lambda r: r.update(hs_token="another"),
    "id": lambda r: r.update(id="another"),
    "no url": lambda r: r.update(url=None),
    "url": another_url,
    "url of another program": another_url,
    "bot": lambda r: r.update(sender_localpart="anotherbot"),
    "ghosts": lambda r: r["namespaces"]["users"].pop(0),
    "not exclusive": lambda r: r["namespaces"]["users"][0].update(exclusive=False),
    "aliases": lambda r: r["namespaces"].update(aliases=[]),
    "rate limits": lambda r: r.update(rate_limited=True),
}

SYNAPSE: Final[dict[str, Any]] = {
    "encryption_enabled_by_default_for_room_type": "all",
    "max_event_delay_duration": None,
    "login_via_existing_session": {"enabled": False},
    "max_upload_size": "2M",
    "enable_registration": True,
    "enable_registration_without_verification": True,
    "rc_presence": {"per_user": {"per_second": 0.1, "burst_count": 1}},  # as it is by default
}

EVERYWHERE: Final = ["encryption"]
"""What fails on this Synapse for every bridge."""


@pytest.fixture(scope="module")
async def crooked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Homeserver]:
    """A Synapse with all of that."""
    homeserver = Homeserver(tmp_path_factory.mktemp("crooked"), slots=len(LOADED), config=SYNAPSE)
    loaded: list[dict[str, Any]] = []
    for slot, change in zip(homeserver.slots, LOADED.values(), strict=True):
        registration = Files(slot, homeserver.synapse.directory).registration
        change(registration)
        loaded.append(registration)
    homeserver.synapse.registrations = loaded
    async with homeserver.synapse:
        yield homeserver


@pytest.fixture
def on(crooked: Homeserver, tmp_path: Path) -> Callable[[str], Files]:
    """`on("url")`: the files of the bridge whose loaded registration differs in that."""

    def make(difference: str) -> Files:
        return Files(crooked.slots[list(LOADED).index(difference)], tmp_path / "bridge")

    return make


On = Callable[[str], Files]


async def test_the_homeserver_does_not_know_the_as_token(on: On) -> None:
    files = on("as_token")
    answer = await files.check()
    assert answer.code == Exit.CHECK_FAILED
    assert answer.named("FAIL") == ["as_token"]
    answer.expect(
        "as_token",
        "the homeserver does not know this as_token: it has not loaded the registration, or another one",
        where=f"{files.file}: as_token",
        fix=GIVE_IT,
    )
    # Told once; what hangs on it says so.
    assert "skip ping            not before as_token is mended\n" in answer.text
    assert "skip encryption      not before as_token is mended\n" in answer.text
    assert files.slot.as_token not in answer.text


async def test_the_homeserver_has_another_hs_token(on: On) -> None:
    files = on("hs_token")
    answer = await files.check()
    assert answer.named("FAIL") == ["hs_token", *EVERYWHERE]
    assert (
        f"FAIL hs_token        the homeserver reaches something at {files.slot.url}, but that answered" in answer.text
    )
    assert "answered the ping with status 403, saying" in answer.text
    assert (
        f"       where: {files.file}: hs_token\n"
        "       fix: The hs_token in the homeserver's copy of the registration is not the bridge's: give both the same "
        "registration file, and restart the homeserver.\n"
    ) in answer.text
    assert "skip ping            not before hs_token is mended\n" in answer.text


async def test_the_homeserver_has_another_id(on: On) -> None:
    files = on("id")
    answer = await files.check()
    assert answer.named("FAIL") == ["id", *EVERYWHERE]
    answer.expect(
        "id",
        f"the homeserver at {files.slot.homeserver_url} knows the as_token, but not for this bridge: Mismatching "
        "application service ID in path",
        where=f"{files.file}: id",
        fix="Give the bridge's registration file to the homeserver (its id must be the same in both), and restart "
        "the homeserver.",
    )


async def test_the_homeserver_has_no_url(on: On) -> None:
    files = on("no url")
    answer = await files.check()
    assert answer.named("FAIL") == ["ping", *EVERYWHERE]
    answer.expect(
        "ping",
        "the homeserver cannot reach the bridge: its copy of the registration has no url",
        where=f"{files.file}: url",
        fix=f"Set url in the registration to an address where the homeserver finds {files.slot.url}, and restart "
        "the homeserver.",
    )


async def test_the_homeserver_looks_elsewhere(on: On) -> None:
    files = on("url")
    answer = await files.check()
    assert answer.named("FAIL") == ["ping", *EVERYWHERE]
    assert f"FAIL ping            the homeserver cannot reach the bridge at {files.slot.url}: " in answer.text
    assert (
        f"       fix: The bridge listens on {files.slot.url}: set url in the registration to where the homeserver can "
        "reach that (in a container, localhost is the container itself; a redirect is not followed), and restart the "
        "homeserver.\n"
    ) in answer.text


async def test_another_program_answers_the_ping(on: On, crooked: Homeserver) -> None:
    async def yes(request: web.Request) -> web.Response:
        return web.json_response({})

    files = on("url of another program")
    loaded = crooked.synapse.registrations[crooked.slots.index(files.slot)]
    assert isinstance(loaded, dict)
    async with serving(yes, port=int(loaded["url"].rpartition(":")[2])):
        answer = await files.check()
    assert answer.named("FAIL") == ["ping", *EVERYWHERE]
    answer.expect(
        "ping",
        f"the homeserver pinged {files.slot.url} and was answered, but not by this bridge",
        where=f"{files.file}: url",
        fix="Another bridge, or an old process of this one, is there: stop it, or let url in the registration lead to "
        f"{files.slot.url}.",
    )


async def test_the_homeserver_has_another_bot(on: On) -> None:
    files = on("bot")
    answer = await files.check()
    assert answer.named("FAIL") == ["bot"]
    answer.expect(
        "bot",
        f"the homeserver takes the bot for @anotherbot, the file says @{files.slot.sender_localpart}",
        where=f"{files.file}: sender_localpart",
        fix=GIVE_IT,
    )


async def test_the_homeserver_has_other_namespaces(on: On) -> None:
    files = on("ghosts")
    answer = await files.check()
    ghost = files.slot.ghost("==check")
    assert answer.named("FAIL") == ["namespace", *EVERYWHERE]
    answer.expect(
        "namespace",
        f"the registration that the homeserver has loaded does not cover {ghost}; the file does",
        where=ghost,
        fix=GIVE_IT,
    )

    files = on("aliases")
    answer = await files.check()
    alias = f"#{files.slot.prefix}==check:hs.test"
    assert answer.named("FAIL") == [*EVERYWHERE, "room_alias"]
    answer.expect(
        "room_alias",
        f"the registration that the homeserver has loaded does not cover {alias}; the file does",
        where=alias,
        fix=GIVE_IT,
    )


async def test_the_loaded_namespace_is_not_exclusive(on: On) -> None:
    files = on("not exclusive")
    answer = await files.check()
    nobody = files.slot.ghost("==nobody")
    assert answer.named("FAIL") == ["exclusive", *EVERYWHERE]
    answer.expect(
        "exclusive",
        f"anybody may register {nobody}: the namespace that the homeserver has loaded is not exclusive",
        where=nobody,
        fix=GIVE_IT,
    )


async def test_another_bridge_has_the_same_names(on: On) -> None:
    files = on("its ghosts are another bridge's too")
    answer = await files.check()
    ghost = files.slot.ghost("==check")
    assert answer.named("FAIL") == ["namespace", *EVERYWHERE]
    answer.expect(
        "namespace",
        f"another bridge has {ghost} in its exclusive namespace too",
        where=ghost,
        fix="Take it out of the other bridge's registration, or choose another appservice.ghost_prefix, and restart "
        "the homeserver.",
    )

    files = on("its bot is another bridge's too")
    answer = await files.check()
    assert answer.named("FAIL") == ["bot"]
    answer.expect(
        "bot",
        f"another bridge has {files.slot.bot} in its exclusive namespace",
        where=f"{files.file}: sender_localpart",
        fix="Choose another sender_localpart, or take it out of the other bridge's namespace, and restart "
        "the homeserver.",
    )


async def test_the_homeserver_slows_the_ghosts_down(on: On) -> None:
    answer = await on("rate limits").check()
    assert answer.named("FAIL") == ["rate_limits", *EVERYWHERE]
    answer.expect(
        "rate_limits",
        "the homeserver slows the ghosts down, though the file says rate_limited: false",
        fix=GIVE_IT,
    )


async def test_the_homeserver_encrypts_by_itself_and_lacks_features(on: On) -> None:
    files = on("nothing")
    answer = await check_as_process(files.bridge)
    assert answer.code == Exit.CHECK_FAILED
    text = answer.text
    answer.expect(
        "encryption",
        "the homeserver encrypts every new room by itself, and the bridge cannot read what is encrypted",
        where="homeserver.yaml: encryption_enabled_by_default_for_room_type",
        fix='Write encryption_enabled_by_default_for_room_type: "off" in homeserver.yaml, and restart it.',
    )
    answer.expect(
        "delayed_events",
        "the homeserver sends no events later (MSC4140), so it cannot speak for a bridge that has died",
        fix="Switch it on (Synapse: max_event_delay_duration: 24h in homeserver.yaml).",
        label="warn",
    )
    answer.expect(
        "login_tokens",
        "people can get no login tokens from the homeserver (MSC3882)",
        fix="Switch it on (Synapse: login_via_existing_session: {enabled: true} in homeserver.yaml).",
        label="warn",
    )
    answer.expect(
        "media",
        "files over 2 MiB are refused by the homeserver",
        fix="Raise its limit (Synapse: max_upload_size).",
        label="warn",
    )
    assert "ok   exclusive       nobody else can register a name among the ghosts\n" in text
    assert "ok   rate_limits     the homeserver slows no ghost down\n" in text
    assert "\x1b[" not in text  # colours are for terminals
    assert "Traceback" not in text
    # The room is gone.
    async with files.slot.client() as bot:
        assert await bot.joined_rooms() == []
