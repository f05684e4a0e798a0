"""Which blocks of a picture lie inside a face, and which around it."""

from __future__ import annotations

import numpy as np

from countermark.detectors.faces.find import Face
from countermark.detectors.regions.shape import BLOCK

#: Half axes of a face in sides of the finder's box, and by how much its middle lies above the box's.
AXES, ABOVE = (0.42, 0.52), 0.03
#: Radii up to which a block lies inside, and from which and to which around the face.
INSIDE, AROUND = 0.9, (1.35, 2.4)


def inside_and_around(face: Face, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two bool arrays of ``shape`` (rows and columns of blocks): inside of the face, and around it.

    The ring in between, where hair begins and swaps are blended, belongs to neither.
    """
    x, y, wide, high = face.box
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    across = ((columns + 0.5) * BLOCK - (x + wide / 2)) / (AXES[0] * wide)
    down = ((rows + 0.5) * BLOCK - (y + (0.5 - ABOVE) * high)) / (AXES[1] * high)
    radius = np.hypot(across, down)
    return radius < INSIDE, (radius >= AROUND[0]) & (radius < AROUND[1])
