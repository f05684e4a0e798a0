"""Scanning on more than one machine: the same scan, spread over a Ray cluster (extra ``ray``).

>>> from countermark.app.scan.cluster import scan_cluster                  # doctest: +SKIP
>>> for result in scan_cluster(["/mnt/pictures"], workers=8):         # doctest: +SKIP
...     print(result.path, result.verdict, result.score)

Every worker loads the detector once and scans batches of paths, which must be readable under the
same names on every machine (a shared file system). Results come back as JSON text, in the order in
which batches finish unless ``ordered``. Ray's usage statistics are switched off: nothing leaves the
cluster.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.errors import MissingExtraError
from countermark.core.images import iter_image_paths
from countermark.core.results import Evidence, Failure, ScanResult, Strength, Verdict


@dataclass(frozen=True)
class ClusterSettings:
    """What every worker scans with; see ``countermark.app.scan.run.scan_stream`` for the meaning."""

    max_fpr: float = 0.01
    stress: bool = False
    detector: str = "default"
    marks: bool = True


class Scanner:
    """One worker: a detector loaded once, called with batches ``{"path": array of str}``."""

    def __init__(self, settings: ClusterSettings) -> None:
        from countermark.detectors import load_detector

        self.settings = settings
        self.model = load_detector(settings.detector)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        from countermark.app.scan.run import scan_stream

        results = scan_stream(
            [Path(str(path)) for path in batch["path"]],
            max_fpr=self.settings.max_fpr,
            stress=self.settings.stress,
            detector=self.model,
            marks=self.settings.marks,
            workers=1,
        )
        return {"result": np.array([json.dumps(asdict(result)) for result in results], dtype=object)}


def scan_cluster(
    sources: Iterable[Path | str],
    *,
    settings: ClusterSettings | None = None,
    workers: int = 2,
    batch_size: int = 16,
    address: str | None = None,
    ordered: bool = False,
) -> Iterator[ScanResult]:
    """Yields one result a file, scanned by ``workers`` processes of a Ray cluster.

    Args:
        sources: Files and folders, readable under these names on every machine.
        settings: What to scan with; the defaults of ``scan`` if None.
        workers: Processes, one core each (the cluster places them).
        batch_size: Files a worker takes at a time.
        address: A running cluster (``ray://head:10001`` or ``auto``); None starts one on this machine.
        ordered: Yield in the order of the files, at the price of waiting for slow ones.

    Raises:
        MissingExtraError: The extra ``ray`` is not installed.
        UnknownNameError: The detector is unknown; the message lists the known ones.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(str(error.name), "ray") from error
    settings = settings or ClusterSettings()
    paths = [os.path.abspath(path) for path in iter_image_paths(sources)]
    if not paths:
        return
    if not ray.is_initialized():
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = ordered
    # Blocks as small as a batch: otherwise all paths are one block, and one worker scans them all.
    blocks = max(1, -(-len(paths) // batch_size))
    rows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=blocks)
    scanned = rows.map_batches(
        Scanner,
        fn_constructor_args=(settings,),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    for row in scanned.iter_rows():
        yield result_from_json(row["result"])


def result_from_json(text: str) -> ScanResult:
    """The record that ``json.dumps(asdict(result))`` came from."""
    record: dict[str, Any] = json.loads(text)
    evidence = tuple(Evidence(**{**e, "strength": Strength(e["strength"])}) for e in record.pop("evidence"))
    error, verdict = record.pop("error"), record.pop("verdict")
    return ScanResult(
        **record,
        verdict=None if verdict is None else Verdict(verdict),
        evidence=evidence,
        error=None if error is None else Failure(**error),
    )
