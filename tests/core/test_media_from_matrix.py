"""Files and places as Matrix clients send them, and as nobody should."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.from_matrix import ReadEdit, ReadText, Unreadable, read_message
from bridgekit.core.media_from_matrix import ReadFile, location_words, read_location
from bridgekit.model.content import Mention, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID
from bridgekit.model.media import Location, MediaKind

VERA = MentionUser(RemoteUserID("vera"))
URL = "mxc://hs.test/abc"


def resolve(user: str) -> MentionTarget | None:
    return VERA if user == "@g_vera:hs" else None


def read(content: Any, type: str = "m.room.message") -> ReadText | ReadEdit | Unreadable:
    return read_message(msgspec.json.encode({"type": type, "content": content}), resolve=resolve)


def file(**content: Any) -> ReadFile:
    result = read({"msgtype": "m.file", "body": "a.bin", "url": URL, **content})
    assert isinstance(result, ReadText), result
    assert result.file is not None
    return result.file


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"msgtype": "m.image"}, MediaKind.IMAGE),
        ({"msgtype": "m.video"}, MediaKind.VIDEO),
        ({"msgtype": "m.audio"}, MediaKind.AUDIO),
        ({"msgtype": "m.audio", "org.matrix.msc3245.voice": {}}, MediaKind.VOICE),
        ({"msgtype": "m.file"}, MediaKind.FILE),
        ({"msgtype": "m.file", "org.matrix.msc3245.voice": {}}, MediaKind.FILE),
    ],
)
def test_kinds(content: Any, kind: MediaKind) -> None:
    assert file(**content).kind is kind


def test_a_picture_with_everything() -> None:
    info = {"mimetype": "image/PNG; x=y", "size": 7, "w": 640, "h": 480, "duration": 12, "thumbnail_url": "mxc://x/y"}
    assert file(msgtype="m.image", body="cat.png", info=info) == ReadFile(
        kind=MediaKind.IMAGE,
        uri=URL,  # type: ignore[arg-type]
        name="cat.png",
        mimetype="image/png",
        size=7,
        width=640,
        height=480,
        duration_ms=12,
    )


def test_a_sticker() -> None:
    info = {"mimetype": "image/webp", "w": 5, "h": 5}
    result = read({"body": "a cat waves", "url": URL, "info": info}, "m.sticker")
    assert isinstance(result, ReadText)
    found = result.file
    assert found is not None
    assert (found.kind, found.name, found.has_caption, found.width) == (MediaKind.STICKER, "a cat waves", False, 5)


def test_a_voice_message() -> None:
    audio = {"duration": 1500, "waveform": [0, 512, 1024.0]}
    found = file(**{"msgtype": "m.audio", "org.matrix.msc3245.voice": {}, "org.matrix.msc1767.audio": audio})
    assert (found.duration_ms, found.waveform) == (1500, (0, 512, 1024))


@pytest.mark.parametrize(
    ("content", "name", "caption"),
    [
        ({"body": "cat.png"}, "cat.png", ""),
        ({"body": "cat.png", "filename": "cat.png"}, "cat.png", ""),
        ({"body": "look at her", "filename": "cat.png"}, "cat.png", "look at her"),
        ({"body": "look at her", "filename": ""}, "look at her", ""),
        ({"body": "look at her", "filename": None}, "look at her", ""),
        ({"body": "  ", "filename": "cat.png"}, "cat.png", ""),
        ({"body": None, "filename": "cat.png"}, "cat.png", ""),
        ({"body": None}, "image.png", ""),
        ({"body": ""}, "image.png", ""),
    ],
)
def test_names_and_captions(content: Any, name: str, caption: str) -> None:
    result = read({"msgtype": "m.image", "url": URL, "info": {"mimetype": "image/png"}, **content})
    assert isinstance(result, ReadText), result
    assert result.file is not None
    assert (result.file.name, result.text.body) == (name, caption)


def test_a_caption_is_a_text_like_any_other() -> None:
    result = read(
        {
            "msgtype": "m.image",
            "url": URL,
            "filename": "cat.png",
            "body": "> <@a:hs> which cat?\n\nthis one, Vera",
            "format": "org.matrix.custom.html",
            "formatted_body": '<b>this</b> one, <a href="https://matrix.to/#/@g_vera:hs">Vera</a>',
            "m.mentions": {"user_ids": ["@g_vera:hs"]},
            "m.relates_to": {"rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": {"event_id": "$e"}},
        }
    )
    assert isinstance(result, ReadText)
    assert result.text == Text("this one, Vera", (Run(0, 4, Style.BOLD),), (Mention(10, 14, VERA),))
    assert (result.reply_to, result.thread, result.hidden) == ("$e", "$root", ())


def test_a_file_without_a_caption_can_answer_and_notify() -> None:
    result = read(
        {
            "msgtype": "m.image",
            "url": URL,
            "body": "cat.png",
            "m.mentions": {"user_ids": ["@g_vera:hs"]},
            "m.relates_to": {"m.in_reply_to": {"event_id": "$e"}},
        }
    )
    assert isinstance(result, ReadText)
    assert (result.text, result.reply_to, result.hidden) == (Text(), "$e", (VERA,))


@pytest.mark.parametrize(("body", "caption"), [("better words", "better words"), ("cat.png", "")])
def test_an_edited_caption(body: str, caption: str) -> None:
    result = read(
        {
            "msgtype": "m.image",
            "url": URL,
            "body": "* x",
            "m.new_content": {"msgtype": "m.image", "url": URL, "filename": "cat.png", "body": body},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$e"},
        }
    )
    assert isinstance(result, ReadEdit)
    assert (result.target, result.text.body, result.file is not None) == ("$e", caption, True)


@pytest.mark.parametrize("msgtype", ["m.image", "m.video", "m.audio", "m.file"])
def test_an_encrypted_file_is_refused_in_words(msgtype: str) -> None:
    for url in ({}, {"url": URL}):
        result = read({"msgtype": msgtype, "body": "x", "file": {"url": URL, "key": {}, "iv": "", "hashes": {}}, **url})
        assert isinstance(result, Unreadable)
        assert (result.code, "encrypted" in result.reason) == ("encrypted", True)


@pytest.mark.parametrize(
    "url", [None, "", 5, [URL], "https://hs.test/a", "mxc://../admin", "mxc://hs.test/%2e%2e", "mxc://hs.test/a?b"]
)
@pytest.mark.parametrize("type", ["m.room.message", "m.sticker"])
def test_a_file_without_an_address_fails_in_words(url: object, type: str) -> None:
    result = read({"msgtype": "m.image", "body": "x", "url": url}, type)
    assert isinstance(result, Unreadable)
    assert result.code == "bad_content"
    assert "file" in result.reason


@pytest.mark.parametrize("value", [-1, "7", None, True, [], {}, 1.5e300, float(2**60), -0.5])
def test_numbers_that_are_none(value: object) -> None:
    found = file(info={"size": value, "w": value, "h": value, "duration": value})
    assert (found.size, found.width, found.height, found.duration_ms) == (None, None, None, None)


def test_fractions_and_noughts() -> None:
    found = file(info={"size": 0, "w": 0, "h": 3.0, "duration": 12.7})
    assert (found.size, found.width, found.height, found.duration_ms) == (0, None, 3, 12)


@pytest.mark.parametrize("waveform", [None, 5, "x", {}, ["1"], [1, -1], [1, 1025], [True], [[1]]])
def test_waveforms_that_are_none(waveform: object) -> None:
    voice = {"msgtype": "m.audio", "org.matrix.msc3245.voice": {}}
    assert file(**voice, **{"org.matrix.msc1767.audio": {"waveform": waveform}}).waveform == ()
    long = file(**voice, **{"org.matrix.msc1767.audio": {"waveform": [1] * 100_000}}).waveform
    assert len(long) == 1024


@pytest.mark.parametrize("info", [None, 5, [], "x"])
def test_info_that_is_none(info: object) -> None:
    assert file(info=info, **{"org.matrix.msc1767.audio": info}).mimetype == ""


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\evil.exe", "evil.exe"),
        ("a\x00b\x1b[31m\nc.txt", "a\ufffdb [31m c.txt"),
        ("photo\u202egpj.exe", "photo gpj.exe"),
        ("..", "file"),
        ("/", "file"),
    ],
)
def test_names_fit_for_a_file_system(said: str, name: str) -> None:
    assert file(body=said).name == name


def test_a_huge_name() -> None:
    name = file(body="x" * 70_000 + ".txt").name
    assert len(name) <= 255
    assert name.endswith(".txt")


@given(st.text())
def test_no_name_is_too_strange(said: str) -> None:
    name = file(body=said).name
    assert name
    assert not set(name) & set("/\\\0\n")
    assert name not in (".", "..")


# --- places -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("geo:51.5,-0.25", Location(51.5, -0.25)),
        ("geo:51,0,12.5", Location(51.0, 0.0)),
        ("geo:51.5,-0.25;u=35", Location(51.5, -0.25, 35.0)),
        ("GEO:51.5,-0.25;CRS=WGS84;U=1.5;x=y", Location(51.5, -0.25, 1.5)),
        ("geo:51.5,-0.25;crs=other", None),
        ("geo:91,0", None),
        ("geo:0,181", None),
        ("geo:1", None),
        ("geo:1,2,3,4", None),
        ("geo:nan,0", None),
        ("geo:1e5,0", None),
        ("geo:\u0661,0", None),
        ("https://example.org", None),
        (5, None),
        (None, None),
    ],
)
def test_places(uri: object, place: Location | None) -> None:
    assert read_location({"geo_uri": uri}) == place
    assert read_location({"geo_uri": 0, "org.matrix.msc3488.location": {"uri": uri}}) == place
    result = read({"msgtype": "m.location", "body": "the pub", "geo_uri": uri})
    assert result == ReadText(text=Text("the pub"), location=place)


def test_a_place_in_words() -> None:
    place = Location(51.5, -0.1234567)
    assert location_words(place, "the pub") == "the pub\nhttps://www.openstreetmap.org/?mlat=51.5&mlon=-0.123457"
    assert location_words(Location(0.0, 10.0), "") == "https://www.openstreetmap.org/?mlat=0&mlon=10"


def test_a_place_of_which_nothing_is_said() -> None:
    result = read({"msgtype": "m.location", "body": "", "geo_uri": "geo:1,2"})
    assert result == ReadText(text=Text(), location=Location(1.0, 2.0))
