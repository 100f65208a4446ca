"""Which files become words when they are late, and when."""

from __future__ import annotations

import pytest

from bridgekit.core.media_contents import FileEvent
from bridgekit.core.media_info import file_content
from bridgekit.core.media_late import AFTER_MS, words_at
from bridgekit.core.reservation import Place
from bridgekit.model.ids import ContentURI
from bridgekit.model.media import MediaKind, MediaRef

PLACE = Place(ContentURI("mxc://hs.test/abc"), 1_000)


def event(kind: MediaKind, note: str = "") -> FileEvent:
    return FileEvent(base=file_content(MediaRef("1", kind=kind)), uri=PLACE.uri, note=note)


@pytest.mark.parametrize("kind", [MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.VOICE])
def test_what_clients_fetch_to_show_it(kind: MediaKind) -> None:
    assert words_at(event(kind), PLACE, 1_500) == 1_500 + AFTER_MS
    assert words_at(event(kind, note="on its way"), PLACE, 1_500) is None
    assert words_at(event(kind), None, 1_500) is None


@pytest.mark.parametrize("kind", [MediaKind.FILE, MediaKind.STICKER])
def test_what_they_do_not_or_what_cannot_be_edited(kind: MediaKind) -> None:
    assert words_at(event(kind), PLACE, 1_500) is None


def test_a_new_place_has_its_own_time() -> None:
    assert words_at(event(MediaKind.IMAGE), PLACE, 500) == PLACE.since + AFTER_MS


def test_words_or_bytes_come_before_a_client_gives_up() -> None:
    assert AFTER_MS < 20_000
