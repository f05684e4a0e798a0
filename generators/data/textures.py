"""Procedural materials that tile: the training set ``textures``, made from noise and nothing else.

>>> image = texture("marble", seed=3, size=64)
>>> image.shape, image.dtype.name
((64, 64, 3), 'uint8')

Every pattern is periodic in both directions: noise is shaped in the frequency domain of a torus,
waves have whole numbers of periods, distances are measured around the edges. Sources: spectral
noise and turbulence after Perlin (1985), cells after Worley (1996).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from countermark.core.images import Pixels
from countermark.core.registry import Registry
from countermark.core.seeds import rng

Draws = np.random.Generator
#: Materials by name: ``make(side, draws)`` returns float [side, side, 3] in [0, 1], RGB.
MATERIALS: Registry[Callable[[int, Draws], np.ndarray]] = Registry("material")
OVERSAMPLE = 2
#: Pictures of each material in the data source ``textures``.
EACH = 200


def texture(material: str, seed: int, size: int = 128) -> Pixels:
    """One tiling picture of a material: uint8 RGB [size, size, 3]; another for every seed.

    Raises:
        UnknownNameError: lists the known materials.
    """
    draws = rng(seed, "texture", material)
    side = size * OVERSAMPLE
    large = np.clip(MATERIALS.get(material)(side, draws), 0, 1)
    # Joints and cells are laid out from the corner; rolled, no row or column is special.
    large = np.roll(large, tuple(draws.integers(side, size=2)), axis=(0, 1))
    small = large.reshape(size, OVERSAMPLE, size, OVERSAMPLE, 3).mean(axis=(1, 3))
    return np.rint(small * 255).astype(np.uint8)


def noise(
    side: int, draws: Draws, *, slope: float = 1.0, stretch: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """Periodic noise with power falling as frequency^(-2 slope); [side, side], mean 0, deviation 1.

    ``stretch`` lengthens features along (y, x).
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(side) * side, np.fft.rfftfreq(side) * side, indexing="ij")
    radius = np.sqrt((fy * stretch[0]) ** 2 + (fx * stretch[1]) ** 2)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(draws.normal(size=(side, side))) * np.maximum(radius, 1) ** -slope
    field = np.fft.irfft2(spectrum, s=(side, side))
    return (field - field.mean()) / (field.std() + 1e-9)


