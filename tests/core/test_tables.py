"""Tables of the bot: plain text and HTML that say the same."""

from __future__ import annotations

from bridgekit.core.tables import MAX_CELL, table


def test_a_table() -> None:
    answer = table("Fish & <chips>", ("id", "name"), [("1", "a\nb"), ("22", "<i>")], note="more & more")
    assert answer.body == "Fish & <chips>\nid  name\n1   a b\n22  <i>\nmore & more"
    assert answer.html == (
        "<p>Fish &amp; &lt;chips&gt;</p><table><thead><tr><th>id</th><th>name</th></tr></thead>"
        "<tbody><tr><td>1</td><td>a b</td></tr><tr><td>22</td><td>&lt;i&gt;</td></tr></tbody></table>"
        "<p>more &amp; more</p>"
    )


def test_cells_stay_short_and_clean() -> None:
    answer = table("t", ("a",), [("x" * 1000,), ("\ud800\x00",)])
    assert max(len(line) for line in answer.body.splitlines()) == MAX_CELL
    answer.body.encode()
    assert "\x00" not in answer.body and answer.html is not None and "\x00" not in answer.html
