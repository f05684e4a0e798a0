"""Labelled corpora: a folder of images with ``metadata.csv`` (Hugging Face imagefolder convention).

Columns: ``file_name,label,generator,source,split,seed,sha256``; others are kept. A folder without
``metadata.csv`` is a corpus too when its first-level folders are called ``real`` and ``synthetic``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from countermark.core.errors import CorpusError
from countermark.core.files import atomic_write
from countermark.core.images import iter_image_paths

COLUMNS = ("file_name", "label", "generator", "source", "split", "seed", "sha256")
LABELS = ("real", "synthetic")
METADATA = "metadata.csv"
MAX_METADATA_BYTES = 1024**3


@dataclass(frozen=True)
class CorpusRow:
    """One image of a corpus; ``file_name`` is relative to the corpus, with forward slashes."""

    file_name: str
    label: str
    generator: str = ""
    source: str = ""
    split: str = ""
    seed: str = ""
    sha256: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def is_synthetic(self) -> bool:
        return self.label == "synthetic"


@dataclass(frozen=True)
class Corpus:
    """A folder and its rows. Rows name files inside the folder only."""

    root: Path
    rows: tuple[CorpusRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Path, CorpusRow]]:
        return ((self.root / row.file_name, row) for row in self.rows)

    @property
    def paths(self) -> list[Path]:
        return [self.root / row.file_name for row in self.rows]

    def select(self, *, label: str | None = None, split: str | None = None) -> Corpus:
        """The rows with this label and split; None takes all."""
        rows = (r for r in self.rows if label in (None, r.label) and split in (None, r.split))
        return replace(self, rows=tuple(rows))


def read_corpus(folder: Path | str) -> Corpus:
    """Reads a labelled folder.

    Raises:
        CorpusError: no such folder, no labels, unknown label, or a path that leaves the folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder.", code="corpus.missing")
    metadata = root / METADATA
    rows = _read_metadata(metadata) if metadata.is_file() else _read_folders(root)
    if not rows:
        raise CorpusError(
            f"{root} holds no labelled images.",
            code="corpus.empty",
            hint=f"Add a {METADATA} with the columns file_name and label, "
            "or folders called real and synthetic.",
        )
    return Corpus(root, tuple(rows))


def write_metadata(folder: Path | str, rows: Iterable[CorpusRow], *, overwrite: bool = False) -> Corpus:
    """Writes ``metadata.csv`` into ``folder`` and returns the corpus."""
    rows = tuple(rows)
    extra = sorted({key for row in rows for key in row.extra})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*COLUMNS, *extra])
    for row in rows:
        writer.writerow([getattr(row, c) for c in COLUMNS] + [row.extra.get(k, "") for k in extra])
    atomic_write(Path(folder) / METADATA, stream.getvalue(), overwrite=overwrite)
    return Corpus(Path(folder), rows)


def _read_metadata(path: Path) -> list[CorpusRow]:
    if path.stat().st_size > MAX_METADATA_BYTES:
        raise CorpusError(f"{path} is too large.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return [_row(path, number, values) for number, values in enumerate(csv.DictReader(stream), 2)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not a readable CSV file: {error}.") from error


def _row(path: Path, number: int, values: dict[str, str]) -> CorpusRow:
    name, label = values.get("file_name") or "", values.get("label") or ""
    label = {"fake": "synthetic", "generated": "synthetic", "photo": "real"}.get(label, label)
    if label not in LABELS:
        raise CorpusError(
            f"{path}, line {number}: the label is {label!r}.", hint="Use 'real' or 'synthetic'."
        )
    parts = PurePosixPath(name).parts
    if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in name[:3] or "\0" in name:
        raise CorpusError(f"{path}, line {number}: {name!r} is not a path inside the corpus.")
    known = {column: values.get(column) or "" for column in COLUMNS[2:]}
    extra = {k: v or "" for k, v in values.items() if k and k not in COLUMNS and not isinstance(v, list)}
    return CorpusRow(name, label, **known, extra=extra)


def _read_folders(root: Path) -> list[CorpusRow]:
    rows = []
    for label in LABELS:
        for path in iter_image_paths([root / label]) if (root / label).is_dir() else ():
            inside = path.relative_to(root / label).parts
            source = inside[0] if len(inside) > 1 else label
            generator = source if label == "synthetic" else ""
            rows.append(CorpusRow(path.relative_to(root).as_posix(), label, generator, source))
    return rows
