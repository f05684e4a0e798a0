"""Perceptual fingerprints: a 256-bit hash to search with, region hashes for crops, a sketch to re-check.

>>> import numpy as np
>>> from countermark.core.perturb import perturb
>>> ramp = np.linspace(0, 255, 96 * 128 * 3).reshape(96, 128, 3)
>>> image = np.random.default_rng(0).normal(ramp, 40).clip(0, 255).astype(np.uint8)
>>> one, other = fingerprint(image), fingerprint(perturb("jpeg:50", image))
>>> len(one), distance(one, other) <= MAX_DISTANCE
(32, True)

Three parts, from fast to certain:

* ``fingerprint``: pHash with 16 x 16 coefficients. Survives re-encoding and scaling.
* ``region_hashes``: 64-bit hashes of overlapping windows. Find an image that was cropped.
* ``sketch`` and ``compare``: 64 x 64 grey values that a hit is aligned to and correlated with.
"""

from countermark.provenance.fingerprint.alignment import (
    CONFIRMED,
    SKETCH_BYTES,
    Comparison,
    compare,
    sketch,
)
from countermark.provenance.fingerprint.hashing import (
    ALGORITHM,
    BYTES,
    MAX_DISTANCE,
    distance,
    fingerprint,
)
from countermark.provenance.fingerprint.regions import REGIONS, content_hash, region_hashes

__all__ = [
    "ALGORITHM",
    "BYTES",
    "CONFIRMED",
    "Comparison",
    "MAX_DISTANCE",
    "REGIONS",
    "SKETCH_BYTES",
    "compare",
    "content_hash",
    "distance",
    "fingerprint",
    "region_hashes",
    "sketch",
]
