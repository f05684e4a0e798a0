"""Configuration that people write: read within a limit, validated, and answered in one kind of sentence.

Whatever it is (a policy, a scan's settings, a recipe, a preset, an ignore file), a mistake is a
``ConfigError`` with the file, the key, what is wrong with it, and the nearest known one:

>>> class Scan(BaseModel):
...     model_config = ConfigDict(extra="forbid")
...     max_fpr: float = Field(default=0.01, le=0.5)
>>> validated(Scan, {"max_fprr": 0.1}, "a.toml")
Traceback (most recent call last):
countermark.core.errors.ConfigError: a.toml: unknown key 'max_fprr'. Did you mean 'max_fpr'? Known: max_fpr.
>>> validated(Scan, {"max_fpr": 0.9}, "a.toml")
Traceback (most recent call last):
countermark.core.errors.ConfigError: a.toml: max_fpr must be less than or equal to 0.5, and is 0.9.

Codes: ``config.missing``, ``config.unreadable``, ``config.too-large``, ``config.toml``,
``config.unknown-key`` and ``config.value``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countermark.core.errors import ConfigError, known_names

__all__ = [
    "BaseModel", "ConfigDict", "Field", "choice", "parse_toml", "read_text", "read_toml", "unknown_key",
    "validated",
]  # fmt: skip

MAX_BYTES = 4 * 1024 * 1024
#: By the beginning of pydantic's type of an error: what is wanted.
_WANTED = (
    ("int_", "a whole number"),
    ("float_", "a number"),
    ("string_type", "text in quotes"),
    ("bool_", "true or false"),
    ("date_", "a date such as 2030-01-31"),
    ("model_", "a table"),
    ("dict_type", "a table"),
    ("tuple_type", "a list"),
    ("list_type", "a list"),
)

Model = TypeVar("Model", bound=BaseModel)


def read_text(path: Path | str, *, what: str = "file", max_bytes: int = MAX_BYTES, hint: str = "") -> str:
    """The text of a configuration file of at most ``max_bytes``; ``hint`` for where there is none."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(max_bytes + 1)
        text = data.decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.", code="config.missing", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} cannot be read: it is not UTF-8 text.", code="config.unreadable"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read: {reason}.", code="config.unreadable") from error
    if len(data) > max_bytes:
        raise ConfigError(
            f"{path} is too large for a {what}: more than {max_bytes:,} bytes.", code="config.too-large"
        )
    return text


def read_toml(
    path: Path | str, *, what: str = "file", max_bytes: int = MAX_BYTES, hint: str = ""
) -> dict[str, Any]:
    """The tables of a TOML file."""
    return parse_toml(read_text(path, what=what, max_bytes=max_bytes, hint=hint), str(path))


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The tables of TOML text; ``name`` says in errors whose it is."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{name} is not valid TOML: {reason}.", code="config.toml") from error


def validated(model: type[Model], values: object, where: str) -> Model:
    """``values`` as a ``model``; the first mistake is named, and how many more there are.

    Raises:
        ConfigError: ``config.unknown-key`` or ``config.value``.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        others = len(problems) - 1
        more = f" There {'is one more mistake' if others == 1 else f'are {others} more mistakes'}." * bool(
            others
        )
        path, hint = tuple(first["loc"]), ""
        if first["type"] == "extra_forbidden":
            hint = known_names(str(path[-1]), sorted(_keys_at(model, path[:-1])))
            raise ConfigError(
                f"{where}: unknown key {_named(path)!r}.{more}", code="config.unknown-key", hint=hint
            ) from error
        text, hint = _sentence(dict(first), path)
        raise ConfigError(f"{where}: {text}.{more}", code="config.value", hint=hint) from error


def unknown_key(where: str, key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that is looked at by hand."""
    return ConfigError(
        f"{where}: unknown key {key!r}.", code="config.unknown-key", hint=known_names(key, known)
    )


def choice(where: str, key: str, value: object, known: Iterable[str]) -> ConfigError:
    """The error for a value that is none of the known ones."""
    return ConfigError(
        f"{where}: {key} is {_short(value)}.", code="config.value", hint=known_names(str(value), known)
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}…"


def _named(path: tuple[int | str, ...]) -> str:
    """``waivers (number 2).expires``, counted as people do."""
    text = ""
    for part in path:
        text += f" (number {part + 1})" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _sentence(problem: Mapping[str, Any], path: tuple[int | str, ...]) -> tuple[str, str]:
    """What is wrong with one value, and a hint."""
    key, kind, message = _named(path), problem["type"], str(problem["msg"])
    given = problem.get("input")
    shown = "" if isinstance(given, dict | list | tuple) else f", and is {_short(given)}"
    if kind == "missing":
        return f"the key {key!r} is missing", ""
    if kind == "literal_error":
        known = [part.strip("'") for part in problem["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(str(given), known, n=1)
        return f"{key} is {_short(given)}", (f"Did you mean {near[0]!r}? " if near else "") + (
            f"Known: {', '.join(known)}."
        )
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        return f"{key}: {text}" if key else text, ""
    wanted = next((word for start, word in _WANTED if kind.startswith(start)), "")
    if wanted:
        return f"{key or 'it'} must be {wanted}{shown}", ""
    text = message[:1].lower() + message[1:]
    for pydantic in ("input should be ", "input should have ", "string should have "):
        if text.startswith(pydantic):
            verb = "have" if "have" in pydantic else "be"
            return f"{key or 'it'} must {verb} {text.removeprefix(pydantic)}{shown}", ""
    return f"{key}: {text}{shown}" if key else f"{text}{shown}", ""


def _keys_at(kind: Any, path: tuple[int | str, ...]) -> set[str]:
    """The keys that are known at ``path`` inside a model, or inside what an annotation holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return {field.alias or name for name, field in kind.model_fields.items()}
        field = kind.model_fields.get(str(path[0]))
        return _keys_at(field.annotation, path[1:]) if field is not None else set()
    origin, inner = get_origin(kind), [a for a in get_args(kind) if isinstance(a, type) or get_args(a)]
    if origin in (dict, Mapping, list, tuple, Sequence):
        inner, path = inner[-1:], path[1:]  # past the name or number of the element
    return next((keys for keys in (_keys_at(part, path) for part in inner) if keys), set())
