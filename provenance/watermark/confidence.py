"""Where in a picture the mark is: a coarse map, from a reading that succeeded.

Once the code bits are known, so is the whole mark. Its correlation with the picture, block by block,
shows which parts carry it: pasted-in parts, captions and borders do not.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.special import ndtr

from countermark.provenance.watermark import embedding, perception, spectrum
from countermark.provenance.watermark.layout import TILE, Layout

#: Side of a block in working pixels: half a tile.
BLOCK = 64


def confidence_map(
    plane: np.ndarray, codeword: np.ndarray, origin: tuple[float, float], layout: Layout
) -> np.ndarray:
    """How surely each block carries the mark.

    Args:
        plane: float32 luma of the rectified picture (tile 128 pixels wide).
        codeword: bool, 248: the code bits that were read.
        origin: Where the tile begins, (x, y) in pixels.
        layout: The key's carriers.

    Returns:
        float32, ceil(H / 64) x ceil(W / 64), in [0, 1]: 0 where the correlation is what chance
        gives or less, towards 1 where it is many standard deviations above.
    """
    even = perception.normalise(plane)
    wanted = np.where(codeword, 1.0, -1.0)
    spread = np.ones(layout.chips.shape)
    tile = embedding.synthesise(wanted, spread, np.full(len(layout.pilots), 2.0), layout)
    moved = np.fft.ifft2(spectrum.shift(spectrum.transform(tile), -origin[0], -origin[1])).real
    pattern = embedding.modulated(np.ones_like(plane), moved / moved.std())
    shape = (-(-plane.shape[1] // BLOCK), -(-plane.shape[0] // BLOCK))
    product = cv2.resize(even * pattern, shape, interpolation=cv2.INTER_AREA)
    power = cv2.resize(even * even, shape, interpolation=cv2.INTER_AREA)
    # The mark's band holds about a tenth of the independent values that a block has pixels.
    sigmas = product / np.sqrt(power + 1e-9) * np.sqrt(BLOCK * BLOCK * BAND_SHARE)
    result: np.ndarray = np.clip(2 * ndtr(sigmas) - 1, 0, 1).astype(np.float32)
    return result


#: Lattice points of the band (twice 808) over those of the tile.
BAND_SHARE = 2 * 1130 / TILE**2
