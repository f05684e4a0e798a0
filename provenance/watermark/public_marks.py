"""Marks that image generators put into every picture and that everybody may read.

Stable Diffusion's reference scripts embed a fixed text, the SDXL pipelines a fixed 48-bit message,
with the method ``dwtDct`` of the package invisible-watermark: one bit in each 4 x 4 block of the Haar
approximation of a chroma plane, by the parity of its largest coefficient. They do not survive
re-coding or resizing, so absence says nothing.

>>> known_marks()
('StableDiffusionV1', 'SDV2', 'SDXL')
>>> read_public(np.full((256, 256, 3), 90, np.uint8))
()
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from countermark.provenance.watermark.perception import check_image

#: Probability of a chance match, corrected for all marks that are tried, below which one is reported.
MAX_P = 1e-6
#: Quantisation step and block side of ``dwtDct``.
STEP = 36.0
BLOCK = 4
#: From diffusers, ``pipelines/stable_diffusion_xl/watermark.py``.
SDXL_MESSAGE = 0b101100111110110010010000011110111011000110011110


def _text(text: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(text.encode("ascii"), np.uint8)).astype(bool)


_MESSAGES: dict[str, np.ndarray] = {
    "StableDiffusionV1": _text("StableDiffusionV1"),
    "SDV2": _text("SDV2"),
    "SDXL": np.array([bit == "1" for bit in f"{SDXL_MESSAGE:048b}"]),
}


@dataclass(frozen=True)
class KnownMark:
    """A publicly known mark that was found.

    Attributes:
        name: ``StableDiffusionV1``, ``SDV2`` or ``SDXL``.
        p_value: Probability that an unmarked picture's bits agree as well, corrected for all tries.
        agreement: Share of the message's bits that agree.
        swapped: Whether it was embedded with red and blue exchanged, as early SDXL pipelines did.
    """

    name: str
    p_value: float
    agreement: float
    swapped: bool = False


def known_marks() -> tuple[str, ...]:
    """Names of the marks that ``read_public`` looks for."""
    return tuple(_MESSAGES)


def read_public(image: np.ndarray) -> tuple[KnownMark, ...]:
    """Looks for every known mark in a picture that was neither resized nor cropped since.

    The null hypothesis is that the bits read have no relation to the order of the message's: their
    agreement, given how many of either are set, is then hypergeometric. So that pictures with a
    regular structure do not pass, the message must also fit better than each of its rotations.

    Args:
        image: uint8, H x W x 3, RGB. Pictures under 256 x 256 pixels in area never carry these marks.

    Returns:
        The marks found, the surest first.
    """
    check_image(image)
    if image.shape[0] * image.shape[1] < 256 * 256 or min(image.shape[:2]) < 4 * BLOCK:
        return ()
    found = []
    tries = 2 * len(_MESSAGES)
    for swapped in (False, True):
        votes = _votes(image, swapped)
        for name, message in _MESSAGES.items():
            bits = _bits(votes, len(message))
            p = min(1.0, tries * _chance(bits, message))
            if p > MAX_P:
                continue
            agree = int(np.count_nonzero(bits == message))
            rotated = max(np.count_nonzero(bits == np.roll(message, n)) for n in range(1, len(message)))
            if agree > rotated:
                found.append(KnownMark(name, p, agree / len(message), swapped))
    return tuple(sorted(found, key=lambda mark: mark.p_value))


def _votes(image: np.ndarray, swapped: bool = False) -> np.ndarray:
    """The bit of every block in reading order; bool, 1-D. ``swapped``: red and blue change places."""
    height, width = (n // 4 * 4 for n in image.shape[:2])
    order = cv2.COLOR_BGR2YUV if swapped else cv2.COLOR_RGB2YUV
    chroma = cv2.extractChannel(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), order), 1)
    # Twice the Haar approximation, in whole numbers.
    rows = chroma[0::2].astype(np.uint16) + chroma[1::2]
    double = rows[:, 0::2] + rows[:, 1::2]
    down, right = double.shape[0] // BLOCK, double.shape[1] // BLOCK
    blocks = double[: down * BLOCK, : right * BLOCK]
    blocks[::BLOCK, ::BLOCK] = 0  # the first coefficient carries nothing
    highest = np.maximum.reduce([blocks[n::BLOCK] for n in range(BLOCK)])
    largest = np.maximum.reduce([highest[:, n::BLOCK] for n in range(BLOCK)])
    votes: np.ndarray = (largest % int(2 * STEP) > STEP).ravel()
    return votes


def _bits(votes: np.ndarray, length: int) -> np.ndarray:
    """Majority of the votes for each of ``length`` bits; bool."""
    place = np.arange(len(votes)) % length
    ones = np.bincount(place, weights=votes, minlength=length)
    total = np.maximum(np.bincount(place, minlength=length), 1)
    majority: np.ndarray = ones / total * 255 > 127
    return majority


def _chance(bits: np.ndarray, message: np.ndarray) -> float:
    """P(at least as many agreements) if the bits read were dealt out at random: hypergeometric."""
    both, size = int(np.count_nonzero(bits & message)), len(message)
    wanted, read = int(message.sum()), int(bits.sum())
    ways = sum(
        math.comb(wanted, n) * math.comb(size - wanted, read - n) for n in range(both, min(wanted, read) + 1)
    )
    return ways / math.comb(size, read)
