"""What clients read of a portal's network. Each test with `mapped` is a row of docs/mappings/features.md."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import msgspec

from bridgekit.core.features import FALLBACK, FILES, FORMATTING, FULL, REJECTED, Abilities, room_features
from bridgekit.model.content import Style
from bridgekit.model.limits import Limits
from bridgekit.model.media import MediaKind
from tests.core.mapped import mapped

mapped = functools.partial(mapped, "features")
ALL = Abilities(edits=True, deletes=True, reacts=True, files=True, receipts=True, typing=True)


def features(can: Abilities = ALL, **limits: Any) -> dict[str, Any]:
    return room_features(can, Limits(**limits))


@mapped("`Limits.formatting`", "`formatting`: 2 for what the network shows, 0 for what becomes plain text")
def test_formatting() -> None:
    found = features(formatting=frozenset({Style.BOLD, Style.LIST_ITEM, Style.SPOILER}))["formatting"]
    shown = {"bold", "unordered_list", "ordered_list", "ordered_list.start", "spoiler", "spoiler.reason"}
    assert {name for name, level in found.items() if level == FULL} == {*shown, "user_link"}
    assert set(found.values()) == {FULL, FALLBACK}
    assert set(FORMATTING) == set(Style)


@mapped("mentions", "`formatting.user_link` is 2, `formatting.at_room_mention` 2 where `Limits.room_mentions`, else 0")
def test_mentions() -> None:
    formatting = features(room_mentions=True)["formatting"]
    assert formatting["at_room_mention"] == formatting["user_link"] == FULL
    assert features(room_mentions=False)["formatting"]["at_room_mention"] == FALLBACK


@mapped("`Limits.max_text_length`", "nothing: a longer text crosses in several messages")
def test_length() -> None:
    assert features(max_text_length=10) == features()


@mapped(
    "`Limits.replies`, `Limits.threads`", "`reply`, `thread`: 2, or 0: a thread becomes a reply, a reply a quotation"
)
def test_replies() -> None:
    assert [features(replies=has, threads=has)[name] for has in (True, False) for name in ("reply", "thread")] == [
        FULL, FULL, FALLBACK, FALLBACK,
    ]  # fmt: skip


@mapped(
    "`CanEdit`, `Limits.edit_within`, `Limits.edits_per_message`",
    "`edit`: 2 or -2; `edit_max_age` in seconds, `edit_max_count`",
)
def test_edits() -> None:
    found = features(edit_within=timedelta(minutes=15), edits_per_message=5)
    assert (found["edit"], found["edit_max_age"], found["edit_max_count"]) == (FULL, 900, 5)
    assert not {"edit_max_age", "edit_max_count"} & set(features())
    none = features(Abilities(), edit_within=timedelta(minutes=15))
    assert none["edit"] == REJECTED and "edit_max_age" not in none


@mapped("`CanDelete`, `Limits.delete_within`", "`delete`: 2 or -2; `delete_max_age` in seconds")
def test_deletions() -> None:
    found = features(delete_within=timedelta(hours=1))
    assert (found["delete"], found["delete_max_age"]) == (FULL, 3600)
    assert "delete_max_age" not in features()
    assert features(Abilities())["delete"] == REJECTED


@mapped(
    "`CanReact`, `Limits.reactions`, `Limits.reactions_per_person`",
    "`reaction`: 2 or -2; `allowed_reactions`, with U+FE0F as Matrix writes it; `reaction_count`; "
    "`custom_emoji_reactions` is false",
)
def test_reactions() -> None:
    found = features(reactions=frozenset({"👍", "🎉", "❤"}), reactions_per_person=1)
    assert (found["reaction"], found["reaction_count"], found["custom_emoji_reactions"]) == (FULL, 1, False)
    assert found["allowed_reactions"] == ["❤\ufe0f", "🎉", "👍\ufe0f"]
    assert not {"allowed_reactions", "reaction_count"} & set(features())
    assert features(Abilities(), reactions=frozenset({"👍"}))["reaction"] == REJECTED


@mapped(
    "`CanUploadMedia`, `Limits.media`, `Limits.max_media_size`, `Limits.captions`",
    "`file`: each kind that can cross, with `max_size` in bytes and `caption` 2 or 0; what is not there is refused",
)
def test_files() -> None:
    assert "file" not in features(Abilities())
    assert set(features()["file"]) == {name for names in FILES.values() for name in names}
    assert set(FILES) == set(MediaKind)
    found = features(media=frozenset({MediaKind.IMAGE}), max_media_size=1 << 20, captions=False)["file"]
    one = {"mime_types": {"*/*": FULL}, "caption": FALLBACK, "max_size": 1 << 20}
    assert found == {"m.image": one, "fi.mau.gif": one}


@mapped("`Limits.locations`; polls", "`location_message`: 2 or -2; `poll`: -2")
def test_others() -> None:
    assert [features(locations=has)["location_message"] for has in (True, False)] == [FULL, REJECTED]
    assert features()["poll"] == REJECTED


@mapped("`CanMarkRead`, `CanType`", "`read_receipts`, `typing_notifications`")
def test_what_passes() -> None:
    names = ("read_receipts", "typing_notifications")
    assert [features()[name] for name in names] == [True, True]
    assert [features(Abilities())[name] for name in names] == [False, False]


@mapped(
    "`CanRename`, `CanSetAvatar`, `CanSetRole`",
    "`state`: for `m.room.name` and `m.room.topic`, `m.room.avatar`, `m.room.power_levels`, `level` 2 or -2",
)
def test_what_may_be_changed() -> None:
    ways: tuple[tuple[Abilities, set[str]], ...] = (
        (Abilities(), set()),
        (Abilities(renames=True), {"m.room.name", "m.room.topic"}),
        (Abilities(pictures=True), {"m.room.avatar"}),
        (Abilities(roles=True), {"m.room.power_levels"}),
    )
    for can, types in ways:
        state = features(can)["state"]
        assert {type for type, found in state.items() if found == {"level": FULL}} == types
        assert {type for type, found in state.items() if found == {"level": REJECTED}} == set(state) - types
        assert len(state) == 4


@mapped(
    "`CanInvite`, `CanRemove`, `CanLeave`",
    "`member_actions`: `invite`; `kick` and `ban`; 2 or -2; `leave`: 2, or 0: only the room is left",
)
def test_who_may_come_and_go() -> None:
    none = {"invite": REJECTED, "kick": REJECTED, "ban": REJECTED, "leave": FALLBACK}
    assert features(Abilities())["member_actions"] == none
    assert features(Abilities(invites=True))["member_actions"] == none | {"invite": FULL}
    assert features(Abilities(removes=True))["member_actions"] == none | {"kick": FULL, "ban": FULL}
    assert features(Abilities(leaves=True))["member_actions"] == none | {"leave": FULL}


def test_the_same_is_the_same_content() -> None:
    emoji = frozenset({"👍", "🎉", "❤", "😀", "😂"})
    first, second = (msgspec.json.encode(features(reactions=frozenset(order))) for order in (emoji, sorted(emoji)))
    assert first == second
