"""One thing to scan, wherever its bytes lie: a file, a member of a shard, a cell of a table, standard input.

>>> Item.of("a.jpg")
Item(path='a.jpg', holder='', kind='file', at=0, size=0)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["file", "bytes", "tar", "zip", "parquet", "url"]


@dataclass(frozen=True)
class Item:
    """What is scanned as one row.

    Attributes:
        path: What results call it; names it among all others. A member of a shard is ``shard.tar/member``.
        holder: The shard or table that holds it; empty for a file of its own.
        kind: How its bytes are got; ``shards`` knows all but ``file`` and ``bytes``.
        at: Where in the holder: byte of a TAR, row of a Parquet file.
        size: Bytes as the holder tells; 0 where it does not.
        data: The bytes themselves, for ``bytes``.
    """

    path: str
    holder: str = ""
    kind: Kind = "file"
    at: int = 0
    size: int = 0
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, source: Item | Path | str) -> Item:
        """An item as it is, or one for a file."""
        return source if isinstance(source, Item) else cls(str(source))
