"""Cases to measure on: an edited picture, its untouched original, and where it was edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels, read_image
from countermark.core.seeds import rng
from region_training.makers import HELD_OUT
from region_training.masks import draw_mask
from region_training.pictures import Cutting, blend, filled, fitted, load_cuttings

SEED = 31


@dataclass(frozen=True)
class Case:
    """One picture.

    Attributes:
        group: What it is counted under, such as ``copies seen`` or ``casia1``.
        name: Which one.
        source: What is resampled as a whole for intervals.
        edited: uint8 RGB [H, W, 3], or None: only the original is there.
        original: The same before the edit, or None where it is not known.
        mask: bool [H, W]; None without an edit.
    """

    group: str
    name: str
    source: str
    edited: Pixels | None
    original: Pixels | None
    mask: np.ndarray | None


def made_cases(folder: Path, pieces: Sequence[Pixels]) -> Iterator[Case]:
    """Two cases of every cutting of sources that nothing was trained on.

    One exchanges a part for the copy that one maker drew (``copies seen`` or ``copies unseen``, by whether
    the maker was trained with), one for something foreign: a piece of a generated picture of sources held
    out (``generated``), a piece of another photograph (``spliced``) or a filling (``filled``).
    """
    cuttings = load_cuttings(folder)
    for cutting in cuttings:
        name = f"{cutting.source}-{int(cutting.photo[::7].sum())}"
        generator = rng(SEED, "case", name)
        for maker, copy in cutting.copies.items():
            mask = draw_mask(cutting.photo, generator)
            group = "copies unseen" if maker in HELD_OUT else "copies seen"
            edited = blend(cutting.photo, copy, mask)
            yield Case(group, f"{maker}-{name}", cutting.source, edited, cutting.photo, mask > 0.5)
        mask = draw_mask(cutting.photo, generator)
        group, other = _foreign(cutting, cuttings, pieces, mask, generator)
        edited = blend(cutting.photo, other, mask)
        yield Case(group, f"{group}-{name}", cutting.source, edited, cutting.photo, mask > 0.5)


def _foreign(
    cutting: Cutting,
    cuttings: Sequence[Cutting],
    pieces: Sequence[Pixels],
    mask: np.ndarray,
    generator: np.random.Generator,
) -> tuple[str, Pixels]:
    kind = float(generator.random())
    if kind < 0.5:
        piece = pieces[int(generator.integers(len(pieces)))]
        return "generated", fitted(piece, cutting.photo, mask, generator)
    if kind < 0.75:
        piece = cuttings[int(generator.integers(len(cuttings)))].photo
        return "spliced", fitted(piece, cutting.photo, mask, generator)
    return "filled", filled(cutting.photo, mask, generator)


def found_cases(folder: Path) -> Iterator[Case]:
    """Edits made by others: ``GROUP/NAME/edited.*`` with ``mask.png``, ``original.*``, or both.

    Several edits of one picture (``dog``, ``dog_inpainted_1``) count as one source.
    """
    for place in sorted(folder.glob("*/*/")):
        files = {path.stem: path for path in place.iterdir()}
        original = read_image(files["original"]).pixels if "original" in files else None
        edited = mask = None
        if "edited" in files and "mask" in files:
            edited = read_image(files["edited"]).pixels
            mask = cv2.imread(str(files["mask"]), cv2.IMREAD_GRAYSCALE) > 127
        if edited is not None or original is not None:
            yield Case(
                place.parent.name, place.name, place.name.split("_inpainted")[0], edited, original, mask
            )
