"""YAML files that people write, as Structs: reading them, explaining their keys, and writing the first one.

A Struct's fields are ``Annotated[T, msgspec.Meta(description=...)]``; everything here follows from those. A field with
``extra={"secret": True}`` is never shown; ``extra={"kind": "a colour"}`` says in words what it takes.
"""

from bridgekit.settings.keys import Key, Section, expected, sections
from bridgekit.settings.reading import Reading, problems_as_error, read
from bridgekit.settings.writing import commented
from bridgekit.settings.yamlfile import Document, Problem, load_yaml, parse_yaml

__all__ = [
    "Document",
    "Key",
    "Problem",
    "Reading",
    "Section",
    "commented",
    "expected",
    "load_yaml",
    "parse_yaml",
    "problems_as_error",
    "read",
    "sections",
]
