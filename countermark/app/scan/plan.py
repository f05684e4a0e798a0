"""What a large scan is to look at, one item after the other: nothing is listed before it is needed.

Files are named by where they really are, so that a resumed scan knows them however its folder was typed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from countermark.app.scan.folders import HALF_WRITTEN, LINKS, walked
from countermark.app.scan.items import Item
from countermark.app.scan.shards import is_shard, is_url, members
from countermark.app.scan.sources import STANDARD_INPUT, expand, place, read_list


class Plan:
    """Items in a stable order; ``left_out`` counts what was passed over, by reason, as far as it was walked.

    Args:
        names: Files, folders (shards in them are opened), patterns, shards, URLs, ``-`` for a list.
        stream: Standard input, read only for ``-``.
        null: The list's names end with NUL.
    """

    def __init__(self, names: Iterable[str], stream: IO[bytes], *, null: bool = False) -> None:
        self._names: list[str] = []
        for name in list(names) or ["."]:
            self._names += read_list(stream, null=null) if name == STANDARD_INPUT else [name]
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item]:
        """Yields every item once, by its path, though sources may lie within each other.

        Raises:
            ConfigError: as ``shards.members``.
        """
        self.left_out.clear()
        sources: dict[str, str] = {}
        for name in dict.fromkeys(self._names):
            for source in [name] if is_url(name) else expand([name]):
                sources.setdefault(_root(source), source)
        above = {folder for root in sources for folder in _above(root)}
        seen: set[str] = set()  # only of sources that share items with others: the rest may be of any size
        for root, source in sources.items():
            shared = root in above or any(folder in sources for folder in _above(root))
            for item in self._of(source):
                if shared:
                    if item.path in seen:
                        continue
                    seen.add(item.path)
                yield item

    def _of(self, source: str) -> Iterator[Item]:
        if is_url(source):
            yield from members(source)
        elif os.path.isdir(source):
            for path, reason in walked(os.path.realpath(source)):
                if is_shard(path.name) and reason not in (LINKS, HALF_WRITTEN):
                    yield from members(str(path))
                elif reason:
                    self.left_out[reason] += 1
                else:
                    yield Item(str(path))
        elif is_shard(source) and os.path.isfile(source):
            yield from members(place(source))
        else:
            yield Item(place(source))


def _root(source: str) -> str:
    """A source by what it is, however it was typed."""
    if is_url(source):
        return source
    return os.path.realpath(source) if os.path.isdir(source) else place(source)


def _above(root: str) -> tuple[str, ...]:
    """The folders that a source lies in."""
    return () if is_url(root) else _folders(os.path.dirname(root))


@lru_cache(maxsize=1024)
def _folders(folder: str) -> tuple[str, ...]:
    return tuple(map(str, (Path(folder), *Path(folder).parents)))
