"""Patterns that are looked for in bounded windows, so that time grows with a text's length and no faster.

Every file can bring a megabyte of text made to drive a regular expression. So a name is found first, which
takes one pass; what may follow it is matched once, within a window behind it, by an expression whose
repetitions do not give back what they took (``*+``), for a limited number of places.

>>> name = Windowed(r"Seed", r"Seed\\s*+=\\s*+([0-9]{1,20})", size=60)
>>> [match[1] for match in name.finditer("Seed = 7, Seed=x, Seed=9")]
['7', '9']
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import islice

#: Places of a name that are looked at.
MAX_PLACES = 128


class Windowed:
    """A pattern behind a name.

    Args:
        name: Finds where to look; plain words, nothing that repeats without end.
        whole: Is matched from there; begins with the name.
        size: Characters that a match may take.
        flags: For both.
    """

    def __init__(self, name: str, whole: str, *, size: int, flags: re.RegexFlag = re.NOFLAG) -> None:
        self._name, self._whole = re.compile(name, flags), re.compile(whole, flags)
        self._size = size

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Matches that do not overlap, in order."""
        end = 0
        for place in islice(self._name.finditer(text), MAX_PLACES):
            if place.start() < end:
                continue
            match = self._whole.match(text, place.start(), place.start() + self._size)
            if match:
                end = match.end()
                yield match

    def search(self, text: str) -> re.Match[str] | None:
        """The first match."""
        return next(self.finditer(text), None)


def unescaped(text: str) -> str:
    """``html.unescape``, which stumbles over numbers of thousands of digits: such a text stays as it is."""
    try:
        return html.unescape(text)
    except ValueError:
        return text
