"""Which pictures the shipped weights have learnt from, and how anybody with git lays them out again.

``corpora.tsv`` names every picture by repository and git blob id, with label, kind, source, generator and
year; no picture is stored here. Clone the repositories (``git clone --mirror``), then

    rows = read_list()
    report = lay_out(rows, "mirrors", "corpus")
    report.laid, report.missing

``mirrors`` holds a bare clone of each as ``owner+name``. Every blob is checked against its id.

>>> prefix("Owner/Name") == prefix("owner/name ")
True
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from countermark.core.corpus import LABELS, Corpus, CorpusRow, write_metadata
from countermark.core.errors import CorpusError, ImageError
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, read_image

LIST = Path(__file__).resolve().parent / "corpora.tsv"
COLUMNS = ("label", "kind", "source", "generator", "repo", "blob", "format", "year")
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
MAX_LIST_BYTES = 32 * 2**20
MAX_BLOB_BYTES = 64 * 2**20
#: Two pictures whose 256-bit difference hashes differ in at most so many bits count as one.
NEAR = 10
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BLOB = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Listed:
    """One picture of a public repository."""

    label: str
    kind: str
    source: str
    generator: str
    repo: str
    blob: str
    format: str
    year: str

    @property
    def file_name(self) -> str:
        """Where it is laid out, relative to the corpus."""
        return f"{self.label}/{self.source}/{self.blob[:12]}{SUFFIXES[self.format]}"


@dataclass(frozen=True)
class LaidOut:
    """What came of it: pictures laid out by source, and how many were left out for which reason."""

    corpus: Corpus
    laid: dict[str, int]
    missing: dict[str, int]
    refused: int
    duplicates: int
    damaged: int


def read_list(path: Path | str = LIST) -> list[Listed]:
    """The rows of a list.

    Raises:
        CorpusError: too large, or a row that names no picture.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MAX_LIST_BYTES:
        raise CorpusError(f"{path} is no list of pictures.", code="corpus.list")
    rows = []
    stream = io.StringIO(path.read_text("utf-8"))
    for number, values in enumerate(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
        row = Listed(**{column: values.get(column) or "" for column in COLUMNS})
        good = (
            row.label in LABELS
            and _NAME.fullmatch(row.source)
            and _REPO.fullmatch(row.repo)
            and _BLOB.fullmatch(row.blob)
            and row.format in SUFFIXES
        )
        if not good:
            raise CorpusError(f"{path}, line {number}: not a picture of a repository.", code="corpus.list")
        rows.append(row)
    return rows


def write_list(rows: Sequence[Listed], path: Path | str, *, overwrite: bool = False) -> None:
    """Writes a list, sorted, so that the same rows give the same bytes."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n", quotechar=None)
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda r: (r.label, r.source, r.repo, r.blob)):
        writer.writerow([getattr(row, column) for column in COLUMNS])
    atomic_write(path, stream.getvalue(), overwrite=overwrite)


def makers(rows: Sequence[Listed]) -> dict[tuple[str, str], str]:
    """For (label, source) of sources that share an owner of repositories, one of these sources for all.

    What one person publishes under several names is alike in ways that no stranger's pictures are, so
    such sources are held out together.

    >>> from dataclasses import replace
    >>> row = Listed("real", "photograph", "a-dogs", "", "someone/dogs", "0" * 40, "JPEG", "2020")
    >>> cats = replace(row, source="a-cats", repo="Someone/cats")
    >>> makers([row, cats, replace(row, source="b", repo="b/b")])
    {('real', 'a-cats'): 'a-cats', ('real', 'a-dogs'): 'a-cats'}
    """
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        sources[row.label, row.repo.split("/")[0].lower()].add(row.source)
    one_of: dict[tuple[str, str], str] = {}
    for (label, _), shared in sorted(sources.items()):
        known = {one_of.get((label, source), source) for source in shared} | shared
        if len(known) > 1:
            same = {key for key, one in one_of.items() if key[0] == label and one in known}
            one_of |= dict.fromkeys(same | {(label, source) for source in known}, min(known))
    return dict(sorted(one_of.items()))


def prefix(text: str) -> str:
    """The first 16 hexadecimal digits of SHA-256 of a repository's name (lower case) or a blob id."""
    return hashlib.sha256(text.strip().lower().encode()).hexdigest()[:16]


def read_excluded(path: Path | str) -> frozenset[tuple[str, str]]:
    """What must never be learnt from: lines ``repo PREFIX`` and ``blob PREFIX``, see ``prefix``."""
    lines = Path(path).read_text("utf-8").splitlines()
    found = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#")]
    if not all(len(pair) == 2 and pair[0] in ("repo", "blob") for pair in found):
        raise CorpusError(f"{path} is no list of what is excluded.", code="corpus.list")
    return frozenset((kind, digest) for kind, digest in found)


def is_excluded(row: Listed, excluded: frozenset[tuple[str, str]]) -> bool:
    """Whether the picture or its whole repository must never be learnt from."""
    return ("repo", prefix(row.repo)) in excluded or ("blob", prefix(row.blob)) in excluded


def lay_out(
    rows: Sequence[Listed],
    mirrors: Path | str,
    out: Path | str,
    *,
    excluded: frozenset[tuple[str, str]] = frozenset(),
    report: Callable[[int, int], None] | None = None,
) -> LaidOut:
    """Lays pictures out as a labelled corpus; what is there already stays, so a call can be repeated.

    Args:
        rows: From ``read_list``.
        mirrors: A folder of bare clones, each in ``owner+name`` or below it.
        out: The corpus; ``metadata.csv`` is written anew.
        excluded: From ``read_excluded``: rows that are refused.
        report: Told how many pictures are done, and of how many.

    Left out are pictures that cannot be decoded and those that look like one before them.
    """
    by_repo: dict[str, list[Listed]] = defaultdict(list)
    refused = 0
    for row in rows:
        if is_excluded(row, excluded):
            refused += 1
        else:
            by_repo[row.repo].append(row)
    seen = np.zeros((0, 4), np.uint64)
    missing: Counter[str] = Counter()
    kept: list[CorpusRow] = []
    duplicates = damaged = done = 0
    for repo, wanted in sorted(by_repo.items()):
        if report is not None:
            report(done, len(rows) - refused)
        done += len(wanted)
        git = _git_dir(Path(mirrors), repo)
        if git is None:
            missing[repo] += len(wanted)
            continue
        for row, data in zip(wanted, _blobs(git, [row.blob for row in wanted]), strict=True):
            if data is None:
                missing[repo] += 1
                continue
            try:
                looks = difference_hash(read_image(data).pixels)
            except ImageError:
                damaged += 1
                continue
            if len(seen) and int(np.bitwise_count(seen ^ looks).sum(axis=1).min()) <= NEAR:
                duplicates += 1
                continue
            seen = np.vstack([seen, looks])
            target = Path(out) / row.file_name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(target, data)
            digest = hashlib.sha256(data).hexdigest()
            extra = {"kind": row.kind, "year": row.year}
            kept.append(
                CorpusRow(row.file_name, row.label, row.generator, row.source, sha256=digest, extra=extra)
            )
    corpus = write_metadata(out, kept, overwrite=True)
    laid = Counter(f"{row.label}: {row.source}" for row in kept)
    return LaidOut(corpus, dict(sorted(laid.items())), dict(missing), refused, duplicates, damaged)


def difference_hash(image: Pixels) -> np.ndarray:
    """256 bits as uint64 [4]: whether each of 16 x 16 cells is brighter than its right neighbour."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (17, 16), interpolation=cv2.INTER_AREA)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)


def _git_dir(mirrors: Path, repo: str) -> Path | None:
    base = mirrors / repo.replace("/", "+")
    for head in (base / "HEAD", *sorted(base.glob("*/HEAD")), *sorted(base.glob("*/.git/HEAD"))):
        if head.is_file():
            return head.parent
    return None


def _blobs(git: Path, ids: Sequence[str]) -> Iterator[bytes | None]:
    """The content of each blob, checked against its id; None where the clone lacks it."""
    command = ["git", "--git-dir", str(git), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for blob in ids:
            process.stdin.write(blob.encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline().split()
            if len(head) < 3:
                yield None
                continue
            data = process.stdout.read(int(head[2]))
            process.stdout.read(1)
            own = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            yield data if head[1] == b"blob" and own == blob and len(data) <= MAX_BLOB_BYTES else None
        process.stdin.close()
