"""Scans of any size into a folder of Parquet files: on this machine, or spread over a Ray cluster.

Both ways scan with ``scan_stream``, skip what has a row already, and leave every other file exactly one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from countermark.app.rooms import Detector
from countermark.app.scan.cache import ResultCache, fingerprint
from countermark.app.scan.dataset import Dataset
from countermark.app.scan.gather import MARK_SECONDS
from countermark.app.scan.isolated import MEMORY, SECONDS
from countermark.app.scan.items import Item
from countermark.app.scan.judging import named
from countermark.app.scan.run import scan_stream
from countermark.app.scan.settings import DEFAULT_MAX_FPR, ScanConfig
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult

#: Files from which on a scan reads them in processes of their own unless told otherwise.
MANY = 200

Results = Generator[tuple[Item, ScanResult], None, None]


@dataclass(frozen=True)
class BulkSettings:
    """What is scanned with, on whatever machine; see ``scan_stream`` for the meaning.

    Attributes:
        file_seconds: As there, and so ``file_memory``; files are always read in processes of their own.
        cache: Folder of earlier results on each machine; empty for none.
    """

    max_fpr: float = 0.01
    stress: bool = False
    detector: str = "default"
    marks: bool = True
    mark_seconds: float = MARK_SECONDS
    file_seconds: float = SECONDS
    file_memory: int = MEMORY
    cache: str = ""

    def deciding(self, model: Detector | None = None) -> dict[str, Any]:
        """What verdicts follow from, for a digest: the detector by its digests, not by its name."""
        from countermark.detectors import load_detector

        options = {name: asdict(self)[name] for name in ("stress", "marks", "mark_seconds")}
        return deciding(model or load_detector(self.detector), self.max_fpr, **options)


def deciding(model: Detector, max_fpr: float, **options: object) -> dict[str, Any]:
    """The detector by its digests, its thresholds, and options, for a digest."""
    bounds = model.thresholds(max_fpr)
    likely, unsure = float(bounds.likely), float(bounds.unsure)
    return {**options, "max_fpr": max_fpr, "detector": named(model), "likely": likely, "unsure": unsure}


def kept_results(folder: Path, model: Detector, max_fpr: float, **options: object) -> ResultCache:
    """The cache for scans with these settings.

    Raises:
        ConfigError: ``scan.cache``.
    """
    return ResultCache(folder, fingerprint(deciding(model, max_fpr, **options)))


def file_bounds(files: int, *, file_seconds: float | None, file_memory: int | None) -> dict[str, Any]:
    """Bounds for a file: as given, or, in a scan of many, the usual ones. None reads in this process."""
    if files < MANY or file_seconds is not None or file_memory is not None:
        return {"file_seconds": file_seconds, "file_memory": file_memory}
    return {"file_seconds": SECONDS, "file_memory": MEMORY}


def bulk_settings(
    config: ScanConfig,
    *,
    marks: bool,
    mark_seconds: float,
    second: str | None,
    cache: Path | None,
    **bounds: Any,
) -> BulkSettings:
    """The settings of a scan into rows.

    Raises:
        ConfigError: for what only reports have.
    """
    for name in ("thresholds", "baseline", "ignore"):
        if getattr(config, name):
            raise ConfigError(
                f"--{name} does not go with --output parquet=FOLDER.",
                hint="Rows hold scores and thresholds: choose among them afterwards.",
            )
    if second:
        raise ConfigError("--second-opinion does not go with --output parquet=FOLDER.")
    return BulkSettings(
        max_fpr=config.max_fpr or DEFAULT_MAX_FPR,
        stress=config.stress,
        detector=config.detector,
        marks=marks,
        mark_seconds=mark_seconds,
        cache="" if cache is None else str(cache.absolute()),
        **bounds,
    )


@dataclass
class Summary:
    """What came of a scan.

    Attributes:
        verdicts: Files by verdict, of this run.
        errors: Files that failed, by code, of this run.
        earlier: Files that had a row before.
        seconds: On the clock.
        workers: How many scanned.
        left_out: Files that were not looked at, by reason.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    earlier: int = 0
    seconds: float = 0.0
    workers: int = 1
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """Files of this run."""
        return self.verdicts.total() + self.errors.total()

    def count(self, result: ScanResult) -> None:
        """Counts one result."""
        if result.error is not None:
            self.errors[result.error.code] += 1
        else:
            self.verdicts[str(result.verdict)] += 1


def scan_into(
    plan: Iterable[Item],
    folder: Path | str,
    settings: BulkSettings,
    *,
    workers: int = 2,
    cluster: str | None = None,
    resume: bool = False,
    retry: bool = False,
    advance: Callable[[int], None] = lambda steps: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Scans every item that has no row yet, and writes one for each.

    Args:
        plan: Items, in any order that stays the same; see ``Plan``.
        folder: Of the rows; see ``Dataset``.
        settings: What to scan with.
        workers: Threads here, or processes of the cluster.
        cluster: None: this process; ``local``: Ray, started on this machine; else the address of a running
            cluster, or ``auto``.
        resume: Go on where an earlier scan was stopped.
        retry: Scan again only what failed; ``plan`` is not looked at.
        advance: Called with how many files are done.
        stopped: Asked after every file whether to stop in good order.

    Raises:
        OutputError, ConfigError, MissingExtraError: as ``Dataset`` and ``scan_cluster``.
    """
    start = time.monotonic()
    summary = Summary(workers=workers)

    def results(items: Iterable[Item]) -> Results:
        if cluster is not None:
            from countermark.app.scan.cluster import scan_spread

            address = None if cluster == "local" else cluster
            yield from scan_spread(items, settings=settings, workers=workers, address=address)
        else:
            yield from scan_here(items, settings, workers=workers)

    with Dataset(folder, settings.deciding(), resume=resume or retry) as rows:
        summary.earlier = rows.earlier
        if retry:
            for part, items in list(rows.failed()):
                again = {}
                for item, result in results(items):
                    again[item.path] = result
                    summary.count(result)
                    summary.earlier -= 1
                    advance(1)
                rows.replace(part, again)
                if stopped():
                    break
        else:
            with closing(results(item for item in plan if item not in rows)) as found:
                for item, result in found:
                    rows.add(item, result)
                    summary.count(result)
                    advance(1)
                    if stopped():
                        break
    summary.seconds = time.monotonic() - start
    summary.left_out = dict(getattr(plan, "left_out", {}))
    return summary


def scan_here(
    items: Iterable[Item], settings: BulkSettings, *, workers: int = 2, model: Detector | None = None
) -> Results:
    """Scans items in this process, in order; ``model`` is the detector, where it was loaded already."""
    taken: list[Item] = []

    def noted() -> Iterator[Item]:
        for item in items:
            taken.append(item)
            yield item

    from countermark.detectors import load_detector

    model = model or load_detector(settings.detector)
    cache = None
    if settings.cache:
        cache = ResultCache(settings.cache, fingerprint(settings.deciding(model)))
    results = scan_stream(
        noted(),
        max_fpr=settings.max_fpr,
        stress=settings.stress,
        detector=model,
        marks=settings.marks,
        mark_seconds=settings.mark_seconds,
        workers=workers,
        file_seconds=settings.file_seconds,
        file_memory=settings.file_memory,
        cache=cache,
    )
    with closing(results):
        for result in results:
            yield taken.pop(0), result
