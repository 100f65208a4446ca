"""The first file of somebody new: every key with its meaning, and what is not needed commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import msgspec
import yaml

from bridgekit.settings.keys import Key, Section, in_yaml, sections

WIDTH = 100
"""Columns of a comment."""


def commented(
    kind: type[msgspec.Struct], values: Mapping[str, object], *, parts: Mapping[str, type[msgspec.Struct]], head: str
) -> str:
    """The file's text. `values`: what to set, by dotted path; all other keys that have a default are commented out with
    it. `parts`: as for `bridgekit.settings.reading.read`. `head`: the comment at the top."""
    found = [section for section in sections(kind) if section.path]
    top = [key for section in sections(kind) if not section.path for key in section.keys if key.name not in parts]
    blocks = [_comment(head, ""), *(_section(section, values) for section in found)]
    blocks.extend(_key(key, values, "") for key in top)
    for name, part in parts.items():
        blocks.extend(_section(section, values) for section in sections(part, name))
    return "\n\n".join(blocks) + "\n"


def _section(section: Section, values: Mapping[str, object]) -> str:
    depth = section.path.count(".")
    name = section.path.rpartition(".")[2]
    lines = [_comment(section.description, "  " * depth)] if section.description else []
    lines.append(f"{'  ' * depth}{name}:")
    keys = "\n\n".join(_key(key, values, "  " * (depth + 1)) for key in section.keys)
    return "\n".join([*lines, keys] if keys else lines)


def _key(key: Key, values: Mapping[str, object], indent: str) -> str:
    lines = [_comment(key.description, indent)] if key.description else []
    if key.path in values:
        lines.extend(f"{indent}{line}" for line in _pair(key.name, in_yaml(values[key.path]), WIDTH - len(indent)))
    elif key.default is None:
        lines.append(f"{indent}# {key.name}:")
    else:
        lines.extend(f"{indent}# {line}" for line in _pair(key.name, key.default, WIDTH - len(indent) - 2))
    return "\n".join(lines)


def _pair(name: str, value: str, width: int) -> list[str]:
    """The key with its value, on one line if it fits; a mapping of more than one key never does."""
    line = f"{name}: {value}"
    parsed = yaml.safe_load(value)
    if not isinstance(parsed, list | dict) or (
        len(line) <= width and not (isinstance(parsed, dict) and len(parsed) > 1)
    ):
        return [line]
    block = yaml.safe_dump(parsed, default_flow_style=False, allow_unicode=True, width=10**9, sort_keys=False)
    return [f"{name}:", *(f"  {one}" for one in block.splitlines())]


def _comment(text: str, indent: str) -> str:
    prefix = f"{indent}# "
    lines = [
        wrapped
        for paragraph in text.split("\n")
        for wrapped in textwrap.wrap(paragraph, WIDTH - len(prefix), break_long_words=False) or [""]
    ]
    return "\n".join(f"{prefix}{line}".rstrip() for line in lines)
