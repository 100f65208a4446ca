"""The bytes of a file: exactly as many as was said, whatever the source does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.media_bytes import exactly, filename, mimetype
from bridgekit.errors import WrongSize


async def source(*pieces: bytes | Exception) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


async def collected(size: int, *pieces: bytes | Exception) -> tuple[bytes, Exception | None]:
    got = b""
    try:
        async for piece in exactly(source(*pieces), size):
            assert piece
            got += piece
    except (WrongSize, RuntimeError) as error:
        return got, error
    return got, None


@given(st.lists(st.binary(max_size=5), max_size=8), st.integers(0, 40))
async def test_all_or_an_error_before_the_last_piece(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    got, error = await collected(size, *pieces)
    if len(whole) == size:
        assert (got, error) == (whole, None)
    else:
        assert isinstance(error, WrongSize)
        assert error.said == size
        assert error.got == (len(whole) if len(whole) < size else None)
        assert len(got) < size or not size  # whoever receives this does not take it for the file
        assert whole.startswith(got)


async def test_what_the_source_raises_comes_out_and_the_last_piece_does_not() -> None:
    error = RuntimeError("the checksum is wrong")
    assert await collected(4, b"ab", b"cd", error) == (b"ab", error)
    assert await collected(0, error) == (b"", error)


def test_wrong_size_says_what_was_said() -> None:
    assert str(WrongSize(3, 2)) == "the file was said to have 3 bytes, and has 2"
    assert str(WrongSize(3, None)) == "the file was said to have 3 bytes, and has more"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("image/png", "image/png"),
        ("Image/PNG", "image/png"),
        (" audio/ogg; codecs=opus", "audio/ogg"),
        ("application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        ("image/svg+xml", "image/svg+xml"),
        ("", ""),
        ("png", ""),
        ("image/", ""),
        ("/png", ""),
        ("image/png/x", ""),
        ("image/png\r\nX-Evil: 1", ""),
        ("image/pñg", ""),
        ("image/" + "a" * 128, ""),
        ("text/html<script>", ""),
        (None, ""),
        (7, ""),
        ({"type": "image/png"}, ""),
    ],
)
def test_types(said: object, meant: str) -> None:
    assert mimetype(said) == meant


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("", ""),
        ("inline", ""),
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="a b; c.txt"', "a b; c.txt"),
        ("inline; filename*=utf-8''%C3%A9/..%3F.png", "é/..?.png"),
        ("inline; filename*=no-such-charset''a%20b", "a b"),
    ],
)
def test_names(header: str, name: str) -> None:
    assert filename(header) == name


@given(st.text(alphabet=st.characters(exclude_characters="\r\n")).map("inline; ".__add__))
def test_no_header_is_too_strange(header: str) -> None:
    assert isinstance(filename(header), str)


@given(st.text(alphabet="filename*=\"'%;0128utf- é\udc80\0", max_size=40).map("inline; filename".__add__))
def test_no_name_is_too_strange(header: str) -> None:
    assert isinstance(filename(header), str)
