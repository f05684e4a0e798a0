"""Pictures inside of TAR and ZIP shards (WebDataset), Parquet tables, and behind URLs that were named.

A shard is listed by its headers, and every member is read by itself: any worker can read any of them. TAR
shards must not be compressed as a whole, for then no member has a place of its own.
"""

from __future__ import annotations

import bisect
import tarfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from countermark.app.scan.items import Item
from countermark.app.scan.rows import pyarrow_or_refuse
from countermark.core.errors import ConfigError, ImageError, MissingExtraError
from countermark.core.images import DEFAULT_LIMITS, EXTENSIONS, Limits, read_bytes

if TYPE_CHECKING:
    import pyarrow

SHARDS = frozenset((".tar", ".zip", ".parquet"))
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
#: Columns of tables that are taken for pictures, in this order; as bytes or as the ``{bytes, path}`` of
#: Hugging Face datasets.
PICTURE_COLUMNS = ("image", "bytes", "picture", "img", "jpg", "png", "webp", "content", "data")
_MAX_NAME = 4096
_MAX_GROUP = 1 << 30


def is_shard(name: str) -> bool:
    """Whether a source is one whose pictures lie inside of it, by its name."""
    return Path(name).suffix.lower() in SHARDS or name.lower().endswith(_COMPRESSED)


def is_url(name: str) -> bool:
    """Whether a source is a URL. Nothing is fetched that was not named like this."""
    head, mark, _ = name.partition("://")
    return bool(mark) and len(head) > 1 and head.replace("+", "").isalnum()


def members(source: str) -> Iterator[Item]:
    """The pictures of a shard or URL, in its order.

    Raises:
        ConfigError: ``scan.shard``: it is damaged, compressed as a whole, or has no column of pictures.
        MissingExtraError: pyarrow or fsspec are needed and not installed.
    """
    lower = source.lower()
    if is_url(source):
        yield from _remote(source)
        return
    if lower.endswith(_COMPRESSED):
        raise ConfigError(
            f"{source} is compressed as a whole.",
            code="scan.shard",
            hint="Unpack it first: members of a plain .tar can be read one by one.",
        )
    try:
        if lower.endswith(".tar"):
            yield from _tar(source)
        elif lower.endswith(".zip"):
            yield from _zip(source)
        else:
            yield from _parquet(source)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ConfigError(
            f"{source} cannot be read as a shard: {error}.",
            code="scan.shard",
            hint="Fetch it again from where it came from, or leave it out.",
        ) from error


