"""Texts for the property tests: wild ones, with spans that make no sense, and tidy ones, that HTML can carry whole."""

from __future__ import annotations

from hypothesis import strategies as st

from bridgekit.core.text import normalise
from bridgekit.core.text.characters import clusters
from bridgekit.model.content import (
    BLOCK_STYLES,
    Mention,
    MentionRole,
    MentionRoom,
    MentionTarget,
    MentionUser,
    Run,
    Style,
    Text,
)
from bridgekit.model.ids import RemoteUserID

URLS = ("https://example.org/", "http://example.org/?a=1&copy=2", "mailto:a@example.org", 'https://x.y/"<>')
VALUES = {
    Style.LINK: st.sampled_from(URLS),
    Style.SPOILER: st.sampled_from(("", "the end", 'a "b" <c> &amp;')),
    Style.CODE_BLOCK: st.sampled_from(("", "python", "c++")),
}


def item(start: int, end: int, level: int = 1, ordinal: int | None = None) -> Run:
    return Run(start, end, Style.LIST_ITEM, level=level, ordinal=ordinal)


def quote(start: int, end: int, level: int = 1) -> Run:
    return Run(start, end, Style.QUOTE, level=level)


wild_body = st.text(
    st.one_of(
        st.sampled_from("ab \n\t\r.!。<>&\u00a0\u0301\u200d\ufe0f\U0001f468\U0001f3fd\U0001f1e9\ud83d\x00"),
        st.characters(codec=None),
    ),
    max_size=60,
)


def run(length: int, slack: int) -> st.SearchStrategy[Run]:
    """A run in a body of this length, out of it by at most `slack`."""
    offset = st.integers(-slack, length + slack)

    def of(style: Style) -> st.SearchStrategy[Run]:
        block = style in BLOCK_STYLES and style is not Style.CODE_BLOCK
        return st.builds(
            Run,
            offset,
            offset,
            st.just(style),
            value=VALUES.get(style, st.just("")),
            level=st.integers(-1, 20) if block else st.just(0),
            ordinal=st.none() | st.integers(0, 30) if style is Style.LIST_ITEM else st.none(),
        )

    return st.sampled_from(Style).flatmap(of)


targets: st.SearchStrategy[MentionTarget] = st.one_of(
    st.builds(MentionUser, st.sampled_from("xyz").map(RemoteUserID)),
    st.just(MentionRoom()),
    st.builds(MentionRole, st.sampled_from("pq")),
)


@st.composite
def wild_texts(draw: st.DrawFn) -> Text:
    """Any body with any spans."""
    body = draw(wild_body)
    offset = st.integers(-3, len(body) + 3)
    return Text(
        body,
        tuple(draw(st.lists(run(len(body), 3), max_size=8))),
        tuple(draw(st.lists(st.builds(Mention, offset, offset, targets), max_size=3))),
    )


@st.composite
def tidy_texts(draw: st.DrawFn) -> Text:
    """In normal form, and of what HTML can carry: no whitespace that would collapse."""
    words = st.sampled_from(("a", "bc", "<b>", "&amp;", "&", "\U0001f600", "e\u0301", "\u00a0", "@x", "@yy", "-", "1."))
    lines = draw(st.lists(st.lists(words, max_size=4).map(" ".join), max_size=7))
    body = "\n".join(lines)
    mentions = [
        Mention(at, at + len(name), MentionUser(RemoteUserID(name[1:])))
        for name in ("@x", "@yy")
        for at in range(len(body))
        if body.startswith(name, at) and draw(st.booleans())
    ]
    runs = tuple(draw(st.lists(run(len(body), 0), max_size=8)))
    return normalise(Text(body, runs, tuple(mentions)))


def assert_normal(text: Text) -> None:
    """What every text in normal form keeps to."""
    assert normalise(text) == text
    assert list(text.runs) == sorted(text.runs, key=lambda run: (run.start, -run.end, run.style not in BLOCK_STYLES))
    characters = clusters(text.body)
    for start, end in [(run.start, run.end) for run in text.runs] + [(span.start, span.end) for span in text.mentions]:
        assert 0 <= start < end <= len(text.body)
        assert characters.strictly_around(start) is None
        assert characters.strictly_around(end) is None
    for run in text.runs:
        if run.style in BLOCK_STYLES:
            assert run.start == 0 or text.body[run.start - 1] == "\n"
            assert run.end == len(text.body) or text.body[run.end] == "\n"
    for before, after in zip(text.mentions, text.mentions[1:], strict=False):
        assert before.end <= after.start
