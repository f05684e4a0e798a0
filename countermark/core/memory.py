"""Giving back memory that was needed once.

    release_memory()   # after something large was unpacked and dropped

The C library keeps what a program frees, in the hope that it is asked for again. Weights are unpacked
once: unpacking those of the default detector leaves 350 MB of such leftovers.
"""

from __future__ import annotations

import ctypes


def release_memory() -> bool:
    """Hands freed memory back to the system; True where the C library did it (glibc only)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return bool(trim(0))
