"""Localisation: how well a heatmap points at the region that was synthesised, on masked blends.

    found = evaluate_localisation(load_detector(), read_corpus("folder"), images=40)
    found.conditions["native"].auc, found.conditions["native"].iou

The blends are made of real pictures: a soft region is replaced by a reconstruction of itself, so that
content is the same inside and outside, and the mask is known. By default the reconstruction is the
simulated upsampler of ``detectors.twins``; an autoencoder gives fakes closer to inpainting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from countermark.core.corpus import Corpus
from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import bootstrap, proportion
from countermark.core.perturb import DELIVERIES, perturb
from countermark.core.results import Interval
from countermark.core.seeds import rng
from countermark.core.stats import auroc, weighted_mean
from countermark.detectors.base import Detector
from countermark.detectors.recipes.twins import Reconstruct, cut_to_multiple, make_twin, simulate_upsampler
from countermark.detectors.scoring.views import resize_short

#: Pictures are cut to this side at most, so that the region is large enough to be delivered small.
SIDE = 512
SMALLEST = 128
#: Pixels of every map on which figures are computed.
GRID = 64


@dataclass(frozen=True)
class LocalisationFigures:
    """Figures under one delivery; intervals resample whole sources.

    Attributes:
        auc: Mean over the pictures of the pixel AUROC of the heatmap against the mask; chance is 0.5.
        iou: Mean intersection over union at one threshold, relative to the map's own mean, that was
            chosen on the pictures of other sources.
        iou_everything: The same for a map that marks everything: the share of the mask.
        flagged: Share of the blends that the detector flags.
    """

    auc: Interval
    iou: Interval
    iou_everything: Interval
    flagged: Interval


@dataclass(frozen=True)
class Localisation:
    """What ``evaluate_localisation`` found."""

    detector: str
    sha256: str
    images: int
    seed: int
    conditions: Mapping[str, LocalisationFigures]


def evaluate_localisation(
    detector: Detector,
    corpus: Corpus,
    *,
    images: int = 40,
    reconstruct: Reconstruct = simulate_upsampler,
    deliveries: Mapping[str, str] = DELIVERIES,
    max_fpr: float = 0.01,
    resamples: int = 500,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Localisation:
    """Makes blends of real pictures of ``corpus`` and compares heatmaps with masks.

    Args:
        images: Blends that are made at most, drawn at random.
        reconstruct: Makes the synthetic content; see ``detectors.twins``.
        max_fpr: Sets the threshold for ``flagged``.

    Raises:
        CorpusError: ``corpus.too-few``: fewer than four readable real pictures of 128 px.
    """
    real = corpus.select(label="real")
    likely = float(detector.thresholds(max_fpr).likely)
    sources: list[str] = []
    maps: dict[str, list[np.ndarray]] = {name: [] for name in deliveries}
    masks: dict[str, list[np.ndarray]] = {name: [] for name in deliveries}
    flagged: dict[str, list[bool]] = {name: [] for name in deliveries}
    for index in rng(seed, "localisation").permutation(len(real)):
        if len(sources) >= images:
            break
        row = real.rows[index]
        try:
            picture = read_image(real.root / row.file_name).pixels
        except ImageError:
            continue
        if min(picture.shape[:2]) < SMALLEST:
            continue
        blend, mask = make_blend(picture, rng(seed, "blend", row.file_name), reconstruct)
        sources.append(row.source or "unnamed")
        for name, spec in deliveries.items():
            delivered = perturb(spec, blend)
            maps[name].append(_small(detector.heatmap(delivered)))
            masks[name].append(_small(mask) >= 0.5)
            flagged[name].append(bool(detector.score([delivered])[0] >= likely))
        report(len(sources), images)
    if len(sources) < 4:
        raise CorpusError(
            f"{len(sources)} real pictures are too few to measure localisation on.",
            code="corpus.too-few",
            hint=f"Give at least four of {SMALLEST} x {SMALLEST} pixels.",
        )
    conditions = {
        name: _figures(maps[name], masks[name], flagged[name], np.array(sources), resamples, seed)
        for name in deliveries
    }
    return Localisation(detector.name, detector.card.sha256, len(sources), seed, conditions)


def make_blend(
    picture: Pixels, generator: np.random.Generator, reconstruct: Reconstruct
) -> tuple[Pixels, np.ndarray]:
    """A masked blend of at most SIDE x SIDE pixels and its mask, float32 H x W in [0, 1]."""
    if min(picture.shape[:2]) > 2 * SIDE:
        picture = resize_short(picture, 2 * SIDE)
    high, wide = (min(n, SIDE) for n in picture.shape[:2])
    top = int(generator.integers(picture.shape[0] - high + 1))
    left = int(generator.integers(picture.shape[1] - wide + 1))
    cut = cut_to_multiple(picture[top : top + high, left : left + wide])
    return make_twin(cut, generator, reconstruct, masked=1.0)


def pixel_auc(heat: np.ndarray, mask: np.ndarray) -> float:
    """AUROC of a map's values against a boolean mask of the same shape; NaN if the mask is uniform."""
    return auroc(mask.ravel().astype(int), heat.ravel())


def iou(heat: np.ndarray, mask: np.ndarray, threshold: float) -> float:
    """Intersection over union of ``heat >= threshold`` and ``mask``; 0 if both are empty."""
    found = heat >= threshold
    union = np.count_nonzero(found | mask)
    return float(np.count_nonzero(found & mask) / union) if union else 0.0


def _small(field: np.ndarray) -> np.ndarray:
    return cv2.resize(field.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)


def _figures(
    maps: list[np.ndarray],
    masks: list[np.ndarray],
    flagged: list[bool],
    sources: np.ndarray,
    resamples: int,
    seed: int,
) -> LocalisationFigures:
    # Maps are compared to their own mean and spread: an image's score moves its whole map.
    scaled = [(m - m.mean()) / (m.std() + 1e-6) for m in maps]
    candidates = np.linspace(-1.5, 2, 29)
    table = np.array([[iou(m, k, t) for t in candidates] for m, k in zip(scaled, masks, strict=True)])
    found = np.zeros(len(maps))
    names = np.unique(sources)
    # With one source only, the threshold comes from the other pictures.
    apart = sources if len(names) > 1 else np.arange(len(maps))
    for name in np.unique(apart):
        mine = apart == name
        found[mine] = table[mine, int(table[~mine].mean(axis=0).argmax())]

    def mean(values: np.ndarray) -> Interval:
        known = np.isfinite(values)
        return bootstrap(
            partial(weighted_mean, values[known]),
            np.ones(int(known.sum())),
            sources[known] if len(names) > 1 else None,
            resamples=resamples,
            seed=seed,
            bounds=(0.0, 1.0),
        )

    areas = np.array([mask.mean() for mask in masks])
    aucs = np.array([pixel_auc(m, k) for m, k in zip(maps, masks, strict=True)])
    shares = proportion(np.array(flagged), sources if len(names) > 1 else None).interval
    return LocalisationFigures(mean(aucs), mean(found), mean(areas), shares)
