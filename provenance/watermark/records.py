"""What a watermark reading says, and the errors of this package."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from countermark.core.errors import ProvenanceError

#: Name of the scheme. A later one gets another name, and its own carriers.
SCHEME = "tile/1"


class WatermarkError(ProvenanceError):
    """A mark cannot be embedded or looked for; ``code`` says why.

    Codes: ``watermark.bad-image`` (not uint8 H x W x 3), ``watermark.bad-payload`` (not 8 bytes),
    ``watermark.bad-key``, ``watermark.bad-strength``, ``watermark.too-small`` and
    ``watermark.unreadable`` (the mark was embedded at the highest permitted strength and could not
    be read again: a flat, saturated or strictly periodic picture).
    """

    default_code = "watermark.failed"


@dataclass(frozen=True)
class Geometry:
    """How the marked picture was turned into the one that was read.

    Attributes:
        scale: Size of the mark's tile as read, over its size in an untouched picture of these
            dimensions. 1 for an image that only changed its pixel values, or was only resized.
        rotation: Degrees counter-clockwise, in [0, 360).
        flipped: Whether left and right changed places.
        aspect: Horizontal over vertical scale.
        offset: Position (x, y) in tile units of the tile's origin, each in [0, 1).
        matrix: 2 x 2, row by row: maps a vector in pixels of the read image to pixels of the
            working frame, in which the tile is 128 pixels wide.
    """

    scale: float = 1.0
    rotation: float = 0.0
    flipped: bool = False
    aspect: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    matrix: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Reading:
    """Outcome of looking for one mark.

    Attributes:
        payload: The 8 bytes that were embedded, or None when no mark was found.
        p_value: Probability that an unmarked image gives a match this good or better, corrected for
            every decoding attempt of the search; in [0, 1]. With a payload it is at most 1e-9.
        scheme: Name of the scheme that was looked for.
        geometry: How the picture was turned, scaled and cropped, where a payload was found.
        bit_errors: Hard errors among the 248 code bits that were corrected; None without payload.
        attempts: Decoding attempts that were made.
        searched: ``fast`` (no geometry), ``full``, or ``stopped`` when the time ran out.
        confidence: float32, h x w in [0, 1]: where in the picture the mark was found, on a coarse
            grid of the rectified picture; None when it was not asked for or nothing was found.
    """

    payload: bytes | None
    p_value: float
    scheme: str = SCHEME
    geometry: Geometry | None = None
    bit_errors: int | None = None
    attempts: int = 1
    searched: str = "fast"
    confidence: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.payload is not None
