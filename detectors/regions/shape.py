"""The shape of the region network, which training and inference share."""

from __future__ import annotations

import numpy as np

#: Side of a block in pixels: the network gives one logit for each, on the grid of JPEG.
BLOCK = 8
#: Frequencies of a block: all but the mean.
BANDS = BLOCK * BLOCK - 1
#: Channels of the residual branch at full, half, quarter and eighth resolution.
WIDTHS = (16, 24, 40, 56)
#: Spacing of the last three convolutions, in blocks.
DILATIONS = (1, 2, 4)
#: Numbers that describe a block in the end.
EMBEDDED = 40
#: Neurons of the head that compares a block with the picture.
HIDDEN = 48
#: Fine detail is cut off here, in grey levels: edges of things are larger and say nothing.
LIMIT = 12.0
#: Blocks to each side that a block's embedding depends on.
REACH = 9
#: Added to the spread of embeddings, so that a flat picture divides by something.
SPREAD = 1e-2
LUMA = (0.299, 0.587, 0.114)


def dct_filters() -> np.ndarray:
    """float32 [63, 1, 8, 8]: the cosines of a block, without the constant one."""
    n = np.arange(BLOCK)
    rows = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    rows[0] /= np.sqrt(2)
    found = np.einsum("ux,vy->uvxy", rows, rows).reshape(-1, 1, BLOCK, BLOCK)[1:]
    return np.ascontiguousarray(found, np.float32)
