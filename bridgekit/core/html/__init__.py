"""Matrix's ``formatted_body`` <-> `Text`, and `Text` -> the plain ``body``."""

from bridgekit.core.html.links import pilled_user, safe_url
from bridgekit.core.html.parse import MAX_DEPTH, MAX_LENGTH, MAX_RUNS, TooComplex, parse_html
from bridgekit.core.html.plain import to_plain
from bridgekit.core.html.render import render_html

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_RUNS",
    "TooComplex",
    "parse_html",
    "pilled_user",
    "render_html",
    "safe_url",
    "to_plain",
]
