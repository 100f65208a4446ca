from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.html import (
    MAX_LENGTH,
    MAX_RUNS,
    TooComplex,
    parse_html,
    pilled_user,
    render_html,
    safe_url,
    to_plain,
)
from bridgekit.core.text import normalise
from bridgekit.model.content import Mention, MentionRoom, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID, UserID
from tests.core.text_strategies import assert_normal, item, quote, tidy_texts, wild_texts

BOB = MentionUser(RemoteUserID("bob"))
BOLD, ITALIC, CODE, LINK = Style.BOLD, Style.ITALIC, Style.CODE_BLOCK, Style.LINK


def resolve(user_id: UserID) -> MentionTarget | None:
    localpart = user_id[1:].partition(":")[0]
    return MentionUser(RemoteUserID(localpart.removeprefix("g_"))) if localpart.startswith("g_") else None


def pill(target: MentionTarget) -> tuple[str, str] | None:
    """Keeps the text of the body."""
    return (f"https://matrix.to/#/@g_{target.id}:s", "") if isinstance(target, MentionUser) else None


def parse(html: str) -> Text:
    return parse_html(html, resolve=resolve)


def render(text: Text) -> str | None:
    return render_html(text, pill=pill)


# --- HTML -> Text -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", Text()),
        ("a <b>b</b> <strong>c</strong>", Text("a b c", (Run(2, 3, BOLD), Run(4, 5, BOLD)))),
        ("<b>a <i>b</b> c</i>", Text("a b c", (Run(0, 3, BOLD), Run(2, 5, ITALIC)))),
        ("<B>a</B >", Text("a", (Run(0, 1, BOLD),))),
        ("<b>a", Text("a", (Run(0, 1, BOLD),))),
        ("a</b>", Text("a")),
        ("<u>a</u><s>b</s><del>c</del><strike>d</strike><code>e</code>", Text("abcde", (
            Run(0, 1, Style.UNDERLINE), Run(1, 4, Style.STRIKE), Run(4, 5, Style.CODE),
        ))),
        ("<span data-mx-spoiler>a</span><span data-mx-spoiler=\"why\">b</span><span>c</span>", Text("abc", (
            Run(0, 1, Style.SPOILER), Run(1, 2, Style.SPOILER, "why"),
        ))),
        ("<p>a</p>\n<p>b</p>\n", Text("a\n\nb")),
        ("a<p>b</p>c", Text("a\n\nb\n\nc")),
        ("<p>a<br></p><p><br></p><p>b</p>", Text("a\n\nb")),
        ("a<br>b<br/>c<br>", Text("a\nb\nc")),
        ("<b>a</b><br><b>b</b><div><b>c</b></div>", Text("a\nb\nc", (
            Run(0, 1, BOLD), Run(2, 3, BOLD), Run(4, 5, BOLD),
        ))),
        ("<s><b>a</b></s><b><br>b</b>", Text("a\nb", (Run(0, 3, BOLD), Run(0, 1, Style.STRIKE)))),
        ("<b>a<br></b><i><b>b</b></i>", Text("a\nb", (Run(0, 3, BOLD), Run(2, 3, ITALIC)))),
        ("<b>a<br>b</b>", Text("a\nb", (Run(0, 3, BOLD),))),
        ("a<br><br>b", Text("a\n\nb")),
        ("  a \n <b> b</b>  <br> c  ", Text("a b\nc", (Run(2, 3, BOLD),))),
        ("<div>a</div><div><div>b</div></div>c", Text("a\nb\nc")),
        ("a<h1>T</h1><h3>U</h3>b", Text("a\nT\nU\nb", (
            Run(2, 3, Style.HEADING, level=1), Run(4, 5, Style.HEADING, level=3),
        ))),
        ("<h1>a<h2>b</h2>c", Text("a\nb\nc", (
            Run(0, 1, Style.HEADING, level=1), Run(2, 3, Style.HEADING, level=2),
        ))),
        ("<pre><code class=\"language-py\">\nx\n  y  z\n\n</code></pre>end", Text("x\n  y  z\n\nend", (
            Run(0, 8, CODE, "py"),
        ))),
        ("<pre>a<b>b</b></pre>", Text("ab", (Run(0, 2, CODE),))),
        ("<blockquote><p>a</p><blockquote>b</blockquote></blockquote><p>c</p>", Text("a\n\nb\n\nc", (
            quote(0, 4), quote(3, 4, 2),
        ))),
        ("<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n<li><p>c</p></li>\n</ul>\n<p>d</p>", Text("a\nb\nc\n\nd", (
            item(0, 1), item(2, 3, 2), item(4, 5),
        ))),
        ("<ol start=\"3\"><li>a<br>b<li>c<li value=9>d</ol>", Text("a\nb\nc\nd", (
            item(0, 3, 1, 3), item(4, 5, 1, 4), item(6, 7, 1, 9),
        ))),
        ("<li>a</li>", Text("a", (item(0, 1),))),
        ("<ul><li></li><li>a</li></ul>", Text("a", (item(0, 1),))),
        ("<table><tr><th>a</th><th> b</th></tr><tr><td>c</td><td>d</td></tr></table>", Text("a | b\nc | d")),
        ("<img alt=\":)\" src=\"mxc://x\"><img title=t><img>", Text(":)t")),
        ("a<hr>b", Text("a\n---\nb")),
        ("<details><summary>a</summary>b</details>", Text("a\nb")),
        ("<font color=red>a</font><sup>2</sup><wat x=\"<b>\">b</wat>", Text("a2b")),
        ("<mx-reply><blockquote>old</blockquote></mx-reply>new", Text("new")),
        ("a<script>if (a < b) '</scrip>'</script>b<style>x</style>c<script>d", Text("abc")),
        ("a<!-- <b> -->b<!doctype x>c<?pi?>d<![CDATA[e]]>f<!-->g</>h</3>i", Text("abcdfghi")),
        ("&lt;b&gt; &amp; &eacute;&#x41;&#66;&nbsp;&copy", Text("<b> & éAB\u00a0©")),
        ("&#0;&#xD800;&#x110000;&#99999999999; &bogus; & &# &#x;", Text("\ufffd\ufffd\ufffd\ufffd &bogus; & &# &#x;")),
        ("1 < 2 <3 <", Text("1 < 2 <3 <")),
        ("if a<b then <b>", Text("if a")),
        ("a <b", Text("a <b")),
        ("a <b x=\"y>z", Text('a <b x="y>z')),
        ("a <!-- b", Text("a <!-- b")),
        ("a\x00b\ud800", Text("ab\ufffd")),
        ("<a href='https://x.y/?a=1&copy=2&amp;b=3'>z</a>", Text("z", (Run(0, 1, LINK, "https://x.y/?a=1&copy=2&b=3"),))),
        ("<a href=\"java\nscript:x\">a</a><a href=\"/b\">b</a><a>c</a><a href=\"data:x\">d</a>", Text("abcd")),
        ("<a href=x:y>a<a href=ftp:z>b</a>c", Text("abc", (Run(1, 2, LINK, "ftp:z"),))),
        ("hi <a href=\"https://matrix.to/#/@g_bob:s\">Bob B</a>:", Text("hi Bob B:", (), (Mention(3, 8, BOB),))),
        ("<a href=\"https://matrix.to/#/%40g_bob%3As?via=s\"><b>Bob</b></a>", Text("Bob", (Run(0, 3, BOLD),), (
            Mention(0, 3, BOB),
        ))),
        ("<a href=\"matrix:u/g_bob:s?action=chat\">Bob</a>", Text("Bob", (), (Mention(0, 3, BOB),))),
        ("<a href=\"https://matrix.to/#/@al:s\">Al</a>", Text("Al")),
        ("<a href=\"https://matrix.to/#/!r:s\">r</a>", Text("r", (Run(0, 1, LINK, "https://matrix.to/#/!r:s"),))),
    ],
)  # fmt: skip
def test_parse(html: str, expected: Text) -> None:
    assert parse(html) == expected
    assert normalise(expected) == expected


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a/b", "https://a/b"),
        (" HTTPS://a b\t ", "HTTPS://a%20b"),
        ("\x01javascript:x", None),
        ("java\tscript:x", None),
        ("vbscript:x", None),
        ("//a/b", None),
        ("", None),
        ("https:" + "x" * 9000, None),
        ("mailto:a@b", "mailto:a@b"),
        ("matrix:r/a:b", "matrix:r/a:b"),
        ("http\u017f://x", None),
        ("http://\ud800", "http://%3F"),
    ],
)
def test_safe_url(url: str, safe: str | None) -> None:
    assert safe_url(url) == safe
    assert safe is None or safe_url(safe) == safe


