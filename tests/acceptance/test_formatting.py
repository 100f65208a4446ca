"""Formatting crosses both ways: Matrix HTML becomes the webchat's spans, and spans become Matrix HTML."""

from __future__ import annotations

from example_bridge.webchat.client import MessageEvent, Span
from tests.support.scene import Talk

Spans = tuple[Span, ...]

HTML: dict[str, tuple[str, str, Spans]] = {
    "bold": ("a <strong>b</strong> c", "a b c", (Span(2, 3, "bold"),)),
    "bold b": ("<b>b</b>", "b", (Span(0, 1, "bold"),)),
    "italic": ("<em>i</em>", "i", (Span(0, 1, "italic"),)),
    "underline": ("<u>u</u>", "u", (Span(0, 1, "underline"),)),
    "strike": ("<del>s</del> <s>t</s>", "s t", (Span(0, 1, "strike"), Span(2, 3, "strike"))),
    "nested": (
        "<b>one <i>two</i></b>",
        "one two",
        (Span(0, 7, "bold"), Span(4, 7, "italic")),
    ),
    "code": ("run <code>a &lt; b</code>", "run a < b", (Span(4, 9, "code"),)),
    "code block": (
        '<pre><code class="language-python">if x:\n    y()</code></pre>',
        "if x:\n    y()",
        (Span(0, 13, "code_block", "python"),),
    ),
    "quote": (
        "<blockquote>said<blockquote>before</blockquote></blockquote>mine",
        "said\nbefore\nmine",
        (Span(0, 11, "quote", level=1), Span(5, 11, "quote", level=2)),
    ),
    "bullets": (
        "<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>",
        "one\ninner\ntwo",
        (
            Span(0, 3, "list_item", level=1),
            Span(4, 9, "list_item", level=2),
            Span(10, 13, "list_item", level=1),
        ),
    ),
    "numbers": (
        '<ol start="3"><li>three</li><li>four</li></ol>',
        "three\nfour",
        (Span(0, 5, "list_item", level=1, ordinal=3), Span(6, 10, "list_item", level=1, ordinal=4)),
    ),
    "link": (
        '<a href="https://example.org/?a=1&amp;b=2">here</a>',
        "here",
        (Span(0, 4, "link", "https://example.org/?a=1&b=2"),),
    ),
    "no link": ('<a href="javascript:alert(1)">here</a>', "here", ()),
    "headings": (
        "<h1>big</h1><h6>small</h6>text",
        "big\nsmall\ntext",
        (Span(0, 3, "heading", level=1), Span(4, 9, "heading", level=6)),
    ),
    "spoiler": (
        '<span data-mx-spoiler="the end">he dies</span>',
        "he dies",
        (Span(0, 7, "spoiler", "the end"),),
    ),
    "astral": ("\N{BRIDGE AT NIGHT}<b>b</b>", "\N{BRIDGE AT NIGHT}b", (Span(2, 3, "bold"),)),
}

SPANS: dict[str, tuple[str, Spans, str, str]] = {
    "bold": ("a b c", (Span(2, 3, "bold"),), "a <strong>b</strong> c", "a b c"),
    "italic": ("i", (Span(0, 1, "italic"),), "<em>i</em>", "i"),
    "underline": ("u", (Span(0, 1, "underline"),), "<u>u</u>", "u"),
    "strike": ("s", (Span(0, 1, "strike"),), "<del>s</del>", "s"),
    "overlap": (
        "abc",
        (Span(0, 2, "bold"), Span(1, 3, "italic")),
        "<strong>a</strong><em><strong>b</strong>c</em>",
        "abc",
    ),
    "code": ("a < b", (Span(0, 5, "code"),), "<code>a &lt; b</code>", "a < b"),
    "code block": (
        "if x:\n    y()",
        (Span(0, 13, "code_block", "python"),),
        '<pre><code class="language-python">if x:\n    y()</code></pre>',
        "if x:\n    y()",
    ),
    "quote": (
        "said\nmine",
        (Span(0, 4, "quote", level=1),),
        "<blockquote>said</blockquote>mine",
        "> said\nmine",
    ),
    "nested list": (
        "one\ninner\ntwo",
        (
            Span(0, 3, "list_item", level=1),
            Span(4, 9, "list_item", level=2, ordinal=1),
            Span(10, 13, "list_item", level=1),
        ),
        "<ul><li>one<ol><li>inner</li></ol></li><li>two</li></ul>",
        "- one\n  1. inner\n- two",
    ),
    "link": (
        "here",
        (Span(0, 4, "link", "https://example.org/?a=1&b=2"),),
        '<a href="https://example.org/?a=1&amp;b=2">here</a>',
        "here (https://example.org/?a=1&b=2)",
    ),
    "heading": ("big\ntext", (Span(0, 3, "heading", level=2),), "<h2>big</h2>text", "big\ntext"),
    "spoiler": (
        "he dies",
        (Span(0, 7, "spoiler", "the end"),),
        '<span data-mx-spoiler="the end">he dies</span>',
        "he dies",
    ),
    "markup is text": ("<b>&amp;", (Span(0, 3, "bold"),), "<strong>&lt;b&gt;</strong>&amp;amp;", "<b>&amp;"),
}


