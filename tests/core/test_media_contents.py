"""What files become in a room."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.media_contents import (
    FileEvent,
    Part,
    edited_caption,
    file_event,
    file_parts,
    replacement,
    shown_content,
)
from bridgekit.core.media_info import (
    MAX_FILENAME,
    described,
    file_content,
    filename_of,
    geo_uri,
    kind_of,
    size_in_words,
    with_learnt,
)
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, Words, encoded_size
from bridgekit.core.versions import KEY
from bridgekit.model.content import Mention, MentionUser, Run, Style, Text
from bridgekit.model.ids import ChatID, EventID, PortalKey, RemoteMessageID, RemoteUserID, TxnID, UserID
from bridgekit.model.media import Location, MediaKind, MediaRef, MediaStream
from bridgekit.model.remote import RemoteMessage

PHOTO = MediaRef(
    "1",
    name="photo.jpg",
    mimetype="image/jpeg",
    size=1000,
    width=640,
    height=480,
    blurhash="LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    thumbnail=MediaRef("2", mimetype="image/png", size=10, width=32, height=24),
)
FRIEND = RemoteUserID("friend")
BOB = UserID("@bob:test")


def message(*media: MediaRef, text: Text | str = "", **more: Any) -> RemoteMessage:
    return RemoteMessage(
        portal=PortalKey(ChatID("c")),
        id=RemoteMessageID("m"),
        sender=FRIEND,
        timestamp=1,
        text=Text(text) if isinstance(text, str) else text,
        media=media,
        **more,
    )


def shown(ref: MediaRef) -> FileEvent:
    return FileEvent(base=file_content(ref), uri=f"mxc://test/{ref.id}")


def parts_of(said: RemoteMessage, files: list[FileEvent] | None = None, **more: Any) -> list[Part]:
    return file_parts(
        said,
        [shown(ref) for ref in said.media] if files is None else files,
        Words(
            txn_id=lambda part: TxnID(f"t{part}"),
            mention=lambda target: (BOB, "Bob") if target == MentionUser(FRIEND) else None,
            **more,
        ),
    )


def test_a_picture() -> None:
    (part,) = parts_of(message(PHOTO), [FileEvent(file_content(PHOTO, "mxc://test/2"), "mxc://test/1")])
    assert part.type == "m.room.message"
    assert part.content == {
        "msgtype": "m.image",
        "body": "photo.jpg",
        "filename": "photo.jpg",
        "url": "mxc://test/1",
        "info": {
            "size": 1000,
            "w": 640,
            "h": 480,
            "mimetype": "image/jpeg",
            "xyz.amorgan.blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
            "thumbnail_url": "mxc://test/2",
            "thumbnail_info": {"size": 10, "w": 32, "h": 24, "mimetype": "image/png"},
        },
        "m.mentions": {},
        KEY: "t0",
    }


@pytest.mark.parametrize(
    ("kind", "mimetype", "msgtype"),
    [
        (None, "image/png", "m.image"),
        (None, "video/mp4; codecs=x", "m.video"),
        (None, "AUDIO/OGG", "m.audio"),
        (None, "application/pdf", "m.file"),
        (None, "", "m.file"),
        (None, "image/svg+xml", "m.file"),
        (MediaKind.FILE, "image/png", "m.file"),
        (MediaKind.VOICE, "", "m.audio"),
    ],
)
def test_kinds(kind: MediaKind | None, mimetype: str, msgtype: str) -> None:
    (part,) = parts_of(message(MediaRef("1", kind=kind, mimetype=mimetype)))
    assert part.content["msgtype"] == msgtype


def test_a_voice_message() -> None:
    ref = MediaRef("1", kind=MediaKind.VOICE, mimetype="audio/ogg", duration_ms=3000, waveform=(-5, 0, 512, 5000))
    file, text = parts_of(message(ref, text="listen"))
    assert file.content["org.matrix.msc3245.voice"] == {}
    assert file.content["org.matrix.msc1767.audio"] == {"duration": 3000, "waveform": [0, 0, 512, 1024]}
    assert text.content["body"] == "listen" and text.is_text  # clients show no caption where they play a voice


def test_a_sticker_is_an_event_of_its_own_kind() -> None:
    file, text = parts_of(message(MediaRef("1", kind=MediaKind.STICKER, mimetype="image/webp"), text="ha"))
    assert (file.type, text.type) == ("m.sticker", "m.room.message")
    assert file.content == {
        "body": "sticker.webp",
        "url": "mxc://test/1",
        "info": {"mimetype": "image/webp"},
        "m.mentions": {},
        KEY: "t0",
    }


def test_the_text_is_the_first_files_caption() -> None:
    text = Text(
        "look, @friend",
        mentions=(Mention(6, 13, MentionUser(FRIEND)),),
        runs=(Run(0, 4, Style.BOLD),),
    )
    first, second = parts_of(message(PHOTO, MediaRef("3", name="b.pdf"), text=text))
    assert first.content["filename"] == "photo.jpg"
    assert first.content["body"].startswith("look")
    assert "<strong>look</strong>" in first.content["formatted_body"]
    assert first.content["m.mentions"] == {"user_ids": [BOB]}
    assert second.content["body"] == second.content["filename"] == "b.pdf"
    assert second.content["m.mentions"] == {}
    assert [part.key for part in (first, second)] == ["t0", "t1"]


def test_a_text_that_does_not_fit_stands_behind() -> None:
    file, *texts = parts_of(message(PHOTO, text="long " * 20_000))
    assert file.content["body"] == "photo.jpg"
    assert len(texts) > 1 and all(part.is_text and part.file is None for part in texts)
    assert "".join(part.content["body"] for part in texts).count("long") == 20_000


def test_relations_are_the_first_parts() -> None:
    first, second = parts_of(
        message(PHOTO, MediaRef("3")), reply_to=EventID("$r"), reply_mentions=(UserID("@carol:test"),)
    )
    assert first.content["m.relates_to"] == {"m.in_reply_to": {"event_id": "$r"}}
    assert first.content["m.mentions"] == {"user_ids": ["@carol:test"]}
    assert "m.relates_to" not in second.content


def test_all_parts_belong_to_the_thread() -> None:
    parts = parts_of(message(PHOTO, MediaRef("3"), text="x" * 50_000), thread=EventID("$t"))
    assert {part.content["m.relates_to"]["event_id"] for part in parts} == {"$t"}


def test_a_place() -> None:
    place, text = parts_of(message(text="here", location=Location(52.5, -13.25, 12.4)))
    assert place.content == {
        "msgtype": "m.location",
        "body": "Location: 52.5, -13.25",
        "geo_uri": "geo:52.5,-13.25;u=12",
        "m.mentions": {},
        KEY: "t0",
    }
    assert text.content["body"] == "here"
    assert not place.is_text


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        (Location(0.0, -0.0), "geo:0,0"),
        (Location(-0.0000001, 10.0), "geo:0,10"),
        (Location(90, 180), "geo:90,180"),
        (Location(91, 0), None),
        (Location(float("nan"), 0), None),
        (Location(0, float("inf")), None),
        (Location(1.5, 2, float("nan")), "geo:1.5,2"),
    ],
)
def test_geo_uris(place: Location, uri: str | None) -> None:
    assert geo_uri(place) == uri
    (part,) = parts_of(message(location=place))
    assert part.content.get("geo_uri") == uri
    assert part.content["body"]


# --- what is not there (yet) --------------------------------------------------------------------------------------
def test_words_in_a_files_place() -> None:
    event = FileEvent(base=file_content(PHOTO), note="photo.jpg (1000 bytes) is on its way")
    (part,) = parts_of(message(PHOTO, text=Text("look", runs=(Run(0, 4, Style.BOLD),))), [event])
    assert part.content["msgtype"] == "m.notice"
    assert part.content["body"] == "look\nphoto.jpg (1000 bytes) is on its way"
    assert part.content["formatted_body"] == "<strong>look</strong><br/>photo.jpg (1000 bytes) is on its way"
    assert "url" not in part.content


CAPTIONS = [
    None,
    edited_caption(Text("plain"), mention=lambda target: None),
    edited_caption(Text("a <b>", runs=(Run(0, 1, Style.BOLD),)), mention=lambda target: None),
]


@pytest.mark.parametrize("note", ["", "a <b> & c could not be transferred"])
@pytest.mark.parametrize("at", [0, 1_700_000_000_000])
@pytest.mark.parametrize("caption", CAPTIONS)
@pytest.mark.parametrize("ref", [PHOTO, MediaRef("1", kind=MediaKind.VOICE, duration_ms=5)])
def test_a_file_is_read_back_from_its_event(ref: MediaRef, caption: dict[str, Any] | None, note: str, at: int) -> None:
    event = FileEvent(base=file_content(ref), uri="" if note else "mxc://test/1", caption=caption, note=note)
    event = msgspec.structs.replace(event, captioned_at=at)
    found = file_event({**event.content(), KEY: "k", "m.relates_to": {}})
    assert found is not None
    assert found.content() == event.content()


@pytest.mark.parametrize(
    "content", [{}, {"body": "x"}, {"body": 5, "url": "mxc://a/b"}, {"msgtype": "m.location", "body": "here"}]
)
def test_what_is_no_file(content: dict[str, Any]) -> None:
    assert file_event(content) is None


def test_an_edit_leaves_a_whole_file_everywhere() -> None:
    event = msgspec.structs.replace(shown(PHOTO), caption=edited_caption(Text("new"), mention=lambda target: None))
    content = replacement(event, EventID("$e"), TxnID("k"))
    assert content["m.new_content"] == event.content()
    assert content["body"] == "* new" and content["url"] == "mxc://test/1" and content["m.mentions"] == {}
    assert content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$e"}
    found = file_event(content["m.new_content"])
    assert found is not None and found.content() == event.content()


def test_what_an_event_shows_now() -> None:
    new = {"body": "new"}
    edited = {
        "content": {"body": "old"},
        "unsigned": {"m.relations": {"m.replace": {"content": {"m.new_content": new}}}},
    }
    assert shown_content(msgspec.json.encode(edited)) == new
    nothing: tuple[dict[str, Any], ...] = ({}, {"m.relations": 5}, {"m.relations": {"m.replace": {"content": {}}}})
    for unsigned in nothing:
        assert shown_content(msgspec.json.encode({"content": {"body": "old"}, "unsigned": unsigned})) == {"body": "old"}


# --- names and numbers --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("a\tb\nc.txt", "a b c.txt"),
        ("exe\u202egpj.txt", "exe gpj.txt"),
        ("  .  ", "image.png"),
        ("..", "image.png"),
        ("", "image.png"),
        ("\ud800", "?"),
        ("x" * 300 + ".tar", "x" * (MAX_FILENAME - 4) + ".tar"),
    ],
)
def test_filenames(name: str, expected: str) -> None:
    assert filename_of(MediaRef("1", name=name, mimetype="image/png")) == expected


@given(st.text(max_size=400), st.text(max_size=50))
def test_any_name_can_be_written(name: str, mimetype: str) -> None:
    ref = MediaRef("1", name=name, mimetype=mimetype)
    found = filename_of(ref)
    assert 0 < len(found) <= MAX_FILENAME and "/" not in found and "\\" not in found
    assert not any(ord(c) < 32 for c in found) and found not in (".", "..")
    content = file_content(ref)
    content["body"].encode()
    assert encoded_size(content) < MAX_CONTENT_BYTES


@given(
    st.builds(
        MediaRef,
        id=st.just("1"),
        size=st.one_of(st.none(), st.integers()),
        width=st.one_of(st.none(), st.integers()),
        duration_ms=st.one_of(st.none(), st.integers()),
        blurhash=st.text(max_size=400),
        waveform=st.lists(st.integers(), max_size=400).map(tuple),
        kind=st.one_of(st.none(), st.sampled_from(MediaKind)),
    )
)
def test_no_number_breaks_an_event(ref: MediaRef) -> None:
    content = file_content(ref)
    for value in content["info"].values():
        assert not isinstance(value, int) or 0 <= value < 2**53
    waveform = content.get("org.matrix.msc1767.audio", {}).get("waveform", [])
    assert len(waveform) <= 120 and all(0 <= value <= 1024 for value in waveform)


def test_what_is_learnt_fills_gaps_only() -> None:
    stream = MediaStream(chunks=None, size=7, mimetype="image/png", name="b.png")  # type: ignore[arg-type]
    assert with_learnt(MediaRef("1"), stream, None) == MediaRef("1", name="b.png", mimetype="image/png", size=7)
    known = MediaRef("1", name="a.jpg", mimetype="image/jpeg", size=5)
    assert with_learnt(known, stream, 9) == msgspec.structs.replace(known, size=9)
    assert with_learnt(MediaRef("1", mimetype="nonsense"), stream, 9).mimetype == "image/png"


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**41, "2.0 TiB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert size_in_words(size) == words
    assert described(MediaRef("1", name="a", size=size)) == f"a ({words})"
    assert kind_of(MediaRef("1")) is MediaKind.FILE
