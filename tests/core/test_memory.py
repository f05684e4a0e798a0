"""Memory is given back where the C library can."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from countermark.core.memory import release_memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a Linux process")
def test_what_was_freed_is_handed_back() -> None:
    if not release_memory():
        pytest.skip("the C library has no malloc_trim, or nothing to give")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(60_000) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    last = library.malloc(60_000)  # keeps the top of the heap in use
    for block in blocks:
        library.free(block)
    before = resident()
    assert release_memory()
    library.free(last)
    assert resident() < before - 30_000_000


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert release_memory() is False
