"""Scans of many files: what they are scanned with, here or on a cluster, and the scan of this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from countermark.app.clips.scan import ClipSettings
from countermark.app.rooms import Detector
from countermark.app.scan.cache import ResultCache, fingerprint
from countermark.app.scan.gather import MARK_SECONDS
from countermark.app.scan.isolated import MEMORY, SECONDS, Readers
from countermark.app.scan.items import Item
from countermark.app.scan.judging import named
from countermark.app.scan.run import scan_stream
from countermark.app.scan.settings import DEFAULT_MAX_FPR, ScanConfig
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling

#: Files from which on a scan reads them in processes of their own unless told otherwise.
MANY = 200

#: Addresses that the process that decodes a clip has before it opens one.
_CLIP_IDLE = 256 << 20

Results = Generator[tuple[Item, ScanResult], None, None]


@dataclass(frozen=True)
class BulkSettings:
    """What is scanned with, on whatever machine; see ``scan_stream`` for the meaning.

    Attributes:
        file_seconds: As there, and so ``file_memory``; files are always read in processes of their own.
        cache: Folder of earlier results on each machine; empty for none.
        sampling: Which frames of clips are looked at.
        clip_limits: Bounds of a clip and of its decoding.
    """

    max_fpr: float = 0.01
    stress: bool = False
    detector: str = "default"
    marks: bool = True
    mark_seconds: float = MARK_SECONDS
    file_seconds: float = SECONDS
    file_memory: int = MEMORY
    cache: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    clip_limits: ClipLimits = DEFAULT_CLIP_LIMITS

    def deciding(self, model: Detector | None = None) -> dict[str, Any]:
        """What verdicts follow from, for a digest: the detector by its digests, not by its name."""
        from countermark.detectors import load_detector

        options = {name: asdict(self)[name] for name in ("stress", "marks", "mark_seconds")}
        if self.sampling != Sampling():
            options["frames"] = asdict(self.sampling)
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


def clip_bounds(*, file_seconds: float | None, file_memory: int | None) -> ClipLimits:
    """Bounds for decoding a clip: as given for a file, else those that clips have of their own."""
    found = DEFAULT_CLIP_LIMITS
    if file_seconds is not None:
        found = replace(found, cpu_seconds=ceil(file_seconds))
    if file_memory is not None:
        found = replace(found, memory_bytes=_CLIP_IDLE + file_memory)
    return found


def bulk_settings(
    config: ScanConfig,
    *,
    marks: bool,
    mark_seconds: float,
    second: str | None,
    cache: Path | None,
    sampling: Sampling,
    file_seconds: float | None = None,
    file_memory: int | None = None,
    reports: Mapping[str, bool],
) -> BulkSettings:
    """The settings of a scan into rows.

    Args:
        reports: Options that only reports have, by name: whether they were given.

    Raises:
        ConfigError: for what only reports have.
    """
    for name in ("thresholds", "baseline", "ignore"):
        if getattr(config, name):
            raise ConfigError(
                f"--{name} does not go with --output parquet=FOLDER.",
                hint="Rows hold scores and thresholds: choose among them afterwards.",
            )
    for name, given in {"second-opinion": bool(second), **reports}.items():
        if given:
            raise ConfigError(
                f"--{name} does not go with --output parquet=FOLDER.",
                hint="Scan the files that it is wanted for once more, without rows.",
            )
    bounds = {"file_seconds": file_seconds, "file_memory": file_memory}
    return BulkSettings(
        max_fpr=config.max_fpr or DEFAULT_MAX_FPR,
        stress=config.stress,
        detector=config.detector,
        marks=marks,
        mark_seconds=mark_seconds,
        cache="" if cache is None else str(cache.absolute()),
        sampling=sampling,
        clip_limits=clip_bounds(file_seconds=file_seconds, file_memory=file_memory),
        **{name: value for name, value in bounds.items() if value is not None},  # type: ignore[arg-type]
    )


def readers_for(settings: BulkSettings, workers: int) -> Readers:
    """Processes that read files, for several scans with the same settings; to be closed after the last."""
    return Readers(
        workers,
        seconds=settings.file_seconds,
        memory=settings.file_memory,
        marks=settings.marks,
        mark_seconds=settings.mark_seconds,
    )


def scan_here(
    items: Iterable[Item],
    settings: BulkSettings,
    *,
    workers: int = 2,
    model: Detector | None = None,
    readers: Readers | None = None,
) -> Results:
    """Scans items in this process, in order.

    Args:
        model: The detector, where it was loaded already.
        readers: Of ``readers_for``, where they stay from scan to scan.
    """
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
        readers=readers,
        clips=ClipSettings(sampling=settings.sampling, limits=settings.clip_limits),
    )
    with closing(results):
        for result in results:
            yield taken.pop(0), result
