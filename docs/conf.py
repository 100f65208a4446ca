"""How Sphinx makes the site: ``make docs``. Nothing here is fetched from anywhere."""

from __future__ import annotations

import importlib
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import bridgekit

project = "bridgekit"
author = "The bridgekit authors"
project_copyright = author
version = release = bridgekit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["conf.py"]

# --- Markdown -------------------------------------------------------------------------------------------------------
myst_heading_anchors = 3  # page.md#a-heading works, as it does where people read the files themselves
highlight_language = "none"  # a block that does not say what it is

# --- the reference, from docstrings ---------------------------------------------------------------------------------
default_role = "py:obj"  # `Limits` in a docstring is a link, if there is such a thing
add_module_names = False  # everything there is imported from bridgekit.adapter
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88  # past that, a line for each field

# --- the pages ------------------------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"bridgekit {version}"
html_static_path = ["_static"]
html_css_files = ["bridgekit.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

_DEFINING = (
    "bridgekit.model.ids",
    "bridgekit.model.content",
    "bridgekit.model.remote",
    "bridgekit.adapter.capabilities",
)


def words_of_values() -> dict[str, list[str]]:
    """What stands below ``ChatID = NewType(...)`` and the like, by name: values have no docstring of their own, and
    autodoc looks for their words only in the module that it was told."""
    found: dict[str, list[str]] = {}
    for module in _DEFINING:
        importlib.import_module(module)
        for (scope, name), lines in ModuleAnalyzer.for_module(module).find_attr_docs().items():
            if not scope:
                found[name] = lines
    return found


def setup(app: Sphinx) -> None:
    """Give values their words."""
    words = words_of_values()

    def give(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        if what in ("data", "type"):
            lines[:] = words.get(name.rpartition(".")[2], lines)

    app.connect("autodoc-process-docstring", give)