def read_item(item: Item, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """All bytes of an item, once.

    Raises:
        ImageError: as ``core.images.read_bytes``; ``image.missing`` where a holder has lost it.
    """
    if item.data is not None:
        return item.data
    if item.size > limits.max_bytes:
        raise ImageError(
            f"{item.path} has {item.size:,} bytes; the limit is {limits.max_bytes:,}.",
            code="image.too-large",
        )
    return read_bytes(item.path, limits) if item.kind == "file" else _member(item, limits)


def _member(item: Item, limits: Limits) -> bytes:
    try:
        if item.kind == "tar":
            with open(item.holder, "rb") as stream:
                stream.seek(item.at)
                data = stream.read(item.size)
        elif item.kind == "zip":
            data = _unzipped(item, limits)
        elif item.kind == "parquet":
            data = _cell(item, limits)
        else:
            with _filesystem().open(item.path, "rb") as stream:
                data = stream.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise ImageError(f"{item.path} does not exist.", code="image.missing") from error
    except ImageError:
        raise
    except Exception as error:  # of three formats and any remote file system
        reason = f"{item.path} cannot be read ({type(error).__name__}: {error})."
        raise ImageError(reason, code="image.unreadable") from error
    if len(data) < item.size:
        raise ImageError(f"{item.path} is cut off.", code="image.truncated")
    if len(data) > limits.max_bytes:
        raise ImageError(f"{item.path} has more than {limits.max_bytes:,} bytes.", code="image.too-large")
    return data


def _tar(source: str) -> Iterator[Item]:
    with tarfile.open(source, "r:") as shard:
        seen: set[str] = set()
        while (member := shard.next()) is not None:
            shard.members.clear()  # type: ignore[attr-defined]  # else all of them are kept
            if member.isreg() and _is_picture(member.name):
                name = _named(source, member.name, member.offset_data, seen)
                yield Item(name, source, "tar", member.offset_data, member.size)


def _zip(source: str) -> Iterator[Item]:
    with zipfile.ZipFile(source) as shard:
        seen: set[str] = set()
        for member in shard.infolist():
            if not member.is_dir() and _is_picture(member.filename):
                name = _named(source, member.filename, member.header_offset, seen)
                yield Item(name, source, "zip", member.header_offset, member.file_size)


def _unzipped(item: Item, limits: Limits) -> bytes:
    shard, places = _opened_zip(item.holder)
    if item.at not in places:
        raise FileNotFoundError(item.path)
    with shard.open(places[item.at]) as stream:
        return stream.read(min(item.size, limits.max_bytes) + 1)


@lru_cache(maxsize=4)
def _opened_zip(source: str) -> tuple[zipfile.ZipFile, dict[int, zipfile.ZipInfo]]:
    """Kept open: its list of members is read once."""
    shard = zipfile.ZipFile(source)
    return shard, {member.header_offset: member for member in shard.infolist()}


def _parquet(source: str) -> Iterator[Item]:
    _, column, _ = _opened_parquet(source)
    if column is None:
        raise ConfigError(
            f"{source} has no column of pictures.",
            code="scan.shard",
            hint=f"Pictures are looked for in binary columns called {', '.join(PICTURE_COLUMNS)}.",
        )
    pyarrow_or_refuse()
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as table:
        for row in range(table.metadata.num_rows):
            yield Item(f"{source}/{row}", source, "parquet", row)


def _cell(item: Item, limits: Limits) -> bytes:
    _, column, starts = _opened_parquet(item.holder)
    group = bisect.bisect_right(starts, item.at) - 1
    value = _group(item.holder, str(column), group)[item.at - starts[group]].as_py()
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None:
        raise FileNotFoundError(item.path)
    return bytes(value)


@lru_cache(maxsize=8)
def _opened_parquet(source: str) -> tuple[int, str | None, tuple[int, ...]]:
    """Rows, the column of pictures, and where row groups start."""
    arrow = pyarrow_or_refuse()
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as table:
        kinds = {field.name: field.type for field in table.schema_arrow}

        def holds(kind: pyarrow.DataType) -> bool:
            if arrow.types.is_struct(kind):
                return any(field.name == "bytes" and holds(field.type) for field in kind)
            return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))

        able = [name for name, kind in kinds.items() if holds(kind)]
        known = [name for name in PICTURE_COLUMNS if name in able]
        column = next(iter(known or able), None)
        starts = [0]
        for group in range(table.metadata.num_row_groups):
            starts.append(starts[-1] + table.metadata.row_group(group).num_rows)
        return table.metadata.num_rows, column, tuple(starts)


@lru_cache(maxsize=2)
def _group(source: str, column: str, number: int) -> pyarrow.ChunkedArray:
    """One column of a row group: neighbours are read together."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as table:
        group = table.metadata.row_group(number)
        parts = [group.column(n) for n in range(group.num_columns)]
        size = sum(p.total_uncompressed_size for p in parts if p.path_in_schema.split(".")[0] == column)
        if size > _MAX_GROUP:
            raise ImageError(
                f"{source}: the pictures of a row group have {size:,} bytes; the limit is {_MAX_GROUP:,}.",
                code="image.too-large",
                hint="Write the table again with smaller row groups.",
            )
        return table.read_row_group(number, columns=[column]).column(0)


def _remote(source: str) -> Iterator[Item]:
    """What a URL names: itself, or the pictures below it, or those that its pattern fits."""
    filesystem = _filesystem()
    place, path = filesystem.core.url_to_fs(source)
    if any(sign in source for sign in "*?["):
        found = sorted(place.glob(path))
    elif place.isdir(path):
        found = sorted(each for each in place.find(path) if _is_picture(each))
    else:
        found = [path]
    for each in found:
        yield Item(place.unstrip_protocol(each), "", "url")


def _filesystem() -> ModuleType:
    try:
        import fsspec
        import fsspec.core
    except ImportError as error:
        raise MissingExtraError("fsspec", "parquet") from error
    module: ModuleType = fsspec
    return module


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS and len(name) < _MAX_NAME


def _named(source: str, member: str, at: int, seen: set[str]) -> str:
    """A name of its own for a member; one that is there twice gets its place behind it."""
    name = f"{source}/{member}" if member not in seen else f"{source}/{member}@{at}"
    seen.add(member)
    return name
