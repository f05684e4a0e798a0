"""An invisible watermark: 8 bytes in the pixels of a picture, with a stated false-positive rate.

>>> import numpy as np
>>> picture = np.random.default_rng(0).integers(60, 190, (300, 400, 3), np.uint8)
>>> reading = read(embed(picture, b"8 bytes!"))
>>> reading.payload, reading.p_value < 1e-9
(b'8 bytes!', True)

A mark survives handling: re-saving, resizing, cropping, turning. It does not survive an attacker,
nor a generative model that redraws the picture. See ``docs/watermark.md`` for what was measured.
"""

from __future__ import annotations

from countermark.provenance.watermark.marking import embed
from countermark.provenance.watermark.public_marks import KnownMark, known_marks, read_public
from countermark.provenance.watermark.reading import read
from countermark.provenance.watermark.records import Geometry, Reading, WatermarkError

__all__ = [
    "Geometry",
    "KnownMark",
    "Reading",
    "WatermarkError",
    "embed",
    "known_marks",
    "read",
    "read_public",
]
