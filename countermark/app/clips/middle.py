"""The middle frame of a clip: a record keeps its looks."""

from __future__ import annotations

from pathlib import Path

from countermark.core.images import Pixels
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits, Sampling


def middle_frame(path: Path | str, limits: ClipLimits = DEFAULT_CLIP_LIMITS) -> Pixels:
    """uint8 RGB, H x W x 3.

    Raises:
        ClipError: it cannot be decoded.
        MissingExtraError: PyAV is not installed.
    """
    with open_clip(path, Sampling(1, scenes=0.0, snap=False), limits) as clip:
        return next(iter(clip)).pixels
