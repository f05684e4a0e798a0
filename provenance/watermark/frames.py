"""Putting one mark into every frame of a clip.

A single picture's mark is tried, read again under handling and strengthened until it holds
(``marking``), which takes longer than a frame may. A frame's mark is solved for that frame, once, and is
as strong as the picture's would be in its first step; the frames of a clip are read together
(``pooling``), and whoever signs a clip reads the finished file again.

>>> import numpy as np
>>> marker = FrameMarker(b"8 bytes!")
>>> marker.mark(np.random.default_rng(0).integers(60, 190, (300, 400, 3), np.uint8)).shape
(300, 400, 3)
"""

from __future__ import annotations

import numpy as np

from countermark.core.memory import keep_memory
from countermark.provenance.watermark import coding, embedding, marking, perception, views
from countermark.provenance.watermark.layout import layout_for
from countermark.provenance.watermark.records import WatermarkError

#: Peak signal-to-noise ratio (dB) between which the margin decides: codecs of clips take more than those
#: of pictures do, and what moves hides more.
BEST_PSNR = 45.0
WORST_PSNR = 41.0


class FrameMarker:
    """Marks frame after frame with the same payload."""

    def __init__(self, payload: bytes, *, strength: float = 1.0, key: bytes | str | None = None) -> None:
        """``payload`` (8 bytes), ``strength`` (0.25 to 2) and ``key`` as for ``embed``.

        Raises:
            WatermarkError: ``watermark.bad-payload``, ``watermark.bad-strength``, ``watermark.bad-key``.
        """
        if not isinstance(payload, bytes | bytearray) or len(payload) != coding.PAYLOAD_BYTES:
            raise WatermarkError("The watermark's payload is not 8 bytes.", code="watermark.bad-payload")
        if not (isinstance(strength, int | float) and 0.25 <= strength <= 2):
            raise WatermarkError("The strength is not between 0.25 and 2.", code="watermark.bad-strength")
        self._layout = layout_for(key)
        self._bits = coding.encode(bytes(payload))
        louder = 20 * float(np.log10(strength))
        self._psnr = (BEST_PSNR - louder, WORST_PSNR - max(louder, 0))
        self._margin = marking.MARGIN * strength

    def mark(self, image: np.ndarray) -> np.ndarray:
        """A marked copy of a frame (uint8, H x W x 3, RGB).

        Raises:
            WatermarkError: ``watermark.bad-image`` or ``watermark.too-small``.
        """
        perception.check_image(image)
        height, width = image.shape[:2]
        if min(height, width) < marking.MIN_SIDE:
            raise WatermarkError(
                f"A frame of {width} x {height} pixels is too small to carry a mark.",
                code="watermark.too-small",
                hint=f"At least {marking.MIN_SIDE} pixels a side are needed.",
            )
        keep_memory()
        plane = perception.working_frame(image)
        parts = views.analyse(plane)
        colour = marking.colour_of(image)
        errors = (marking.luma_error(self._psnr[0], colour), marking.luma_error(self._psnr[1], colour))
        seen = [views.nominal(plane, parts)]
        solved = embedding.solve(parts, seen, self._bits, self._layout, self._margin, errors)
        return marking.apply_mark(image, solved.plane, colour)
