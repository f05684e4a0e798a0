"""Giving back memory that was needed once, and keeping what is needed again and again.

    release_memory()   # after something large was unpacked and dropped
    keep_memory()      # before many arrays of a few megabytes come and go

The C library keeps what a program frees, in the hope that it is asked for again. Weights are unpacked
once: unpacking those of the default detector leaves 350 MB of such leftovers.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np

#: Bytes, see ``keep_memory``.
KEPT_MEMORY = 16 << 20


def release_memory() -> bool:
    """Hands freed memory back to the system; True where the C library did it (glibc only)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return bool(trim(0))


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Has the C library keep what is freed: it returns no block smaller than the largest that it has seen
    come and go, and arrays in fresh pages cost up to a fifth of the whole time."""
    np.empty(KEPT_MEMORY, np.uint8)
