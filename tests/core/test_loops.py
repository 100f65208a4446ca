"""What is never relayed."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.loops import DEFAULT_IGNORE, MAX_SAME, REMEMBER, WITHIN_MS, Ignore, Repeats, never_relayed
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.versions import KEY
from bridgekit.model.ids import EventID, RoomID, TxnID, UserID

BOB, GHOST = UserID("@bob:x"), UserID("@other_7:x")
ROOM = RoomID("!room")


@pytest.mark.parametrize(
    "sender, content, why",
    [
        (BOB, {"msgtype": "m.text", "body": "hi"}, None),
        (BOB, {}, None),
        (BOB, {"msgtype": "m.notice", "body": "hi"}, "notice"),
        (BOB, {"msgtype": "m.text", KEY: "t"}, "bridged"),
        (BOB, {"msgtype": "m.text", "fi.mau.double_puppet_source": "telegram"}, "bridged"),
        (BOB, notice_content("said by a bridgekit bot", TxnID("t")), "notice"),
        ("@_slack_bob:x", {"msgtype": "m.text"}, "other_bridge"),
        ("@telegram_7:x", {"msgtype": "m.text"}, "other_bridge"),
        ("@whatsapp_49:other.test:8448", {"msgtype": "m.text"}, "other_bridge"),
        ("@signal.fan:x", {"msgtype": "m.text"}, None),
        ("@telegram:x", {"msgtype": "m.text"}, None),
    ],
)
def test_never_relayed(sender: str, content: dict[str, Any], why: str | None) -> None:
    assert never_relayed(content, UserID(sender), Ignore(DEFAULT_IGNORE)) == why


def test_patterns() -> None:
    ignore = Ignore(["@bridge-[ab]-*:x", "@bot?:*"])
    assert "@bridge-a-1:x" in ignore
    assert "@bot1:anywhere.test" in ignore
    assert "@bridge-c-1:x" not in ignore
    assert "@bot12:x" not in ignore
    assert BOB not in Ignore([])


class Room:
    def __init__(self) -> None:
        self.repeats = Repeats()
        self.now = 1_000_000
        self.count = 0

    def says(self, sender: UserID, body: str, *, prefix: str = "", after_ms: int = 100) -> bool:
        """Whether it is relayed."""
        self.now += after_ms
        self.count += 1
        event = EventID(f"${self.count}")
        comes_back = False
        for _ in range(2):  # a repeat of the same event is judged the same
            comes_back = self.repeats.comes_back(ROOM, event, sender, body, now=self.now)
            if not comes_back:
                self.repeats.relayed(ROOM, event, sender, body, f"{prefix}{body}", now=self.now)
        return not comes_back


def test_our_own_words_do_not_come_back() -> None:
    room = Room()
    assert room.says(BOB, "hi", prefix="Bob: ")
    assert not room.says(GHOST, "Bob: hi", prefix="Other: ")
    assert not room.says(GHOST, " Bob: hi\n", prefix="Other: ")
    assert room.says(GHOST, "hi", prefix="Other: ")
    assert room.says(GHOST, "Bob: hi", prefix="Other: ", after_ms=WITHIN_MS + 1)


def test_where_the_network_shows_names_the_same_words_stop_after_a_while() -> None:
    room = Room()
    assert [room.says(GHOST, "hi") for _ in range(MAX_SAME + 3)] == [True] * MAX_SAME + [False] * 3
    assert room.says(BOB, "hi")
    assert room.says(GHOST, "something else")
    assert room.says(GHOST, "hi", after_ms=WITHIN_MS + 1)


def test_it_remembers_so_much_and_no_more() -> None:
    repeats = Repeats()
    for number in range(REMEMBER * 2):
        repeats.relayed(ROOM, EventID(f"${number}"), BOB, str(number), f"Bob: {number}", now=0)
        repeats.relayed(RoomID(f"!{number}"), EventID("$"), BOB, "hi", "Bob: hi", now=0)
    assert not repeats.comes_back(ROOM, EventID("$x"), GHOST, "Bob: 0", now=0)
    assert not repeats.comes_back(RoomID("!0"), EventID("$x"), GHOST, "Bob: hi", now=0)
    assert repeats.comes_back(RoomID(f"!{REMEMBER * 2 - 1}"), EventID("$x"), GHOST, "Bob: hi", now=0)


def test_an_album_without_words_is_no_loop() -> None:
    room = Room()
    assert [room.says(BOB, "") for _ in range(MAX_SAME + 3)] == [True] * (MAX_SAME + 3)
    assert [room.says(BOB, " ", prefix="Bob: ") for _ in range(MAX_SAME + 3)] == [True] * (MAX_SAME + 3)
    assert not room.says(GHOST, "Bob:", prefix="Other: ")
