"""Signs whole folders: resumable, one bad file never stops the rest, and a watch mode.

>>> report = sign_folder("generated", "signed")                     # doctest: +SKIP
>>> report.signed, report.skipped, len(report.failed)               # doctest: +SKIP
(998, 0, 2)

How an image is signed is a callable, so that a caller can watermark and record as well. What was
done stands in ``signed.jsonl`` in the destination; a second run goes on where the first stopped. It
knows a file by its place below the folder and by what it is, not by how the folder was named: one
that was moved or mounted elsewhere is recognised, and another file of the same name is not.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

from countermark.core.errors import CountermarkError, OutputError
from countermark.core.files import sha256_file
from countermark.core.images import EXTENSIONS, iter_image_paths
from countermark.core.results import Failure, SignedImage
from countermark.provenance.credentials.options import SIGNING, SignOptions, check_options
from countermark.provenance.credentials.signing import sign_image

JOURNAL = "signed.jsonl"
SignFile = Callable[[Path, Path], SignedImage]
#: Makes the record of a file that was signed earlier, if it has none: ``(signed file, what the journal
#: knows of it) -> whether one was made``; raises CountermarkError where it cannot.
Mend = Callable[[Path, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class BatchItem:
    """What became of one file: ``signed``, or ``error``, or neither when it was done before.

    ``unrecorded`` says why a signed file has no record; ``mended``: an earlier run's file got its now.
    """

    source: str
    destination: str
    signed: SignedImage | None = None
    error: Failure | None = None
    unrecorded: Failure | None = None
    mended: bool = False

    @property
    def skipped(self) -> bool:
        """Whether an earlier run had signed it."""
        return self.signed is None and self.error is None


@dataclass
class BatchReport:
    """Counts of a run. ``seconds`` is wall time; ``stopped``: not everything was looked at; ``left_out``:
    files that the caller did not offer, counted by the reason."""

    signed: int = 0
    skipped: int = 0
    mended: int = 0
    failed: list[BatchItem] = field(default_factory=list)
    unrecorded: list[BatchItem] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether every file is signed and every signed file that is to have a record has one."""
        return not (self.failed or self.unrecorded or self.stopped)

    def add(self, item: BatchItem) -> None:
        """Counts one item."""
        self.signed += item.signed is not None
        self.skipped += item.skipped
        self.mended += item.mended
        if item.error is not None:
            self.failed.append(item)
        if item.unrecorded is not None:
            self.unrecorded.append(item)


