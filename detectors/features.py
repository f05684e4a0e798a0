"""Views and frozen features of the data engine's items, kept on disk and resumable.

A folder holds ``views.npy`` (uint8 [items, 3 kinds, 224, 224, 3]; holes where a view repeats
another), ``features.npy`` (float16 [items, 3 kinds, blocks, pools, 768]) and ``state.npy`` (uint8
[items]: 0 not yet, 1 views, 2 features too, 3 not to be had). Work stops after the minutes that it
is given and goes on at the next call, so that no long uninterrupted run is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from countermark.core.errors import ConfigError, ImageError
from countermark.detectors.engine import Plan, draw_row
from countermark.detectors.probe import ProbeDetector
from countermark.detectors.twins import Reconstruct
from countermark.detectors.views import SIDE, ViewPlan, make_views

PENDING, VIEWED, DONE, ABSENT = range(4)
ALL_KINDS = ViewPlan(whole=1, middle=1, native=1)


class FeatureStore:
    """Views and features of a plan's items in a folder.

    Args:
        folder: Made if it is not there.
        items: Number of items.
        shape: Of one view's features: (blocks, pools, width).

    Raises:
        ConfigError: the folder was filled for another plan.
    """

    def __init__(self, folder: Path | str, items: int, shape: tuple[int, int, int]) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.state = _open(folder / "state.npy", np.uint8, (items,))
        self.views = _open(folder / "views.npy", np.uint8, (items, 3, SIDE, SIDE, 3))
        self.features = _open(folder / "features.npy", np.float16, (items, 3, *shape))

    def draw(
        self, plan: Plan, reconstruct: Reconstruct, minutes: float = 1e9, wanted: np.ndarray | None = None
    ) -> bool:
        """Draws the ``wanted`` (or all) items that are missing; True when none is left."""
        stop = time.monotonic() + 60 * minutes
        for row, places in enumerate(plan.places()):
            positions = [p for p in places if self.state[p] == PENDING and (wanted is None or wanted[p])]
            if not positions:
                continue
            if time.monotonic() > stop:
                return False
            try:
                for position, pixels in draw_row(plan, row, reconstruct, positions):
                    self.views[position] = np.stack(make_views(pixels, ALL_KINDS))
                    self.state[position] = VIEWED
            except ImageError:
                pass
            for position in positions:
                if self.state[position] == PENDING:
                    self.state[position] = ABSENT
        return True

    def extract(
        self, network: ProbeDetector, minutes: float = 1e9, batch: int = 10, first: np.ndarray | None = None
    ) -> bool:
        """Computes the features of viewed items, ``first`` ones first; True when none is left."""
        stop = time.monotonic() + 60 * minutes
        waiting = np.flatnonzero(self.state[:] == VIEWED)
        if first is not None:
            waiting = waiting[np.argsort(~first[waiting], kind="stable")]
        for start in range(0, len(waiting), batch):
            if time.monotonic() > stop:
                return False
            chosen = np.sort(waiting[start : start + batch])
            self.features[chosen] = view_features(network, self.views[chosen])
            self.state[chosen] = DONE
        return True

    def map_views(
        self, compute: Callable[[np.ndarray], np.ndarray], chosen: np.ndarray, batch: int = 16
    ) -> np.ndarray:
        """``compute`` on views [n, 3, 224, 224, 3] of the chosen items, joined."""
        return np.concatenate(
            [compute(self.views[chosen[i : i + batch]]) for i in range(0, len(chosen), batch)]
        )


def view_features(network: ProbeDetector, views: np.ndarray) -> np.ndarray:
    """float16 [n, 3, blocks, pools, 768] of views [n, 3, 224, 224, 3]; equal views are computed once."""
    flat: list[np.ndarray] = []
    seen: dict[tuple[int, bytes], int] = {}
    places = np.zeros(views.shape[:2], int)
    for i in range(len(views)):
        for kind in range(3):
            key = (i, views[i, kind].tobytes())
            if key not in seen:
                seen[key] = len(flat)
                flat.append(views[i, kind])
            places[i, kind] = seen[key]
    x = torch.from_numpy(np.stack(flat)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = network.trunk(x, network.blocks)[:, :, network.pools].clamp(-6e4, 6e4)
    return found.cpu().numpy().astype(np.float16)[places]


def _open(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    if not path.exists():
        return open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    found = open_memmap(path, mode="r+")
    if found.shape != shape or found.dtype != dtype:
        raise ConfigError(
            f"{path} holds {found.shape}, this plan needs {shape}.",
            hint="Use another folder for another recipe or other corpora.",
        )
    return found