def cells(side: int, count: int, draws: Draws) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the nearest and second nearest of about ``count`` jittered points, and which is nearest.

    Distances are in units of the mean spacing and go around the edges; the points are kept apart by
    a jittered grid.
    """
    across = max(round(count**0.5), 2)
    base = (np.stack(tuple(np.mgrid[0:across, 0:across]), -1).reshape(-1, 2) + 0.5) / across
    points = (base + draws.uniform(-0.38, 0.38, base.shape) / across) % 1
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    away = [
        np.abs(axis[None] - place[:, None, None]) for axis, place in ((y, points[:, 0]), (x, points[:, 1]))
    ]
    wrapped = [np.minimum(a, 1 - a) for a in away]
    distance = np.hypot(*wrapped) * across
    order = np.argsort(distance, axis=0)[:2]
    first, second = (np.take_along_axis(distance, order[i : i + 1], 0)[0] for i in (0, 1))
    return first, second, order[0]


def ramp(values: np.ndarray, *colours: tuple[float, float, float]) -> np.ndarray:
    """Maps [0, 1] to colours (0-255) spaced evenly; returns float [..., 3] in [0, 1]."""
    stops = np.linspace(0, 1, len(colours))
    values = np.clip(values, 0, 1)
    return np.stack([np.interp(values, stops, [c[i] / 255 for c in colours]) for i in range(3)], axis=-1)


def _waves(side: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:side, 0:side] * (2 * np.pi / side)
    return y, x


def _tint(image: np.ndarray, draws: Draws, amount: float = 0.06) -> np.ndarray:
    return image * (1 + draws.normal(0, amount)) * (1 + draws.normal(0, amount / 2, 3))


@MATERIALS.add("brick")
def _brick(side: int, draws: Draws) -> np.ndarray:
    rows, columns = 6, 3
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    row = np.floor(y * rows).astype(int)
    along = x * columns + 0.5 * (row % 2)
    column = np.floor(along).astype(int) % columns
    warp = noise(side, draws, slope=1.6) * 0.012
    near_y = np.abs((y * rows + warp * rows) % 1 - 0.5)
    near_x = np.abs((along + warp * columns) % 1 - 0.5)
    shade = draws.uniform(0.2, 0.8, (rows, columns))[row, column]
    grain = noise(side, draws, slope=0.8) * 0.12
    clay = ramp(shade + grain, (92, 38, 28), (150, 66, 46), (190, 104, 74))
    mortar = ramp(0.5 + grain, (140, 134, 124), (186, 180, 170))
    joint = np.clip(np.maximum((near_y - 0.41) / 0.04, (near_x - 0.455) / 0.02), 0, 1)[..., None]
    return _tint(clay * (1 - joint) + mortar * joint, draws)


@MATERIALS.add("cobble")
def _cobble(side: int, draws: Draws) -> np.ndarray:
    first, second, which = cells(side, 25, draws)
    height = np.clip((second - first) * 1.8, 0, 1)
    shade = draws.uniform(0.25, 0.75, which.max() + 1)[which]
    stone = ramp(
        shade * 0.6 + height * 0.3 + noise(side, draws, slope=1) * 0.06, (52, 50, 48), (178, 174, 166)
    )
    gap = np.clip(height * 3, 0, 1)[..., None]
    return _tint(stone * gap + np.array([0.13, 0.11, 0.09]) * (1 - gap), draws)


@MATERIALS.add("grass")
def _grass(side: int, draws: Draws) -> np.ndarray:
    patches = noise(side, draws, slope=1.5) * 0.1
    blades = noise(side, draws, slope=0.9, stretch=(1.4, 0.35)) * 0.15
    fine = noise(side, draws, slope=0.3) * 0.05
    return _tint(ramp(0.5 + patches + blades + fine, (22, 46, 14), (58, 104, 30), (132, 168, 64)), draws)


@MATERIALS.add("lava")
def _lava(side: int, draws: Draws) -> np.ndarray:
    first, second, _ = cells(side, 16, draws)
    crack = np.clip(1 - (second - first + noise(side, draws, slope=1.5) * 0.06) * 2.6, 0, 1)
    crust = 0.12 + noise(side, draws, slope=1.1) * 0.05
    glow = np.clip(crust + crack**2 * 0.95, 0, 1)
    return ramp(glow, (18, 12, 12), (70, 18, 10), (206, 56, 10), (255, 170, 32), (255, 240, 150))


@MATERIALS.add("marble")
def _marble(side: int, draws: Draws) -> np.ndarray:
    y, x = _waves(side)
    a, b = int(draws.integers(1, 3)), int(draws.integers(-2, 3))
    phase = a * x + b * y + noise(side, draws, slope=1.7) * 1.5 + draws.uniform(0, 2 * np.pi)
    vein = 1 - np.abs(np.sin(phase)) ** 0.35
    cloud = noise(side, draws, slope=1.6) * 0.1
    return _tint(ramp(0.82 + cloud - vein * 0.9, (70, 74, 84), (188, 190, 196), (244, 243, 240)), draws, 0.03)


@MATERIALS.add("sand")
def _sand(side: int, draws: Draws) -> np.ndarray:
    y, x = _waves(side)
    a, b = int(draws.integers(3, 6)), int(draws.integers(-1, 2))
    ripple = np.sin(a * y + b * x + noise(side, draws, slope=1.8) * 0.9) * 0.16
    grain = noise(side, draws, slope=0.1) * 0.07
    return _tint(ramp(0.55 + ripple + grain, (138, 104, 62), (204, 170, 116), (240, 216, 168)), draws)


@MATERIALS.add("water")
def _water(side: int, draws: Draws) -> np.ndarray:
    first, second, _ = cells(side, 16, draws)
    light = np.clip(1 - (second - first + noise(side, draws, slope=1.8) * 0.08) * 1.5, 0, 1) ** 3
    swell = noise(side, draws, slope=1.8) * 0.1
    return _tint(ramp(0.3 + swell + light * 0.7, (8, 44, 84), (24, 110, 160), (178, 232, 240)), draws)


@MATERIALS.add("wood")
def _wood(side: int, draws: Draws) -> np.ndarray:
    _, x = _waves(side)
    rings = int(draws.integers(3, 6))
    warp = noise(side, draws, slope=1.6, stretch=(2.5, 1)) * 0.8
    grain = noise(side, draws, slope=0.5, stretch=(12, 1)) * 0.1
    shade = 0.5 + 0.26 * np.sin(rings * x + warp) + 0.1 * np.sin(2 * rings * x + 2 * warp) + grain
    return _tint(ramp(shade, (78, 44, 22), (140, 88, 48), (196, 142, 88)), draws)


def seam_ratio(images: np.ndarray) -> np.ndarray:
    """How visible the edges are when each image is laid beside itself; float64 [N].

    The mean absolute difference between opposite edges over the mean absolute difference between
    neighbouring rows and columns inside. About 1: no seam; clearly above 1: a visible one.

    Args:
        images: uint8 [N, H, W, C].
    """
    values = images.astype(np.float64)
    edges = (values[:, 0] - values[:, -1], values[:, :, 0] - values[:, :, -1])
    inside = (np.diff(values, axis=1), np.diff(values, axis=2))
    seam = sum(np.abs(e).mean(axis=(1, 2)) for e in edges)
    interior = sum(np.abs(d).mean(axis=(1, 2, 3)) for d in inside)
    return np.asarray(seam / np.maximum(interior, 1e-9))


def seam_rank(images: np.ndarray) -> np.ndarray:
    """Share of inner borders that are weaker than the seam, per image; 0.5 on average without one."""
    values = images.astype(np.float64)
    ranks = []
    for axis in (1, 2):
        steps = np.abs(np.roll(values, -1, axis) - values).mean(axis=(3 - axis, 3))
        ranks.append((steps[:, :-1] < steps[:, -1:]).mean(axis=1))
    return np.mean(ranks, axis=0)


def tiled(image: np.ndarray, times: int = 3) -> Pixels:
    """An image laid ``times`` x ``times`` beside itself."""
    return np.ascontiguousarray(np.tile(image, (times, times, 1)))