@pytest.mark.parametrize(
    ("url", "user_id"),
    [
        ("https://matrix.to/#/@a:b", "@a:b"),
        ("http://matrix.to/#/@a=2fb:b:8448?via=x", "@a=2fb:b:8448"),
        ("matrix:user/a%2Fb:b", "@a/b:b"),
        ("https://matrix.to/#/@a", None),
        ("https://matrix.to/#/!a:b/$e", None),
        ("https://matrix.to.evil/#/@a:b", None),
        ("matrix:r/a:b", None),
    ],
)
def test_pilled_user(url: str, user_id: str | None) -> None:
    assert pilled_user(url) == user_id


# --- Text -> HTML -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "html"),
    [
        (Text("a <b> & c\nd"), None),
        (Text("a", (Run(0, 1, LINK, "javascript:x"),)), None),
        (Text("@room", (), (Mention(0, 5, MentionRoom()),)), None),
        (Text("a<b>\nc", (Run(1, 4, BOLD),)), "a<strong>&lt;b&gt;</strong><br>c"),
        (Text("abcdef", (Run(0, 4, BOLD), Run(2, 6, ITALIC))), "<strong>ab</strong><em><strong>cd</strong>ef</em>"),
        (Text("abcd", (Run(0, 2, BOLD), Run(1, 4, LINK, 'https://x/"'))),
         '<strong>a</strong><a href="https://x/&quot;"><strong>b</strong>cd</a>'),
        (Text("a\n\nb", (Run(0, 4, BOLD),)), "<strong>a<br><br>b</strong>"),
        (Text("  a  b ", (Run(2, 3, BOLD),)), "\u00a0\u00a0<strong>a</strong>\u00a0 b\u00a0"),
        (Text("a\n\nT\nb", (Run(3, 4, Style.HEADING, level=2),)), "a<br><br><h2>T</h2>b"),
        (Text("x <y>\n  z", (Run(0, 9, CODE, "c++"),)),
         '<pre><code class="language-c++">x &lt;y&gt;\n  z</code></pre>'),
        (Text("a\nb\nc\nd", (quote(0, 5), quote(2, 3, 2))),
         "<blockquote>a<blockquote>b</blockquote>c</blockquote>d"),
        (Text("a\nb\nc\nd\ne", (item(0, 1), item(2, 3, 2, 1), item(4, 5, 2, 2), item(6, 7), item(8, 9, 1, 7))),
         '<ul><li>a<ol><li>b</li><li>c</li></ol></li><li>d</li></ul><ol start="7"><li>e</li></ol>'),
        (Text("a", (item(0, 1, 3),)), "<ul><ul><ul><li>a</li></ul></ul></ul>"),
        (Text("ab", (Run(0, 1, Style.SPOILER), Run(1, 2, Style.SPOILER, "x"))),
         '<span data-mx-spoiler>a</span><span data-mx-spoiler="x">b</span>'),
        (Text("hi bob", (Run(0, 6, BOLD),), (Mention(3, 6, BOB),)),
         '<strong>hi <a href="https://matrix.to/#/@g_bob:s">bob</a></strong>'),
        (Text("a\x00\ud800", (Run(0, 1, BOLD),)), "<strong>a</strong>\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_render(text: Text, html: str | None) -> None:
    assert render(text) == html


def test_a_pill_shows_the_name_that_it_is_given() -> None:
    text = Text("hi bob!", (), (Mention(3, 6, BOB),))
    assert render_html(text, pill=lambda _: ("https://m/", "B\n<o>")) == 'hi <a href="https://m/">B &lt;o&gt;</a>!'


def test_to_plain() -> None:
    html = (
        "<h1>T</h1><ul><li>a<ol><li>b</li></ol></li></ul><blockquote>q</blockquote><a href='http://x'>l</a><pre>c</pre>"
    )
    assert to_plain(parse(html)) == "T\n- a\n  1. b\n> q\nl (http://x)\nc"


# --- there and back ---------------------------------------------------------------------------------------------------
@given(tidy_texts())
def test_text_to_html_and_back(text: Text) -> None:
    html = render(text)
    if html is None:
        assert not text.runs
    else:
        assert parse(html) == text


TAGS = (
    "b", "i", "u", "s", "code", "span", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "p", "div", "br", "hr", "a",
    "td", "tr", "table", "mx-reply", "script", "details", "img", "font", "x",
)  # fmt: skip
FRAGMENTS = (
    *(f"<{tag}>" for tag in TAGS),
    *(f"</{tag}>" for tag in TAGS),
    '<a href="https://matrix.to/#/@g_x:s">',
    '<a href="https://x.y/?a&amp;b">',
    '<a href="javascript:x">',
    '<span data-mx-spoiler="a  b\n&quot;">',
    "<span data-mx-spoiler>",
    '<code class="language-a&quot;b">',
    '<ol start="3">',
    "<li value=-4>",
    "<img alt=' a '>",
    "<!--", "-->", "<", "</", ">", "<!", "<?", '"', "'", "=", "&", ";", "&amp;", "&nbsp;", "&#13;", "&#10;", "&#32;",
    "&#0;", "&lt;b&gt;", "\x00", "\ud800", "\r\n", "\r", "\f", "\n", " ", "  ", "\t", "a", "b c", "é", "\u2028", "\x1c",
)  # fmt: skip
messy_html = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)), max_size=25).map("".join)