async def test_html_becomes_spans(talk: Talk) -> None:
    for html, _, _ in HTML.values():
        await talk.alice.send_html(talk.room, html, "the plain body")
    await talk.alice.send_text(talk.room, "end")

    *messages, _ = await talk.messages_from_alice("end")

    got = {name: (message.text, message.format) for name, message in zip(HTML, messages, strict=True)}
    assert got == {name: (text, spans) for name, (_, text, spans) in HTML.items()}


async def test_spans_become_html(talk: Talk) -> None:
    for text, spans, _, _ in SPANS.values():
        await talk.visitor.send(talk.chat, text, format=spans)
    await talk.visitor.send(talk.chat, "end")
    await talk.from_visitor("end")

    events = await talk.alice.timeline(talk.room, "m.room.message")
    _, *events, end = [event for event in events if event.sender == talk.ghost]

    got = {
        name: (event.content["format"], event.content["formatted_body"], event.body)
        for name, event in zip(SPANS, events, strict=True)
    }
    assert got == {name: ("org.matrix.custom.html", html, body) for name, (_, _, html, body) in SPANS.items()}
    # Plain text needs no HTML; what is mentioned is always said, if it is nobody.
    assert "formatted_body" not in end.content
    assert all(event.content["m.mentions"] == {} for event in [*events, end])


async def test_what_came_from_matrix_is_the_same_when_it_comes_back(talk: Talk) -> None:
    """The spans that the webchat got, sent by the visitor, are the HTML that Alice wrote."""
    html = '<h3>Plan</h3><ol><li>read <a href="https://example.org">it</a></li><li><strong>do</strong></li></ol>'
    await talk.alice.send_html(talk.room, html, "Plan")
    said = await talk.until(lambda event: isinstance(event, MessageEvent) and "Plan" in event.message.text)
    assert isinstance(said, MessageEvent)

    await talk.visitor.send(talk.chat, said.message.text, format=said.message.format)
    await talk.visitor.send(talk.chat, "end")

    await talk.from_visitor("end")
    events = await talk.alice.timeline(talk.room, "m.room.message")
    assert events[-2].content["formatted_body"] == html


HOSTILE = [
    "<b>" * 20_000 + "deep",
    "<blockquote>" * 5_000 + "deep",
    "<ul><li>" * 3_000 + "deep",
    "<a href='" * 6_000,
    "&" * 60_000,
    "<!--" * 10_000 + "<mx-reply>" * 2_000,
]


async def test_hostile_html_still_arrives(talk: Talk) -> None:
    for number, html in enumerate(HOSTILE):
        await talk.alice.send_html(talk.room, html, f"deep {number}")
        await talk.alice.send_text(talk.room, f"end {number}")

    said = await talk.from_alice(f"end {len(HOSTILE) - 1}")

    ends = [said.index(f"end {number}") for number in range(len(HOSTILE))]
    assert ends == sorted(ends)
    for before, end in zip([-1, *ends], ends, strict=False):
        assert "".join(said[before + 1 : end]).strip()
