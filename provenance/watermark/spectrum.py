"""From the working frame to the mark's carriers: fold all tiles into one, transform, whiten.

Folding adds up the picture's 128 x 128 tiles: the mark is in all of them, the picture is not.
The transform of the fold has the mark's lattice points as its bins.

>>> import numpy as np
>>> fold(np.ones((200, 300), np.float32)).shape
(128, 128)
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from countermark.provenance.watermark.layout import OUTER, PARTS, TILE, Layout

#: Side of the neighbourhood, in lattice points, from which the noise of a carrier is estimated.
NEIGHBOURHOOD = 5


def fold(plane: np.ndarray) -> np.ndarray:
    """Sum of all tiles of a plane; float32, 128 x 128. The plane's first pixel is the tile's."""
    height, width = plane.shape
    rows, columns = height // TILE, -(-width // TILE)
    band = np.zeros((TILE, columns * TILE), np.float32)
    whole = np.ascontiguousarray(plane[: rows * TILE]).reshape(rows, TILE, width)
    np.sum(whole, axis=0, dtype=np.float32, out=band[:, :width])
    band[: height - rows * TILE, :width] += plane[rows * TILE :]
    tile: np.ndarray = band.reshape(TILE, columns, TILE).sum(axis=1, dtype=np.float32)
    return tile


def transform(tile: np.ndarray) -> np.ndarray:
    """Spectrum of a folded tile; complex64, 128 x 128, indexed [v, u] modulo 128."""
    spectrum: np.ndarray = np.fft.fft2(tile.astype(np.float32, copy=False))
    return spectrum


def noise(spectrum: np.ndarray) -> np.ndarray:
    """Noise amplitude (rms of a real part) of every bin of the mark's band, from its neighbours.

    float32, 128 x 128. Peaks are cut to three times their neighbours' level first, so that a strong
    line does not hide those beside it.
    """
    size = int(OUTER) + NEIGHBOURHOOD
    window = np.arange(-size, size + 1)
    power = np.abs(spectrum[np.ix_(window, window)]) ** 2
    kernel = (NEIGHBOURHOOD, NEIGHBOURHOOD)
    level = cv2.blur(power, kernel, borderType=cv2.BORDER_REPLICATE)
    level = cv2.blur(np.minimum(power, 3 * level), kernel, borderType=cv2.BORDER_REPLICATE)
    result = np.ones((TILE, TILE), np.float32)
    result[np.ix_(window, window)] = np.sqrt(level / 2) + 1e-9
    return result


def whiten(spectrum: np.ndarray) -> np.ndarray:
    """The spectrum in units of its noise, outliers limited; complex64."""
    scaled = spectrum / noise(spectrum)
    size = np.abs(scaled)
    limited: np.ndarray = scaled * np.minimum(1, 4.0 / np.maximum(size, 1e-9))
    return limited


def shift(spectrum: np.ndarray, x: float, y: float) -> np.ndarray:
    """The spectrum after the tile's content moves by (-x, -y) pixels: its origin was at (x, y)."""
    turn = np.exp(2j * np.pi * _frequencies() / TILE * np.array([[x]])).astype(np.complex64)
    turn_y = np.exp(2j * np.pi * _frequencies() / TILE * np.array([[y]])).astype(np.complex64)
    moved: np.ndarray = spectrum * turn * turn_y.T
    return moved


@lru_cache(maxsize=1)
def _frequencies() -> np.ndarray:
    return np.fft.fftfreq(TILE, 1 / TILE)[None, :]


def chip_values(spectrum: np.ndarray, layout: Layout) -> np.ndarray:
    """Soft code bits of a whitened spectrum: unit noise, positive for a set bit; float32, 248."""
    lines = spectrum[layout.lines[:, 1], layout.lines[:, 0]]
    parts = np.stack([lines.real, lines.imag], axis=1).ravel()
    values: np.ndarray = (parts[layout.chips] * layout.signs).sum(axis=1) / np.sqrt(PARTS)
    return values


def pilot_values(spectrum: np.ndarray, layout: Layout) -> np.ndarray:
    """Pilots of a whitened spectrum, turned so that a mark at offset 0 gives positive real values."""
    values: np.ndarray = spectrum[layout.pilots[:, 1], layout.pilots[:, 0]] * layout.pilot_phase.conj()
    return values


def pilot_peak(spectrum: np.ndarray, layout: Layout) -> tuple[float, float, float]:
    """Where the tile's origin is: (x, y) in tile pixels to a fraction of one, and the peak's height.

    The height is in standard deviations of the sum of the pilots of an unmarked picture.
    """
    sparse = np.zeros((TILE, TILE), np.complex64)
    sparse[layout.pilots[:, 1], layout.pilots[:, 0]] = pilot_values(spectrum, layout)
    surface = np.fft.ifft2(sparse).real * (TILE * TILE / np.sqrt(len(layout.pilots)))
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    height = float(surface[row, column])
    x = column + _vertex(surface[row, (column + np.array([-1, 0, 1])) % TILE])
    y = row + _vertex(surface[(row + np.array([-1, 0, 1])) % TILE, column])
    return x, y, height


def _vertex(three: np.ndarray) -> float:
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.5 * float(three[0] - three[2]) / bend if bend < 0 else 0.0
