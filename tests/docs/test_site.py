"""The site builds, offline and without a warning, and the adapter reference on it is whole."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import msgspec
import pytest
from sphinx.util.inventory import InventoryFile

from bridgekit import adapter
from tests.docs.guide import run_sh

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = "reference/adapter.html"

EXPORTS: Final = {name: getattr(adapter, name) for name in adapter.__all__}
STRUCTS: Final = [one for one in EXPORTS.values() if isinstance(one, type) and issubclass(one, msgspec.Struct)]
METHODS: Final = [
    (one, method)
    for one in EXPORTS.values()
    if isinstance(one, type)
    for name, method in vars(one).items()
    if not name.startswith("_") and inspect.isfunction(method)
]


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, by the command of ``make docs``."""
    made = tmp_path_factory.mktemp("site")
    (command,) = re.findall(r"^\t@(\$\(BIN\)/sphinx-build .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = command.replace("$(BIN)", str(Path(sys.executable).parent))
    await run_sh(re.sub(r"\bsite\b", str(made), command), cwd=ROOT, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    return made


class _Page(HTMLParser):
    """What a page fetches, and the words below each definition."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.words: dict[str, str] = {}
        self._open: list[str] = []  # definitions around what is being read
        self._last = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source"):
            self.fetched.append(given.get("src", ""))
        elif tag == "link" and given.get("rel") not in ("canonical", "search", "index", "next", "prev"):
            self.fetched.append(given.get("href", ""))
        elif tag == "dt" and "id" in given:
            self.words[given["id"]] = ""
            self._last = given["id"]
        elif tag == "dd":
            self._open.append(self._last)

    def handle_endtag(self, tag: str) -> None:
        if tag == "dd" and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for name in self._open:
            self.words[name] = self.words.get(name, "") + data


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    fetched = {url for page in pages for url in _read(page).fetched}
    assert not [url for url in fetched if re.match(r"\w+:|//", url) and not url.startswith("data:")]
    styles = "".join(style.read_text(encoding="utf-8") for style in site.rglob("*.css"))
    assert not re.findall(r"@import|url\(['\"]?(?:\w+:)?//[^)]*", styles)


def test_every_export_is_on_the_page_with_its_meaning(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    there = {
        name: entry.uri.partition("#")[0]
        for kind, entries in inventory.data.items()
        if kind.startswith("py:")
        for name, entry in entries.items()
    }
    words = _read(site / PAGE).words
    for name in EXPORTS:
        full = f"bridgekit.adapter.{name}"
        assert there.get(full) == PAGE, f"{full} is not on docs/reference/adapter.md"
        assert len(words[full].split()) >= 5, f"{full} is not explained: {words[full]!r}"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda one: one.__name__)
def test_every_field_is_explained_with_its_unit(struct: type[msgspec.Struct]) -> None:
    said = vars(struct)["__doc__"]
    assert not [field for field in struct.__struct_fields__ if f"`{field}`" not in said]
    for field in msgspec.structs.fields(struct):
        if field.type in (int, float, int | None, float | None):
            units = r"\bms\b|seconds|bytes|code points|pixels|degrees|`text_unit`"
            assert re.search(units, said), f"{field.name}: in what unit?"


@pytest.mark.parametrize("owner, method", METHODS, ids=lambda one: getattr(one, "__qualname__", None))
def test_every_method_says_what_it_raises(owner: type, method: object) -> None:
    assert re.search(r"\braises\b", inspect.getdoc(method) or "", re.IGNORECASE)


async def test_a_broken_link_fails_the_build(site: Path, tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# Here\n\n[gone](gone.md)\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-c", ROOT / "docs", tmp_path, tmp_path / "site",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode != 0 and b"gone.md" in said
