"""How many threads a computation may use."""

from __future__ import annotations

import os


def worker_threads() -> int:
    """Threads to use: ``OMP_NUM_THREADS`` if it is set, else as many as processors are given to us."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
