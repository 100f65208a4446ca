"""A YAML file as plain values that know where they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bridgekit.errors import ConfigError

YamlPath = tuple[str | int, ...]
"""The way from the top of the file to a value: keys and positions."""


class Problem(msgspec.Struct, frozen=True):
    """One mistake in a file: the place, what is wrong there, and the one thing to do."""

    path: YamlPath
    what: str
    fix: str


class Document(msgspec.Struct, frozen=True):
    """A parsed file. `lines`: on which line (from 1) each key or item stands. `problems`: keys that are there twice."""

    path: Path
    data: Any
    lines: dict[YamlPath, int]
    problems: tuple[Problem, ...] = ()

    def where(self, path: YamlPath) -> str:
        """The file, the line and the YAML path, for a person: ``config.yaml, line 4: appservice.port``."""
        line = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        file = f"{self.path}, line {line}" if line is not None else str(self.path)
        return f"{file}: {dotted(path)}" if path else file


def dotted(path: YamlPath) -> str:
    """``appservice.port``, ``permissions["*"]``, ``rooms[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}"
        else:
            text += f'["{part}"]'
    return text.removeprefix(".")


def load_yaml(path: Path, *, missing: str = "Write it, or name another with --config.") -> Document:
    """Read a file. Raises `ConfigError`; `missing` is what to do if there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), "there is no such file", missing) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "it is not UTF-8", "Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(
            str(path), f"it cannot be read ({error.strerror})", "Make it a file that this user may read."
        ) from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> Document:
    """Parse a file's text; `path` is for the messages. Raises `ConfigError`."""
    lines: dict[YamlPath, int] = {}
    problems: list[Problem] = []
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _look(node, (), lines, problems, set())
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = str(path) if mark is None else f"{path}, line {mark.line + 1}"
        # Not the whole error: it quotes the file, and the line may hold a secret. So may the name of an alias or a tag:
        # a password without quotes that begins with * or !.
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        problem = re.sub(r"((?:alias|anchor|tag)) (?:'.*'|\".*\")", r"\1", problem)
        raise ConfigError(where, f"it is not YAML ({problem})", "Mend that line, or the one before it.") from None
    except RecursionError:
        raise ConfigError(str(path), "it is not YAML that could be meant (too deep)", "Write it anew.") from None
    except ValueError:
        raise ConfigError(
            str(path),
            "it is not YAML (a value is not what it looks like, such as the date 2024-13-32)",
            "Put it in quotes.",
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    return Document(path, data, lines, tuple(problems))


def _look(
    node: yaml.Node, path: YamlPath, lines: dict[YamlPath, int], problems: list[Problem], above: set[int]
) -> None:
    if id(node) in above:
        return  # an alias inside its own anchor
    above = above | {id(node)}
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                inner = (*path, str(key.value))
                if inner in lines:
                    problems.append(
                        Problem(inner, f"the key is there twice, first on line {lines[inner]}", "Keep one of the two.")
                    )
                lines[inner] = key.start_mark.line + 1
                _look(value, inner, lines, problems, above)
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                lines[*path, index] = item.start_mark.line + 1
                _look(item, (*path, index), lines, problems, above)