@given(messy_html)
def test_html_to_text_and_back_is_stable(html: str) -> None:
    text = parse(html)
    assert_normal(text)
    assert "\x00" not in text.body
    text.body.encode()
    again = render(text)
    if again is None:
        assert not text.runs
        assert not text.mentions
    else:
        assert parse(again) == text
        assert render(parse(again)) == again


@given(wild_texts())
def test_any_text_renders_to_html_that_holds_still(text: Text) -> None:
    html = render(text)
    to_plain(text)
    if html is not None:
        html.encode()
        parsed = parse(html)
        again = render(parsed)
        assert again is None or parse(again) == parsed


@given(st.text(st.characters(codec=None), max_size=200))
def test_text_without_markup_is_kept(body: str) -> None:
    escaped = body.replace("&", "&amp;").replace("<", "&lt;")
    kept = body.replace("\x00", "").translate(dict.fromkeys(range(0xD800, 0xE000), "\ufffd"))
    assert parse(escaped).body.split() == kept.split()


# --- hostile ----------------------------------------------------------------------------------------------------------
def test_depth() -> None:
    deep = "<b>" * 300 + "a" + "</b>" * 250 + "b" + "</b>" * 50 + "c"
    assert parse(deep) == Text("abc", (Run(0, 2, BOLD),))
    assert parse("<blockquote>" * 300 + "a").runs == tuple(quote(0, 1, level) for level in range(1, 17))
    assert parse("<div>" * 300 + "a" + "</div>" * 300) == Text("a")
    assert parse("<ul><li>" * 300 + "a") == Text("a", (item(0, 1, 16),))
    assert parse("<pre>" * 300 + "a" + "</pre>" * 300 + "b  c") == Text("a\nb c", (Run(0, 1, CODE),))


