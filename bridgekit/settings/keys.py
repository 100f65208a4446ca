"""The keys that a Struct declares: what they are called, what they take, what they mean."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import yaml
from msgspec import inspect

SECRET = {"secret": True}
"""``msgspec.Meta(extra=SECRET)``: the value is never shown, and not asked for where others can read along."""


class Key(msgspec.Struct, frozen=True):
    """One key of a file. `default` is None where the key is required, else YAML; `kind` is its type in words."""

    path: str
    name: str
    type: Any
    kind: str
    description: str
    default: str | None
    secret: bool


class Section(msgspec.Struct, frozen=True):
    """The keys that stand together in the file; `path` is "" for those at the top."""

    path: str
    description: str
    keys: tuple[Key, ...]


def sections(kind: type[msgspec.Struct], path: str = "") -> list[Section]:
    """The Struct's own keys, and then those of each Struct in it."""
    prefix = f"{path}." if path else ""
    own: list[Key] = []
    inner: list[Section] = []
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        nested = struct_in(field.type)
        if nested is not None:
            inner.extend(sections(nested, prefix + name))
        else:
            own.append(
                Key(
                    path=prefix + name,
                    name=name,
                    type=field.type,
                    kind=expected(field.type),
                    description=meta(field.type, "description") or "",
                    default=_default(field),
                    secret=is_secret(field.type),
                )
            )
    return [Section(path, first_paragraph(kind), tuple(own)), *inner]


def first_paragraph(kind: type) -> str:
    """The docstring's first paragraph, on one line. Nothing if the class has none of its own."""
    return " ".join((vars(kind).get("__doc__") or "").strip().partition("\n\n")[0].split())


def struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The Struct that a mapping in this place would be read into, None if there is none."""
    for one in _members(annotation):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def plain(annotation: Any) -> Any:
    """Without `Annotated`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> list[Any]:
    annotation = plain(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [plain(one) for one in get_args(annotation)]
    return [annotation]


def takes_text(annotation: Any) -> bool:
    """Whether a text may stand here, and no mapping: then `{env: NAME}` and `{file: path}` stand for a text."""
    members = _members(annotation)
    kinds = [type(inspect.type_info(one)) for one in members]
    texts = (inspect.StrType, inspect.EnumType, inspect.LiteralType)
    return any(kind in texts for kind in kinds) and not any(
        kind in (inspect.DictType, inspect.StructType, inspect.AnyType) for kind in kinds
    )


def meta(annotation: Any, name: Literal["description"]) -> str | None:
    """What the annotation's `msgspec.Meta` says; the outermost that says it."""
    while get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        for note in notes:
            if isinstance(note, msgspec.Meta) and (said := getattr(note, name)) is not None:
                return str(said)
        annotation = inner
    return None


def is_secret(annotation: Any) -> bool:
    """Whether the key is marked with `SECRET`."""
    return bool(_extra(annotation, "secret"))


def _extra(annotation: Any, name: str) -> object:
    while get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        for note in notes:
            if isinstance(note, msgspec.Meta) and note.extra is not None and name in note.extra:
                return note.extra[name]
    return None


def _default(field: msgspec.structs.FieldInfo) -> str | None:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return None
    return in_yaml(msgspec.to_builtins(value))


def in_yaml(value: object) -> str:
    """A value as it stands behind a colon, on one line."""
    if isinstance(value, str) and (not value or ": " in value or value != value.strip()):
        return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return dumped.removesuffix("\n").removesuffix("\n...").removesuffix("\n")


def expected(annotation: Any) -> str:
    """What may stand in this place, in words: ``a whole number from 0 to 65535``."""
    if (words := _extra(annotation, "kind")) is not None:
        return str(words)
    inner = plain(annotation)
    origin, arguments = get_origin(inner), get_args(inner)
    if origin is Literal:
        return _one_of(arguments)  # in the order in which they were written
    if origin in (Union, types.UnionType):
        return " or ".join(map(expected, arguments))
    if origin is dict:
        return f"a mapping, each key {expected(arguments[0])}, each value {expected(arguments[1])}"
    if origin in (list, tuple, set, frozenset):
        return f"a list, each item {expected(arguments[0])}"
    return _words(inspect.type_info(annotation))


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _words(kind.type)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _range(kind)
        case inspect.FloatType():
            return "a number" + _range(kind)
        case inspect.StrType():
            return _text(kind)
        case inspect.EnumType():
            return _one_of([member.value for member in kind.cls])
        case inspect.NoneType():
            return "null"
        case inspect.DictType() | inspect.StructType():
            return "a mapping of keys to values"
        case inspect.AnyType():
            return "anything"
    return type(kind).__name__.removesuffix("Type").lower()


def _one_of(values: Any) -> str:
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _text(kind: inspect.StrType) -> str:
    if kind.pattern is not None:
        return "an http:// or https:// URL" if "https?://" in kind.pattern else f"text that matches {kind.pattern}"
    return "text that is not empty" if kind.min_length else "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:.12g} to {kind.le:.12g}"
    limits = (("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt))
    said = [f"{word} {limit:.12g}" for word, limit in limits if limit is not None]
    return f", {' and '.join(said)}" if said else ""
