"""Folders of large pictures, read whole: for trainings that cut their own crops.

>>> found = read_photographs("photos", least=64)                           # doctest: +SKIP
>>> len(found.train), len(found.heldout), found.skipped                    # doctest: +SKIP
(243, 25, 0)

``data.pictures`` reads pictures that are all brought to one size; here each keeps its own. A share
is held out by the digest of the path inside the folder, so that the same files are held out whatever
the order, and whatever else is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import Pixels, iter_image_paths, read_image
from countermark.core.seeds import derive

#: Reading ends where the pictures fill so much memory.
MAX_BYTES = 8 * 1024**3


@dataclass(frozen=True)
class Photographs:
    """What a folder held.

    Attributes:
        train, heldout: uint8 RGB [H, W, 3], each of its own size.
        skipped: Files that could not be read or are too small.
    """

    train: list[Pixels]
    heldout: list[Pixels]
    skipped: int


def read_photographs(
    folder: Path | str,
    *,
    least: int,
    shrink_to: int | None = None,
    holdout: float = 0.1,
    read_heldout: bool = True,
    limit: int = 2000,
    seed: int = 0,
) -> Photographs:
    """Reads a folder until ``limit`` training pictures are found, or ``MAX_BYTES`` of pixels.

    Args:
        least: Pixels that the shorter side must have.
        shrink_to: Shorter side that larger pictures are shrunk to, by area; None keeps them.
        holdout: Share of the files that is held out; see ``is_held_out``.
        read_heldout: Whether those are read at all.

    Raises:
        CorpusError: ``corpus.missing`` or ``corpus.too-small`` (under two to train on).
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorpusError(
            f"{root} is not a folder of pictures.",
            code="corpus.missing",
            hint="Name a folder with some dozens of photographs.",
        )
    train: list[Pixels] = []
    held: list[Pixels] = []
    skipped = size = 0
    for path in iter_image_paths([root]):
        hold = is_held_out(path.relative_to(root), holdout=holdout, seed=seed)
        if hold and not read_heldout:
            continue
        try:
            pixels = read_image(path).pixels
        except ImageError:
            skipped += 1
            continue
        if min(pixels.shape[:2]) < least:
            skipped += 1
            continue
        if shrink_to is not None:
            pixels = _shrink(pixels, shrink_to)
        (held if hold else train).append(pixels)
        size += pixels.nbytes
        if len(train) >= limit or size > MAX_BYTES:
            break
    if len(train) < 2:
        raise CorpusError(
            f"{root} holds {len(train)} pictures of {least} pixels or more to train on.",
            code="corpus.too-small",
            hint=f"Give at least some dozens; {skipped} were unreadable or too small.",
        )
    return Photographs(train, held, skipped)


def is_held_out(path: Path, *, holdout: float = 0.1, seed: int = 0) -> bool:
    """Whether a picture, by its path inside its folder, is kept out of the training."""
    return derive(seed, "holdout", path.as_posix()) / 2**63 < holdout


def _shrink(pixels: Pixels, side: int) -> Pixels:
    scale = side / min(pixels.shape[:2])
    if scale >= 1:
        return pixels
    shape = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
