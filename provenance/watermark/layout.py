"""Where the mark lies in the spectrum of its tile, and the key that decides it.

The mark is periodic: a tile of 128 x 128 working pixels. Its spectrum has energy on the lattice
points between 8 and 28 cycles a tile only. 48 of them are *pilots* with a known phase, strong
enough that the mark's scale, rotation and position are found by them; their positions are the same
for every key, their phases are not. The cosine and sine parts of all other lattice points are dealt
out by the key to the 248 code bits.

>>> layout = layout_for(None)
>>> layout.pilots.shape, layout.chips.shape
((48, 2), (248, 8))
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from countermark.provenance.watermark.coding import CODE_BITS
from countermark.provenance.watermark.records import SCHEME, WatermarkError

TILE = 128
INNER = 8.0
OUTER = 28.0
PILOTS = 48
PILOT_INNER = 8.0
PILOT_OUTER = 24.0
PARTS = 8
#: The key everybody has: a mark under it can be read, and forged, by anybody.
PUBLIC_KEY = b"countermark public mark"
_PILOT_SEED = 20_240_611


@dataclass(frozen=True)
class Layout:
    """One key's carriers.

    Attributes:
        pilots: int, 48 x 2: (u, v) in cycles a tile, in the half plane that ``half_plane`` gives.
        pilot_phase: complex64, 48: unit values of the pilots' spectrum.
        lines: int, n x 2: (u, v) of every lattice point that carries code bits.
        chips: int, 248 x 8: indices of each code bit's parts; part ``2 i`` is the real, ``2 i + 1``
            the imaginary part of line ``i``.
        signs: float32, 248 x 8: the sign with which a part carries a set bit.
    """

    pilots: np.ndarray
    pilot_phase: np.ndarray
    lines: np.ndarray
    chips: np.ndarray
    signs: np.ndarray


def layout_for(key: bytes | str | None) -> Layout:
    """The carriers of a key; None is the public key.

    Raises:
        WatermarkError: ``watermark.bad-key`` for an empty key, or one that is neither bytes nor text.
    """
    if key is None:
        key = PUBLIC_KEY
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes | bytearray) or not key:
        raise WatermarkError(
            "The watermark key is empty or is not bytes or text.",
            code="watermark.bad-key",
            hint="Give at least 16 random bytes, or None for the public key.",
        )
    return _layout(hashlib.sha256(SCHEME.encode() + b"\0" + bytes(key)).digest())


@lru_cache(maxsize=8)
def _layout(digest: bytes) -> Layout:
    lattice = half_plane()
    pilots = _pilot_rows()
    lines = np.delete(lattice, pilots, axis=0)
    stream = _Stream(digest)
    order = stream.permutation(2 * len(lines))[: CODE_BITS * PARTS]
    phase = np.exp(2j * np.pi * stream.uniform(PILOTS)).astype(np.complex64)
    signs = np.where(stream.uniform(CODE_BITS * PARTS) < 0.5, -1, 1).astype(np.float32)
    return Layout(
        lattice[pilots],
        phase,
        lines,
        order.reshape(CODE_BITS, PARTS),
        signs.reshape(CODE_BITS, PARTS),
    )


@lru_cache(maxsize=1)
def half_plane() -> np.ndarray:
    """Lattice points of the band with v > 0, or v = 0 and u > 0; int, n x 2."""
    span = np.arange(-int(OUTER), int(OUTER) + 1)
    u, v = (axis.ravel() for axis in np.meshgrid(span, span))
    radius = np.hypot(u, v)
    keep = (radius >= INNER) & (radius <= OUTER) & ((v > 0) | ((v == 0) & (u > 0)))
    return np.stack([u[keep], v[keep]], axis=1)


@lru_cache(maxsize=1)
def _pilot_rows() -> np.ndarray:
    """Rows of the pilots: spread over angle and (log) radius, irregular, none near an axis.

    Nothing here depends on the key: a picture is searched for pilots of any key at the same places.
    """
    lattice = half_plane()
    radius = np.hypot(lattice[:, 0], lattice[:, 1])
    angle = np.arctan2(lattice[:, 1], lattice[:, 0])
    off_axis = np.minimum(np.abs(lattice[:, 0]), np.abs(lattice[:, 1])) >= 1
    allowed = np.flatnonzero((radius >= PILOT_INNER) & (radius <= PILOT_OUTER) & off_axis)
    random = np.random.default_rng(_PILOT_SEED)
    chosen: list[int] = []
    for slot in random.permutation(PILOTS):
        wanted_angle = (slot + random.uniform(-0.4, 0.4)) * np.pi / PILOTS
        wanted_radius = np.exp(random.uniform(np.log(PILOT_INNER + 1), np.log(PILOT_OUTER)))
        turn = np.angle(np.exp(2j * (angle[allowed] - wanted_angle))) / 2
        distance = np.hypot(turn * wanted_radius, radius[allowed] - wanted_radius)
        for row in allowed[np.argsort(distance, kind="stable")]:
            if all(np.hypot(*(lattice[row] - lattice[other])) >= 2 for other in chosen):
                chosen.append(int(row))
                break
    return np.array(sorted(chosen))


class _Stream:
    """Deterministic numbers from SHAKE-256: the layout may never change with a library's version."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._calls = 0

    def uniform(self, count: int) -> np.ndarray:
        self._calls += 1
        data = hashlib.shake_256(self._seed + self._calls.to_bytes(4, "big")).digest(8 * count)
        return np.frombuffer(data, ">u8").astype(np.float64) / 2.0**64

    def permutation(self, count: int) -> np.ndarray:
        return np.argsort(self.uniform(count), kind="stable")
