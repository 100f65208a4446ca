"""What is shown instead of an edit that cannot be one."""

from __future__ import annotations

import pytest

from bridgekit.core.changes import marked_as_edited
from bridgekit.model.content import Run, Style, Text


@pytest.mark.parametrize(
    "text, marked",
    [
        (Text("new"), "new (edited)"),
        (Text(""), "(edited)"),
        (Text(" \n"), "(edited)"),
        (Text("bold", (Run(0, 4, Style.BOLD),)), "bold (edited)"),
        (Text("code", (Run(0, 4, Style.CODE_BLOCK),)), "code\n(edited)"),
    ],
)
def test_marked(text: Text, marked: str) -> None:
    found = marked_as_edited(text)
    assert found.body == marked
    assert found.runs == (text.runs if text.body.strip() else ())
