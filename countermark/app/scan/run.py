"""Scan: which of these images are synthetic, why, and how sure.

>>> import countermark as cm                                    # doctest: +SKIP
>>> for result in cm.scan(["a.jpg", "folder"]):                 # doctest: +SKIP
...     print(result.path, result.verdict, result.score)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from countermark.app.clips.door import ClipDoor, Moving
from countermark.app.clips.scan import DEFAULT_SETTINGS, ClipSettings
from countermark.app.notebook import ScanResults
from countermark.app.rooms import Detector
from countermark.app.scan.ahead import chunks
from countermark.app.scan.cache import ResultCache
from countermark.app.scan.faces import FaceSearch, ask_faces
from countermark.app.scan.gather import MARK_SECONDS, Gathered
from countermark.app.scan.isolated import Readers
from countermark.app.scan.items import Item
from countermark.app.scan.judging import ask_second, judge, named
from countermark.app.scan.parts import PartSearch, ask_parts
from countermark.app.scan.reader import Reader
from countermark.app.scan.recovering import with_recovery
from countermark.core.images import DEFAULT_LIMITS, EXTENSIONS, Limits, Pixels, iter_image_paths
from countermark.core.results import ScanResult
from countermark.core.video.containers import EXTENSIONS as CLIP_EXTENSIONS

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository


Watcher = Callable[[ScanResult, Pixels | None], None]


def scan(
    path_or_paths: Path | str | Iterable[Path | str],
    *,
    max_fpr: float = 0.01,
    stress: bool = False,
    detector: str | Detector = "default",
    limits: Limits = DEFAULT_LIMITS,
    marks: bool = True,
    mark_seconds: float = MARK_SECONDS,
    second: str | Detector | None = None,
    workers: int = 2,
    clips: ClipSettings = DEFAULT_SETTINGS,
    recover: bool = True,
    repository: Repository | None = None,
    parts: PartSearch | None = None,
    faces: FaceSearch | None = None,
    file_seconds: float | None = None,
    file_memory: int | None = None,
) -> list[ScanResult]:
    """Scans files and folders, in order; see ``scan_stream`` for the arguments."""
    sources = [path_or_paths] if isinstance(path_or_paths, Path | str) else path_or_paths
    return ScanResults(
        scan_stream(
            sources,
            max_fpr=max_fpr,
            stress=stress,
            detector=detector,
            limits=limits,
            marks=marks,
            mark_seconds=mark_seconds,
            second=second,
            workers=workers,
            clips=clips,
            recover=recover,
            repository=repository,
            parts=parts,
            faces=faces,
            file_seconds=file_seconds,
            file_memory=file_memory,
        )
    )


def scan_stream(
    sources: Iterable[Item | Path | str],
    *,
    max_fpr: float = 0.01,
    stress: bool = False,
    detector: str | Detector = "default",
    limits: Limits = DEFAULT_LIMITS,
    marks: bool = True,
    mark_seconds: float = MARK_SECONDS,
    second: str | Detector | None = None,
    workers: int = 2,
    watch: Watcher | None = None,
    clips: ClipSettings = DEFAULT_SETTINGS,
    recover: bool = True,
    repository: Repository | None = None,
    file_seconds: float | None = None,
    file_memory: int | None = None,
    cache: ResultCache | None = None,
    parts: PartSearch | None = None,
    faces: FaceSearch | None = None,
    readers: Readers | None = None,
) -> Generator[ScanResult, None, None]:
    """Yields one result a file, in order, holding only a few images in memory.

    Args:
        sources: Files and folders (walked, by extension of images and clips).
        max_fpr: Share of photographs that may be called ``likely-synthetic``, as measured on the
            detector's calibration photographs; in (0, 0.5].
        stress: Score every image again as JPEG q96, at 320 px q90 and as JPEG q75, and say
            ``unsure`` when the verdict does not hold.
        detector: Name of a shipped detector, path of weights, or an object with its methods.
        limits: Bounds of the image gate.
        marks: Look for watermarks.
        mark_seconds: Seconds an image that the search for changed geometries may take; 0 skips it.
        second: Another detector, such as ``one-class``: listed as weak evidence, never decides.
        workers: Threads that read, decode and check credentials.
        watch: Called with every result and its pixels (None if unreadable), for thumbnails; of a clip,
            those of the frame with the highest score.
        clips: How clips and animated pictures are scanned; ``marks``, ``mark_seconds``, ``stress`` and
            ``second`` hold for them too.

        recover: Look up pictures without a credential in the records of what was signed.
        repository: Where to look; None for the user's own.
        file_seconds: Processor time that a picture may take; with this or ``file_memory`` pictures are read
            in processes of their own, and one that hangs or kills a codec is a row with an error. Clips
            always are; ``clips.limits`` has their bounds.
        file_memory: Bytes that a picture may take beyond what an idle process has.
        cache: Results of earlier scans with the same settings.
        parts: Search pictures for parts that do not fit the rest (``app.scan.parts``); None searches none.
        faces: Judge whether faces were put in (``app.scan.faces``); None judges none.
        readers: Processes that read files, kept from one scan to the next; they have their own bounds.

    A file that cannot be read becomes a result with ``error``; the others are still scanned.
    """
    from countermark.detectors import load_detector

    model: Detector = load_detector(detector) if isinstance(detector, str) else detector
    bounds = model.thresholds(max_fpr)
    if bounds.note:
        LOG.warning("%s", bounds.note)
    LOG.info("Detector %s: likely from %.3f, unsure from %.3f", model.name, bounds.likely, bounds.unsure)
    other: Detector | None = load_detector(second) if isinstance(second, str) else second

    told = replace(
        clips,
        marks=marks,
        mark_seconds=mark_seconds,
        stress=stress,
        second=other,
        judge_faces=clips.judge_faces or faces is not None,
        recover=clips.recover and recover,
        repository=clips.repository if repository is None else repository,
    )
    door = ClipDoor(model, bounds, told, max_fpr=max_fpr)

    own = None
    if readers is None and (file_seconds is not None or file_memory is not None):
        own = Readers(
            workers,
            seconds=file_seconds,
            memory=file_memory,
            limits=limits,
            marks=marks,
            mark_seconds=mark_seconds,
        )
    reader = Reader(
        door,
        limits=limits,
        marks=marks,
        mark_seconds=mark_seconds,
        cache=cache,
        processes=readers or own,
        complete=lambda found: with_recovery(found, repository, limits=limits) if recover else found,
    )
    with own or nullcontext(), closing(chunks(_items(sources), reader, workers=workers)) as read:
        for chunk in read:
            still = [item for item in chunk if not isinstance(item, Moving)]
            results = judge(still, model, bounds, stress)
            if other is not None:
                results = ask_second(still, results, other, max_fpr)
            judged = zip(still, results, strict=True)
            for item in chunk:
                if isinstance(item, Moving):
                    result, pixels = door.scan(item)
                    result = replace(result, detector=named(model)) if result.detector else result
                    if cache is not None:
                        cache.put(result)
                else:
                    one, result = next(judged)
                    # These searches take seconds a picture, so each result goes out with its own.
                    if parts is not None:
                        result = ask_parts(one, result, parts)
                    if faces is not None:
                        result = ask_faces(one, result, faces)
                    pixels = item.image.pixels if isinstance(item, Gathered) else None
                    if cache is not None and isinstance(item, Gathered):
                        cache.put(result)
                if watch is not None:
                    watch(result, pixels)
                LOG.debug("%s: %s", result.path, result.verdict or (result.error and result.error.code))
                yield result


def _items(sources: Iterable[Item | Path | str]) -> Iterator[Item]:
    for source in sources:
        if isinstance(source, Item):
            yield source
        else:
            yield from map(Item.of, iter_image_paths([source], extensions=EXTENSIONS | CLIP_EXTENSIONS))
