"""Plain values into a Struct: every mistake in the file at once, each with its place."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec

from bridgekit.errors import ConfigError
from bridgekit.settings.keys import expected, is_secret, meta, plain, struct_in, takes_text
from bridgekit.settings.yamlfile import Document, Problem, YamlPath

T = TypeVar("T", bound=msgspec.Struct)

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_SOUNDS_SECRET = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)


class Reading(msgspec.Struct, Generic[T], frozen=True):
    """What was read. `secrets`: the texts that came from the environment or from files, not to be shown."""

    value: T | None
    problems: tuple[Problem, ...]
    secrets: tuple[str, ...] = ()


def read(
    document: Document,
    kind: type[T],
    *,
    parts: Mapping[str, type[msgspec.Struct]] | None = None,
    environment: Mapping[str, str] | None = None,
    look_up: bool = True,
) -> Reading[T]:
    """Read the document into a Struct, or say all that is wrong with it.

    `parts`: fields of the Struct that are plain mappings there, with the Struct that each must also fit; what was found
    in the environment and in files is filled in. Not `look_up`: `{env: NAME}` and `{file: path}` are accepted as they
    stand, and no value comes back if there is one.
    """
    reader = _Reader(document.path.parent, os.environ if environment is None else environment, look_up)
    filled = reader.struct(document.data, kind, (), dict(parts or {}))
    problems = (*document.problems, *reader.problems)
    value = None if problems or reader.unknown else msgspec.convert(filled, kind)
    return Reading(value, problems, tuple(reader.secrets))


def problems_as_error(document: Document, problems: Sequence[Problem]) -> ConfigError:
    """All of them as one error."""
    first, *more = (ConfigError(document.where(p.path), p.what, p.fix) for p in problems)
    first.more = tuple(more)
    return first


class _Reader:
    def __init__(self, directory: Path, environment: Mapping[str, str], look_up: bool) -> None:
        self._directory = directory
        self._environment = environment
        self._look_up = look_up
        self.problems: list[Problem] = []
        self.secrets: list[str] = []
        self.unknown = False
        """Whether a text was not looked up."""

    def _wrong(self, path: YamlPath, what: str, fix: str) -> None:
        self.problems.append(Problem(path, what, fix))

    def struct(
        self, data: Any, kind: type[msgspec.Struct], path: YamlPath, parts: dict[str, type[msgspec.Struct]]
    ) -> Any:
        """The mapping with its texts looked up, fit for `kind` unless there are new problems."""
        if data is None and path:
            data = {}  # a section whose keys are all commented out
        if not isinstance(data, dict):
            what = f"expected a mapping of keys to values, found {_found(data)}"
            self._wrong(path, what, "Write one `key: value` on each line.")
            return data
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        known = len(self.problems)
        filled: dict[str, Any] = {}
        meant: set[str | None] = set()
        for key, value in data.items():
            if key not in fields:
                meant.add(self._unknown_key(path, key, list(fields)))
            elif key in parts:
                filled[key] = self.struct(value, parts[key], (*path, key), {})
            else:
                filled[key] = self.value(value, fields[key].type, (*path, key))
        for name, field in fields.items():
            if name in data or name in meant:
                continue
            if field.required:
                description = meta(field.type, "description")
                hint = f" {description}" if description else ""
                self._wrong((*path, name), f"it is missing; expected {expected(field.type)}", f"Add it.{hint}")
            elif name in parts:
                filled[name] = self.struct({}, parts[name], (*path, name), {})
        if len(self.problems) == known and not self.unknown:
            try:
                msgspec.convert(filled, kind)
            except msgspec.ValidationError as error:  # what the Struct's own __post_init__ says
                self._wrong(path, str(error).partition(" - at `$")[0], "Mend that.")
        return filled

    def _unknown_key(self, path: YamlPath, key: object, names: list[str]) -> str | None:
        """Report it; the known key that was probably meant."""
        near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
        if near:
            self._wrong((*path, str(key)), f"unknown key `{key}`; did you mean `{near[0]}`?", "Mend the name.")
            return near[0]
        if names:
            fix = f"Remove it; the keys here are {', '.join(f'`{name}`' for name in names)}."
        else:
            fix = "Remove it; there are no keys here."
        self._wrong((*path, str(key)), f"unknown key `{key}`", fix)
        return None

    def value(self, data: Any, annotation: Any, path: YamlPath) -> Any:
        """The value with its texts looked up."""
        kind = struct_in(annotation)
        if kind is not None and (isinstance(data, dict) or data is None or kind is plain(annotation)):
            return self.struct(data, kind, path, {})
        inner = plain(annotation)
        origin, arguments = get_origin(inner), get_args(inner)
        if origin is dict and arguments and isinstance(data, dict):
            return {
                self._key(key, arguments[0], path): self.value(item, arguments[1], (*path, str(key)))
                for key, item in data.items()
            }
        if origin in (list, tuple, set, frozenset) and arguments and isinstance(data, list):
            return [self.value(item, arguments[0], (*path, index)) for index, item in enumerate(data)]
        shown = not (is_secret(annotation) or any(_SOUNDS_SECRET.search(str(part)) for part in path[-1:]))
        if _is_reference(data) and takes_text(annotation):
            shown = False
            data = self._looked_up(data, path)
            if data is None:
                return None
        self._check(data, annotation, path, shown=shown)
        return data

    def _key(self, key: Any, annotation: Any, path: YamlPath) -> Any:
        try:
            msgspec.convert(key, annotation)
        except msgspec.ValidationError:
            what = f"the key is wrong: expected {expected(annotation)}, found {_found(key)}"
            self._wrong((*path, str(key)), what, "Mend that key.")
        return key

    def _check(self, data: Any, annotation: Any, path: YamlPath, *, shown: bool) -> None:
        if isinstance(data, str) and _UNWRITABLE.search(data):
            # No file name, no address and no database takes them, and each fails in a way of its own.
            self._wrong(path, "there is a character in it that no text has (NUL, or half of one)", "Take it out.")
            return
        finite = not isinstance(data, float) or math.isfinite(data)
        try:
            if finite:
                msgspec.convert(data, annotation)
                return
        except msgspec.ValidationError:
            pass  # said in our own words below: they never quote a secret
        found = _found(data) if shown else f"{_kind(data)} that is not shown"
        fix = "Mend that value."
        if takes_text(annotation) and isinstance(data, bool | int | float):
            fix = "Put it in quotes."  # `no`, `1.10` and `0123` are not text in YAML
        elif _is_reference(data):
            fix = "Write the value itself: the environment and files stand for text only."
        elif takes_text(annotation) and isinstance(data, dict):
            fix = "Write the text itself, {env: NAME} or {file: path}."
        self._wrong(path, f"expected {expected(annotation)}, found {found}", fix)

    def _looked_up(self, reference: dict[str, str], path: YamlPath) -> str | None:
        ((source, name),) = reference.items()
        if not self._look_up:
            self.unknown = True
            return None
        if source == "env":
            value = self._environment.get(name)
            if value is None:
                self._wrong(path, f"the environment variable {name} is not set", "Set it where the bridge is started.")
                return None
        else:
            file = self._directory / name
            try:
                value = file.read_text(encoding="utf-8")
            except FileNotFoundError:
                self._wrong(path, f"there is no file {file}", "Write the value into it, or name another file.")
                return None
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                fix = "Make it a text file that this user may read."
                self._wrong(path, f"the file {file} cannot be read ({why})", fix)
                return None
            value = value.removesuffix("\n").removesuffix("\r")
        self.secrets.append(value)
        return value


def _is_reference(data: Any) -> bool:
    """``{env: NAME}`` or ``{file: path}``."""
    if not isinstance(data, dict) or len(data) != 1:
        return False
    ((source, name),) = data.items()
    return source in ("env", "file") and isinstance(name, str) and bool(name)


def _kind(data: Any) -> str:
    match data:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return f"a {type(data).__name__}"


def _found(data: Any) -> str:
    match data:
        case bool():
            return "true" if data else "false"
        case int() | float():
            return f"the number {data}"
        case "":
            return "empty text"
        case str():
            return f'the text "{data[:60]}{"..." if len(data) > 60 else ""}"'
    return _kind(data)