def test_too_complex() -> None:
    with pytest.raises(TooComplex):
        parse("a" * (1024 * 1024))
    with pytest.raises(TooComplex):
        parse("<b>a</b><i>b</i>" * MAX_RUNS)


PATTERNS = (
    "<", "<a ", "<a", "</", "</a ", "<!--", "<!", "<?", "<![", "<![CDATA[", '<a b="', "<a b='", "<b>", "</b>", "<div>",
    "<li>", "<ul><li>", "<blockquote>a", "<pre>\n", "&", "&#", "&#1", "&am", "--", "<br>", "<p>", "<td>", "<tr><td>x",
    "\n", " ", "<b><i></b>", "<mx-reply>", "<script", "<script></script>", "<textarea>", "<a href=", "<a =", "<h1>a",
    "<a href=x:>", "<b>a<i>b</b></i>", "<a href='https://matrix.to/#/@g_x:s'>",
)  # fmt: skip


@pytest.mark.parametrize("lead", ["", "<!--", "<pre>", "&#", '<a x="', "<b>" * 99])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_linear(pattern: str, lead: str) -> None:
    """At 64 KiB, the most that an event holds, something quadratic takes tens of seconds."""
    html = lead + pattern * (65536 // len(pattern))
    started = time.process_time()
    try:
        text = parse(html)
        render(text)
        to_plain(text)
    except TooComplex:
        pass
    assert time.process_time() - started < 3


def test_numbers_of_many_digits() -> None:
    assert parse("&#" + "0" * 5000 + "65;b") == Text("Ab")
    assert parse("&#" + "9" * 5000 + ";b") == Text("\ufffdb")
    assert parse("<a href='http:&#" + "9" * 5000 + ";'>b</a>").body == "b"
    assert parse("<ol start=" + "9" * 5000 + "><li>b").body == "b"
    assert MAX_LENGTH == 262_144
