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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.provenance.watermark.marking import embed
    from countermark.provenance.watermark.public_marks import KnownMark, known_marks, read_public
    from countermark.provenance.watermark.reading import read
    from countermark.provenance.watermark.records import Geometry, Reading, WatermarkError

_HOMES = {
    "Geometry": "records",
    "KnownMark": "public_marks",
    "Reading": "records",
    "WatermarkError": "records",
    "embed": "marking",
    "known_marks": "public_marks",
    "read": "reading",
    "read_public": "public_marks",
}

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


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for: a scan reads and never embeds."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
