"""Views of the data engine's items and frozen features of the views, kept on disk and resumable.

A folder holds ``views.npy`` (uint8 [items, 3 kinds, 224, 224, 3]) and ``drawn.npy`` (uint8 [items]: 0
not yet, 1 drawn, 2 not to be had); for every network beside them ``NAME.features.npy`` (float16
[items, 3 kinds, ...]) and ``NAME.done.npy``, so that a detector and its student share the views.
Work stops after the minutes that it is given and goes on at the next call, so that no long
uninterrupted run is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from countermark.core.errors import ConfigError, ImageError
from countermark.detectors.recipes.draws import Plan, draw_row
from countermark.detectors.recipes.twins import Reconstruct
from countermark.detectors.scoring.views import SIDE, ViewPlan, distinct, make_views

PENDING, DRAWN, ABSENT = range(3)
ALL_KINDS = ViewPlan(whole=1, middle=1, native=1)

#: uint8 views [n, 224, 224, 3] to features [n, ...].
Compute = Callable[[np.ndarray], np.ndarray]
#: Told what is done, how many of it are, and of how many.
Report = Callable[[str, int, int], None]


class ViewStore:
    """Views of a plan's items in a folder, which is made if it is not there.

    Raises:
        ConfigError: the folder was filled for another number of items.
    """

    def __init__(self, folder: Path | str, items: int) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = _open(self.folder / "drawn.npy", np.uint8, (items,))
        self.views = _open(self.folder / "views.npy", np.uint8, (items, 3, SIDE, SIDE, 3))

    def draw(
        self,
        plan: Plan,
        reconstruct: Reconstruct,
        minutes: float = 1e9,
        wanted: np.ndarray | None = None,
        report: Report | None = None,
    ) -> bool:
        """Draws the ``wanted`` (or all) items that are missing; True when none is left.

        ``report`` is told what is done, how many of it are, and of how many.
        """
        stop = time.monotonic() + 60 * minutes
        for row, places in enumerate(plan.places()):
            if report is not None:
                report("Drawing", int((self.state[:] != PENDING).sum()), len(self.state))
            positions = [p for p in places if self.state[p] == PENDING and (wanted is None or wanted[p])]
            if not positions:
                continue
            if time.monotonic() > stop:
                return False
            try:
                for position, pixels in draw_row(plan, row, reconstruct, positions):
                    self.views[position] = np.stack(make_views(pixels, ALL_KINDS))
                    self.state[position] = DRAWN
            except ImageError:
                pass
            for position in positions:
                if self.state[position] == PENDING:
                    self.state[position] = ABSENT
        return True

    def features(self, name: str, shape: tuple[int, ...]) -> FeatureStore:
        """The features that the network ``name`` gives, ``shape`` for one view."""
        return FeatureStore(self, name, shape)


class FeatureStore:
    """One network's features of the views of a ``ViewStore``."""

    def __init__(self, views: ViewStore, name: str, shape: tuple[int, ...]) -> None:
        self.store = views
        items = len(views.state)
        self.done = _open(views.folder / f"{name}.done.npy", np.uint8, (items,))
        self.values = _open(views.folder / f"{name}.features.npy", np.float16, (items, 3, *shape))

    def extract(
        self,
        compute: Compute,
        minutes: float = 1e9,
        batch: int = 6,
        kinds: Sequence[int] = (0, 1, 2),
        report: Report | None = None,
    ) -> bool:
        """Computes what is missing of the views that are drawn, of ``kinds`` only; True when none is left.

        ``report`` is told what is done, how many of it are, and of how many.
        """
        stop = time.monotonic() + 60 * minutes
        wanted = np.array(kinds, int)
        waiting = np.flatnonzero((self.store.state[:] == DRAWN) & (self.done[:] == 0))
        for start in range(0, len(waiting), batch):
            if time.monotonic() > stop:
                return False
            chosen = waiting[start : start + batch]
            found = view_features(compute, self.store.views[chosen][:, wanted])
            self.values[np.ix_(chosen, wanted)] = found
            self.done[chosen] = 1
            if report is not None:
                report("Computing", min(start + batch, len(waiting)), len(waiting))
        return True


def view_features(compute: Compute, views: np.ndarray) -> np.ndarray:
    """float16 [n, 3, ...] of views [n, 3, 224, 224, 3]; views that an item repeats are computed once."""
    count, kinds = views.shape[:2]
    kept, places = distinct(list(views.reshape(-1, *views.shape[2:])), kinds)
    found = np.clip(compute(np.stack(kept)), -6e4, 6e4).astype(np.float16)
    return found[places].reshape(count, kinds, *found.shape[1:])


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
