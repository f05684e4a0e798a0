"""Scans of any size into a folder of Parquet files: on this machine, or spread over a Ray cluster.

Both ways scan with ``scan_stream``, skip what has a row already, and leave every other file exactly one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from countermark.app.scan.bulk import BulkSettings, Results, scan_here
from countermark.app.scan.dataset import Dataset
from countermark.app.scan.items import Item
from countermark.core.results import ScanResult


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
