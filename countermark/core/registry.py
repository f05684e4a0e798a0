"""The one registry class: refuses duplicates, names what it knows when asked for what it doesn't.

>>> shapes: Registry[int] = Registry("shape")
>>> shapes.register("square", 4)
4
>>> shapes.get("sqare")
Traceback (most recent call last):
...
countermark.core.errors.UnknownNameError: There is no shape 'sqare'. Did you mean 'square'? Known: square.

An entry may be placed by the name of its home and is then imported when it is first asked for:

>>> shapes.place("tau", "math:tau")
>>> list(shapes), round(shapes.get("tau"), 2)
(['square', 'tau'], 6.28)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Generic, TypeVar

from countermark.core.errors import ConfigError, UnknownNameError, known_names

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to values of one kind, in the order they were registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        #: The entry, or None as long as only its home is known.
        self._entries: dict[str, T | None] = {}
        self._homes: dict[str, str] = {}

    def register(self, name: str, value: T) -> T:
        """Adds ``value`` under ``name``; raises ConfigError when the name is taken."""
        self._claim(name)
        self._entries[name] = value
        return value

    def place(self, name: str, home: str) -> None:
        """Adds an entry by its home, ``package.module:attribute``, imported when it is asked for."""
        self._claim(name)
        self._entries[name], self._homes[name] = None, home

    def _claim(self, name: str) -> None:
        if name in self._entries:
            raise ConfigError(f"The {self.kind} {name!r} is registered twice.", code="name.taken")

    def add(self, name: str) -> Callable[[T], T]:
        """Decorator form of ``register``."""
        return lambda value: self.register(name, value)

    def get(self, name: str) -> T:
        """Returns the entry; raises UnknownNameError that lists the known names."""
        if name not in self._entries:
            raise UnknownNameError(
                f"There is no {self.kind} {name!r}.", hint=known_names(name, self._entries)
            )
        value = self._entries[name]
        if value is None:
            module, _, attribute = self._homes[name].partition(":")
            found: T = getattr(import_module(module), attribute)
            self._entries[name] = value = found
        return value

    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
