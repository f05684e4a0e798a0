"""The one registry class: refuses duplicates, names what it knows when asked for what it doesn't.

>>> shapes: Registry[int] = Registry("shape")
>>> shapes.register("square", 4)
4
>>> shapes.get("sqare")
Traceback (most recent call last):
...
countermark.core.errors.UnknownNameError: There is no shape 'sqare'. Did you mean 'square'? Known: square.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from countermark.core.errors import ConfigError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to values of one kind, in the order they were registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, value: T) -> T:
        """Adds ``value`` under ``name``; raises ConfigError when the name is taken."""
        if name in self._entries:
            raise ConfigError(f"The {self.kind} {name!r} is registered twice.", code="name.taken")
        self._entries[name] = value
        return value

    def add(self, name: str) -> Callable[[T], T]:
        """Decorator form of ``register``."""
        return lambda value: self.register(name, value)

    def get(self, name: str) -> T:
        """Returns the entry; raises UnknownNameError that lists the known names."""
        if name in self._entries:
            return self._entries[name]
        close = difflib.get_close_matches(name, self._entries, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        raise UnknownNameError(
            f"There is no {self.kind} {name!r}.",
            hint=f"{guess}Known: {', '.join(self._entries) or 'none'}.",
        )

    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
