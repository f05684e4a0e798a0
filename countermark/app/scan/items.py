"""One thing to scan, wherever its bytes lie: a file, a member of a shard, a cell of a table, standard input.

>>> Item.of("a.jpg")
Item(path='a.jpg', holder='', kind='file', at=0, size=0)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from countermark.core.errors import ImageError
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes

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

    def read(self, limits: Limits = DEFAULT_LIMITS) -> bytes:
        """All of its bytes, once.

        Raises:
            ImageError: as ``core.images.read_bytes``; ``image.missing`` where the holder has lost it.
        """
        if self.data is not None:
            return self.data
        if self.size > limits.max_bytes:
            raise ImageError(
                f"{self.path} has {self.size:,} bytes; the limit is {limits.max_bytes:,}.",
                code="image.too-large",
            )
        if self.kind == "file":
            return read_bytes(self.path, limits)
        from countermark.app.scan.shards import read_member

        return read_member(self, limits)
