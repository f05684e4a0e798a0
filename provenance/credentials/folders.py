"""Signs whole folders: resumable, one bad file never stops the rest, and a watch mode.

>>> report = sign_folder("generated", "signed")                     # doctest: +SKIP
>>> report.signed, report.skipped, len(report.failed)               # doctest: +SKIP
(998, 0, 2)

How an image is signed is a callable, so that a caller can watermark and record as well. What was
done stands in ``signed.jsonl`` in the destination; a second run goes on where the first stopped.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

from countermark.core.errors import CountermarkError, OutputError
from countermark.core.images import iter_image_paths
from countermark.core.results import Failure, SignedImage
from countermark.provenance.credentials.options import SIGNING, SignOptions, check_options
from countermark.provenance.credentials.signing import sign_image

JOURNAL = "signed.jsonl"
SignFile = Callable[[Path, Path], SignedImage]


@dataclass(frozen=True)
class BatchItem:
    """What became of one file: ``signed``, or ``error``, or neither when it was done before."""

    source: str
    destination: str
    signed: SignedImage | None = None
    error: Failure | None = None

    @property
    def skipped(self) -> bool:
        """Whether an earlier run had signed it."""
        return self.signed is None and self.error is None


@dataclass
class BatchReport:
    """Counts of a run. ``seconds`` is wall time."""

    signed: int = 0
    skipped: int = 0
    failed: list[BatchItem] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, item: BatchItem) -> None:
        """Counts one item."""
        self.signed += item.signed is not None
        self.skipped += item.skipped
        if item.error is not None:
            self.failed.append(item)


def sign_folder(
    source: Path | str,
    destination: Path | str,
    *,
    sign: SignFile | None = None,
    workers: int = 1,
    on_item: Callable[[BatchItem], None] | None = None,
    **options: Unpack[SignOptions],
) -> BatchReport:
    """Signs every image below ``source`` into the same places below ``destination``.

    Args:
        source: A folder; symbolic links are not followed.
        destination: Made when missing; nothing in it is overwritten.
        sign: Signs one file; ``sign_image`` with ``options`` by default.
        workers: Threads.
        on_item: Called with every item as it is done, in the caller's thread, for progress.
        options: For ``sign_image``.

    Raises:
        OutputError: ``output.failed`` when ``source`` is no folder.
        TypeError: An option is not known.
    """
    check_options("sign_folder", options, "identity", "limits", known=SIGNING)
    source, destination = Path(source), Path(destination)
    if not source.is_dir():
        raise OutputError(f"{source} is not a folder.", hint="Name the folder that holds the images.")
    started = time.perf_counter()
    report = BatchReport()
    journal = Journal(destination)
    for item in _run(list(_plan(source, destination)), journal, sign or _default(options), max(1, workers)):
        report.add(item)
        if on_item is not None:
            on_item(item)
    report.seconds = time.perf_counter() - started
    return report


def watch_folder(
    source: Path | str,
    destination: Path | str,
    *,
    sign: SignFile | None = None,
    interval: float = 1.0,
    stop: threading.Event | None = None,
    **options: Unpack[SignOptions],
) -> Iterator[BatchItem]:
    """Signs images as they appear in a generator's output folder, until ``stop`` is set.

    A file is taken once its size and time are the same in two looks, ``interval`` seconds apart,
    so that none is read half-written. A file that failed is tried again only when it changes.
    ``options`` as for ``sign_image``; an unknown one is a TypeError at once.
    """
    check_options("watch_folder", options, "identity", "limits", known=SIGNING)
    return _watch(Path(source), Path(destination), sign or _default(options), interval, stop)


def _watch(
    source: Path, destination: Path, work: SignFile, interval: float, stop: threading.Event | None
) -> Iterator[BatchItem]:
    journal = Journal(destination)
    stop = stop or threading.Event()
    seen: dict[Path, tuple[int, int]] = {}
    settled: dict[Path, tuple[int, int]] = {}
    while not stop.is_set():
        ready = []
        for path, target in _plan(source, destination):
            mark = _mark(path)
            if mark is None or settled.get(path) == mark:
                continue
            if seen.get(path) == mark:
                settled[path] = mark
                ready.append((path, target))
            seen[path] = mark
        for item in _run(ready, journal, work, 1):
            if not item.skipped:
                yield item
        stop.wait(interval)


class Journal:
    """What was begun and done in a destination folder, one JSON line each."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._lock = threading.Lock()
        self.begun: dict[str, list[int]] = {}
        self.done: dict[str, list[int]] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    def write(
        self, event: str, name: str, mark: tuple[int, int], facts: dict[str, Any] | None = None
    ) -> None:
        """Appends one line and has it on disk before returning."""
        entry = {"event": event, "file": name, "mark": list(mark), **(facts or {})}
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            getattr(self, event)[name] = list(mark)

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
            target = {"begun": self.begun, "done": self.done}[entry["event"]]
            target[str(entry["file"])] = [int(each) for each in entry["mark"]]
        except (ValueError, KeyError, TypeError):
            return  # a line cut short by a crash


def _plan(source: Path, destination: Path) -> Iterator[tuple[Path, Path]]:
    inside = destination.resolve()
    for path in iter_image_paths([source]):
        if inside != source.resolve() and inside in path.resolve().parents:
            continue
        yield path, destination / path.relative_to(source)


def _run(
    pairs: Iterable[tuple[Path, Path]], journal: Journal, sign: SignFile, workers: int
) -> Iterator[BatchItem]:
    if workers == 1:
        for path, target in pairs:
            yield _one(path, target, journal, sign)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[BatchItem]] = set()
        for path, target in pairs:
            pending.add(pool.submit(_one, path, target, journal, sign))
            if len(pending) >= workers * 4:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in finished)
        for each in pending:
            yield each.result()


def _one(path: Path, target: Path, journal: Journal, sign: SignFile) -> BatchItem:
    key, mark = str(path), _mark(path)
    if mark is None:
        return BatchItem(key, str(target), error=Failure("image.missing", f"{path} is gone."))
    if target.exists() and list(mark) in (journal.done.get(key), journal.begun.get(key)):
        return BatchItem(key, str(target))
    if target.exists():
        failure = Failure(
            "output.exists",
            f"{target} exists and is not overwritten.",
            "Remove it, or choose another folder.",
        )
        return BatchItem(key, str(target), error=failure)
    try:
        journal.write("begun", key, mark)
        signed = sign(path, target)
        journal.write("done", key, mark, {"manifest_id": signed.manifest_id, "sha256": signed.sha256})
    except CountermarkError as error:
        return BatchItem(key, str(target), error=Failure(error.code, error.message, error.hint))
    except Exception as error:  # one bad file never stops the rest
        return BatchItem(key, str(target), error=Failure("error", f"{type(error).__name__}: {error}"))
    return BatchItem(key, str(target), signed)


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _default(options: SignOptions) -> SignFile:
    def sign(path: Path, target: Path) -> SignedImage:
        return sign_image(path, target, **options)

    return sign


def as_rows(report: BatchReport) -> dict[str, Any]:
    """A report as JSON types."""
    return {
        "signed": report.signed,
        "skipped": report.skipped,
        "failed": [asdict(item) for item in report.failed],
        "seconds": round(report.seconds, 3),
    }
