"""Search by Hamming distance: exact scans over packed bits, fast enough for millions of entries.

>>> import numpy as np
>>> index = HammingIndex(words=4)
>>> index.add([7, 8], [bytes(32), b"\\xff" * 32])
>>> index.search(bytes(31) + b"\\x01", max_distance=31)
[(7, 1)]

Every 64-bit word of the hashes stands in an array of its own ("planes"), and a search runs over
blocks that stay in the processor's cache. At a million 256-bit entries this takes a few
milliseconds on one core, so that nothing approximate is needed: what lies within the distance is
found, always.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

_BLOCK = 16_384


class HammingIndex:
    """Hashes of ``words`` x 64 bits, ``per_entry`` of them for each entry; safe to share by threads.

    With several hashes an entry's distance is that of its nearest one.
    """

    def __init__(self, words: int, per_entry: int = 1) -> None:
        self.words = words
        self.per_entry = per_entry
        self._ids = np.zeros(0, np.int64)
        self._planes = np.zeros((words, 0), np.uint64)
        self._count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(np.count_nonzero(self._ids[: self._count] >= 0))

    @property
    def nbytes(self) -> int:
        """Memory that the index holds."""
        return self._ids.nbytes + self._planes.nbytes

    def add(self, ids: Sequence[int], hashes: Sequence[bytes]) -> None:
        """Appends entries; each element of ``hashes`` has ``words * 8 * per_entry`` bytes."""
        if not len(ids):
            return
        values = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, self.words).astype(np.uint64)
        with self._lock:
            first, last = self._count, self._count + len(ids)
            if last > len(self._ids):
                self._grow(last)
            self._ids[first:last] = ids
            self._planes[:, first * self.per_entry : last * self.per_entry] = values.T
            self._count = last

    def remove(self, ids: Sequence[int]) -> None:
        """Forgets entries; unknown ids are ignored."""
        with self._lock:
            gone = np.isin(self._ids[: self._count], np.asarray(ids, np.int64))
            self._ids[: self._count][gone] = -1

    def search(self, query: bytes, *, max_distance: int, limit: int = 10) -> list[tuple[int, int]]:
        """The nearest entries within ``max_distance`` bits.

        Args:
            query: ``words * 8`` bytes.
            max_distance: Largest distance that is returned, inclusive.
            limit: Most entries that are returned.

        Returns:
            ``(id, distance)``, nearest first, the newer id first among equals.
        """
        words = np.frombuffer(query, "<u8").astype(np.uint64)
        if len(words) != self.words:
            raise ValueError(f"the query has {len(query)} bytes instead of {8 * self.words}")
        with self._lock:
            ids, planes, count = self._ids, self._planes, self._count
        places, distances = [], []
        for start in range(0, count * self.per_entry, _BLOCK):
            stop = min(start + _BLOCK, count * self.per_entry)
            total = np.bitwise_count(planes[0, start:stop] ^ words[0])
            if self.words > 1:  # one word differs in 64 bits at most, several in more than a byte holds
                total = total.astype(np.uint16)
            for k in range(1, self.words):
                total += np.bitwise_count(planes[k, start:stop] ^ words[k])
            near = np.flatnonzero(total <= max_distance)
            if len(near):
                places.append((near + start) // self.per_entry)
                distances.append(total[near])
        if not places:
            return []
        entries, bits = np.concatenate(places), np.concatenate(distances).astype(np.int64)
        order = np.lexsort((-entries, bits))
        found: dict[int, int] = {}
        for k in order:
            entry = int(ids[entries[k]])
            if entry >= 0 and entry not in found:
                found[entry] = int(bits[k])
                if len(found) >= limit:
                    break
        return list(found.items())

    def _grow(self, needed: int) -> None:
        size = max(needed, len(self._ids) * 3 // 2, 1024)
        ids = np.full(size, -1, np.int64)
        ids[: self._count] = self._ids[: self._count]
        planes = np.zeros((self.words, size * self.per_entry), np.uint64)
        used = self._count * self.per_entry
        planes[:, :used] = self._planes[:, :used]
        self._ids, self._planes = ids, planes
