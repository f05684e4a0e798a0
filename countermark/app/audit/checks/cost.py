"""What a detector costs: time and memory. The only checks whose figures differ from run to run."""

from __future__ import annotations

import sys
import time

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import read_image
from countermark.core.intervals import quantile


class LatencyOptions(CheckEntry):
    """Options: how many images are timed, one at a time, after three that warm up."""

    images: int = Field(default=30, ge=5, le=1000)


class Latency(Check[LatencyOptions]):
    id = "detector.latency"
    title = "Answers in time"
    unit = "ms"
    direction = "at-most"
    formula = "95th percentile of the wall-clock time to score one decoded image"
    source = "percentile bootstrap over the timed images; depends on the machine"

    def measure(self, entry: LatencyOptions, context: Context) -> Measured:
        items = context.library.draw(context.library.images(entry.evidence).items, entry.images, "latency")
        detector = context.library.detector()
        pictures = [read_image(item.path).pixels for item in items]
        for picture in pictures[:3]:
            detector.score([picture])
        times = []
        for picture in pictures:
            start = time.perf_counter()
            detector.score([picture])
            times.append(1000 * (time.perf_counter() - start))
        statistics = context.policy.statistics
        found = quantile(
            np.array(times),
            0.95,
            resamples=statistics.resamples,
            confidence=statistics.confidence,
            seed=statistics.seed,
        )
        return Measured(found, detail={"median_ms": float(np.median(times))})


class Memory(Check[CheckEntry]):
    id = "detector.memory"
    title = "Fits into memory"
    unit = "MiB"
    direction = "at-most"
    formula = "peak resident memory of the process after the evidence was scored"
    source = "getrusage(2), ru_maxrss; a census of one process, no interval"

    def measure(self, entry: CheckEntry, context: Context) -> Measured:
        scored = context.library.scores(entry.evidence, limit=16)
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mebibytes = peak / (1024**2 if sys.platform == "darwin" else 1024)
        sentence = f"{mebibytes:.0f} MiB at the highest, with everything else in the process."
        return Measured(context.exact(mebibytes, len(scored.items)), sentence=sentence)
