"""Scanning on more than one machine: the same scan, spread over a Ray cluster (extra ``ray``).

>>> from countermark.app.scan.cluster import scan_cluster                  # doctest: +SKIP
>>> for result in scan_cluster(["/mnt/pictures"], workers=8):         # doctest: +SKIP
...     print(result.path, result.verdict, result.score)

Every worker loads the detector once and scans batches of items, which must be readable under the same names
on every machine (a shared file system). Results come back as JSON text, in the order in which batches finish.
A worker that dies costs its batch a retry, on another one. A cluster that is started here listens on this
machine only; Ray's usage statistics are switched off: nothing leaves the cluster.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from countermark.app.scan.bulk import BulkSettings, Results, readers_for, scan_here
from countermark.app.scan.items import Item
from countermark.app.scan.rows import result_from_json
from countermark.core.errors import ConfigError, MissingExtraError
from countermark.core.images import iter_image_paths
from countermark.core.results import ScanResult

#: What every worker scans with.
ClusterSettings = BulkSettings
#: Items that are handed to the cluster at a time: a list of them is held in memory.
WAVE = 100_000
BATCH = 16
#: Memory for what travels between processes; only names and results do.
_STORE = 256 << 20


class Scanner:
    """One worker: a detector loaded once, called with batches ``{"item": array of JSON text}``."""

    def __init__(self, settings: BulkSettings) -> None:
        from countermark.detectors import load_detector

        self.settings = settings
        self.model = load_detector(settings.detector)
        self.readers = readers_for(settings, 1)  # they outlive a batch; their input ends with this process

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        items = [Item(**json.loads(text)) for text in batch["item"]]
        found = [
            json.dumps(asdict(result))
            for _, result in scan_here(
                items, self.settings, workers=1, model=self.model, readers=self.readers
            )
        ]
        return {"item": batch["item"], "result": np.array(found, dtype=object)}


def scan_cluster(
    sources: Iterable[Path | str],
    *,
    settings: BulkSettings | None = None,
    workers: int = 2,
    batch_size: int = BATCH,
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
    items = (Item(os.path.abspath(path)) for path in iter_image_paths(sources))
    for _, result in scan_spread(
        items, settings=settings, workers=workers, batch_size=batch_size, address=address, ordered=ordered
    ):
        yield result


def scan_spread(
    items: Iterable[Item],
    *,
    settings: BulkSettings | None = None,
    workers: int = 2,
    batch_size: int = BATCH,
    address: str | None = None,
    ordered: bool = False,
) -> Results:
    """As ``scan_cluster`` for items, each with its result."""
    settings = settings or BulkSettings()
    source = iter(items)
    first = list(islice(source, WAVE))
    if not first:
        return
    ray = _started(address, workers)
    settings = replace(settings, detector=_absolute(settings.detector))
    wave = first
    while wave:
        yield from _wave(ray, wave, settings, workers, batch_size, ordered)
        wave = list(islice(source, WAVE))


def _wave(
    ray: ModuleType, items: list[Item], settings: BulkSettings, workers: int, batch_size: int, ordered: bool
) -> Generator[tuple[Item, ScanResult], None, None]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = ordered
    # Blocks as small as a batch: otherwise all items are one block, and one worker scans them all.
    blocks = max(1, -(-len(items) // batch_size))
    texts = [{"item": json.dumps({k: v for k, v in asdict(item).items() if k != "data"})} for item in items]
    scanned = ray.data.from_items(texts, override_num_blocks=blocks).map_batches(
        Scanner,
        fn_constructor_args=(settings,),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=2,
    )
    for row in scanned.iter_rows():
        yield Item(**json.loads(row["item"])), result_from_json(row["result"])


def _started(address: str | None, workers: int) -> ModuleType:
    """Ray, connected to a cluster, or to one that is started here and reached from here only."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:  # Ray's one way to stay on 127.0.0.1: an address of ours it would look up and replace
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(str(error.name), "ray") from error
    started: ModuleType = ray
    if ray.is_initialized():
        return started
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                num_cpus=max(workers, 1) + 1,  # one for what Ray does between the workers
                include_dashboard=False,
                object_store_memory=_STORE,
                **quiet,
            )
    except Exception as error:  # Ray raises many kinds, some of them bare
        raise ConfigError(
            f"The cluster cannot be reached or started: {error}",
            code="scan.cluster",
            hint="This machine may be too busy for it: try again, or scan without --cluster."
            if address is None
            else "Start it first, or use --cluster local.",
        ) from error
    return started


def _absolute(detector: str) -> str:
    """Weights by a path that holds in every process."""
    return os.path.abspath(detector) if detector.endswith(".safetensors") else detector