def sign_folder(
    source: Path | str,
    destination: Path | str,
    *,
    sign: SignFile | None = None,
    mend: Mend | None = None,
    workers: int = 1,
    on_item: Callable[[BatchItem], None] | None = None,
    stop: threading.Event | None = None,
    extensions: frozenset[str] = EXTENSIONS,
    **options: Unpack[SignOptions],
) -> BatchReport:
    """Signs every image below ``source`` into the same places below ``destination``.

    Args:
        source: A folder; symbolic links are not followed.
        destination: Made when missing; nothing in it is overwritten.
        sign: Signs one file; ``sign_image`` with ``options`` by default.
        mend: Makes a missing record of a file that an earlier run signed; see ``Mend``.
        workers: Threads.
        on_item: Called with every item as it is done, in the caller's thread, for progress.
        stop: Ends the run after the files under way once it is set.
        extensions: Of the files that are taken; those of images by default.
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
    work = _Work(Journal(destination, source), sign or _default(options), mend)
    stop = stop or threading.Event()
    files = list(_plan(source, destination, extensions))
    for item in _run(_until(stop, files), work, max(1, workers)):
        report.add(item)
        if on_item is not None:
            on_item(item)
    report.stopped = stop.is_set() and report.signed + report.skipped + len(report.failed) < len(files)
    report.seconds = time.perf_counter() - started
    return report


def watch_folder(
    source: Path | str,
    destination: Path | str,
    *,
    sign: SignFile | None = None,
    mend: Mend | None = None,
    interval: float = 1.0,
    stop: threading.Event | None = None,
    extensions: frozenset[str] = EXTENSIONS,
    **options: Unpack[SignOptions],
) -> Iterator[BatchItem]:
    """Signs images as they appear in a generator's output folder, until ``stop`` is set.

    A file is taken once its size and time are the same in two looks, ``interval`` seconds apart,
    so that none is read half-written. A file that failed is tried again only when it changes.
    ``options`` as for ``sign_image``; an unknown one is a TypeError at once.
    """
    check_options("watch_folder", options, "identity", "limits", known=SIGNING)
    source, destination = Path(source), Path(destination)
    work = _Work(Journal(destination, source), sign or _default(options), mend)
    return _watch(source, destination, work, interval, stop or threading.Event(), extensions)


def _watch(
    source: Path,
    destination: Path,
    work: _Work,
    interval: float,
    stop: threading.Event,
    extensions: frozenset[str],
) -> Iterator[BatchItem]:
    seen: dict[Path, tuple[int, int]] = {}
    settled: dict[Path, tuple[int, int]] = {}
    while not stop.is_set():
        ready = []
        for path, target in _plan(source, destination, extensions):
            mark = _mark(path)
            if mark is None or settled.get(path) == mark:
                continue
            if seen.get(path) == mark:
                settled[path] = mark
                ready.append((path, target))
            seen[path] = mark
        for item in _run(_until(stop, ready), work, 1):
            if not item.skipped or item.mended or item.unrecorded:
                yield item
        stop.wait(interval)


class Journal:
    """What was begun and done in a destination folder, one JSON line each.

    ``folder`` is the destination, ``source`` the folder that is signed now.
    """

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self._path = folder / JOURNAL
        self._source = _identity(source)
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        self._torn = False
        if self._path.is_file():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._torn = bool(text) and not text.endswith("\n")  # cut short by a crash
            for line in text.splitlines():
                self._take(line)

    def write(self, event: str, name: str, facts: Mapping[str, Any]) -> None:
        """Appends one line and has it on disk before returning."""
        entry = {"event": event, "file": name, "folder": self._source, **facts}
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write("\n" * self._torn + json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            self._torn = False
            self._keep(entry)

    def facts(self, name: str, path: Path, mark: tuple[int, int]) -> dict[str, Any] | None:
        """What is known of a file that was begun or done before, or None if it is another one.

        In the same folder size and time tell; in another one (moved, copied, mounted) the content.
        """
        with self._lock:
            entry = self._entries.get(name) or self._entries.get(str(path))
        if entry is None:
            return None
        if entry["mark"] == list(mark) and entry.get("folder", self._source) == self._source:
            return entry
        return entry if entry.get("source_sha256") == sha256_file(path) else None

    def _keep(self, entry: dict[str, Any]) -> None:
        """The newest line of a file counts; its end adds to its beginning."""
        before = self._entries.get(entry["file"], {}) if entry["event"] == "done" else {}
        self._entries[entry["file"]] = {**before, **entry}

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if entry["event"] in ("begun", "done"):
                entry["mark"] = [int(each) for each in entry["mark"]]
                self._keep({**entry, "file": str(entry["file"])})
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # cut short


@dataclass(frozen=True)
class _Work:
    """What is done with each file, and where that is noted."""

    journal: Journal
    sign: SignFile
    mend: Mend | None


def _plan(source: Path, destination: Path, extensions: frozenset[str]) -> Iterator[tuple[Path, Path]]:
    inside = destination.resolve()
    for path in iter_image_paths([source], extensions=extensions):
        if inside != source.resolve() and inside in path.resolve().parents:
            continue
        yield path, destination / path.relative_to(source)


def _until(stop: threading.Event, pairs: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    for pair in pairs:
        if stop.is_set():
            return
        yield pair


def _run(pairs: Iterable[tuple[Path, Path]], work: _Work, workers: int) -> Iterator[BatchItem]:
    if workers == 1:
        for path, target in pairs:
            yield _one(path, target, work)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[BatchItem]] = set()
        for path, target in pairs:
            pending.add(pool.submit(_one, path, target, work))
            if len(pending) >= workers * 4:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in finished)
        for each in pending:
            yield each.result()


def _one(path: Path, target: Path, work: _Work) -> BatchItem:
    key, mark = target.relative_to(work.journal.folder).as_posix(), _mark(path)
    source, destination = str(path), str(target)
    try:
        if mark is None:
            return BatchItem(source, destination, error=Failure("image.missing", f"{path} is gone."))
        if target.exists():
            facts = work.journal.facts(key, path, mark)
            if facts is not None:
                return _mended(source, target, facts, work.mend)
            failure = Failure(
                "output.exists",
                f"{target} exists and is not overwritten.",
                "Remove it, or choose another folder.",
            )
            return BatchItem(source, destination, error=failure)
        begun = {"mark": list(mark), "source_sha256": sha256_file(path)}
        work.journal.write("begun", key, begun)
        signed = work.sign(path, target)
        done = {name: getattr(signed, name) for name in ("manifest_id", "sha256", "identity", "recorded")}
        work.journal.write("done", key, {**begun, **done})
    except CountermarkError as error:
        return BatchItem(source, destination, error=_failure(error))
    except Exception as error:  # one bad file never stops the rest
        return BatchItem(source, destination, error=Failure("error", f"{type(error).__name__}: {error}"))
    missing = Failure("record.missing", signed.unrecorded) if signed.unrecorded else None
    return BatchItem(source, destination, signed, unrecorded=missing)


def _mended(source: str, target: Path, facts: Mapping[str, Any], mend: Mend | None) -> BatchItem:
    """The item of a file that is signed already, with its record made now if it was missing."""
    try:
        return BatchItem(source, str(target), mended=mend is not None and mend(target, facts))
    except CountermarkError as error:
        return BatchItem(source, str(target), unrecorded=_failure(error))


def _failure(error: CountermarkError) -> Failure:
    return Failure(error.code, error.message, error.hint)


def _identity(folder: Path) -> str:
    """What a folder is, whatever it is called."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


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
        "mended": report.mended,
        "failed": [asdict(item) for item in report.failed],
        "unrecorded": [asdict(item) for item in report.unrecorded],
        "left_out": dict(report.left_out),
        "stopped": report.stopped,
        "seconds": round(report.seconds, 3),
    }
