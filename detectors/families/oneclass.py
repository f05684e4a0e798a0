"""The family ``one-class``: knows photographs only, and says how unlike them a picture is.

Residual statistics of a few native crops (``oneclass_features``) are whitened, reduced and described
by a mixture of Gaussians fitted to photographs; the logit is the negative log-likelihood. No
synthetic picture is used anywhere: the threshold is conformal, from photographs of other sources.

    path = train_one_class(read_corpus("photographs"), "out", name="mine")
    load_detector(path).score([pixels])    # share of held-apart photographs that are less unusual

The score is a rank among photographs, not a probability of synthesis: 0.99 says that one photograph
in a hundred looks as unusual. Edited, scanned and tiny photographs are unusual too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import logsumexp

from countermark.core.errors import ConfigError, TrainingError
from countermark.core.images import Pixels
from countermark.core.seeds import rng
from countermark.detectors.base import DetectorNetwork, FitSettings, Sample
from countermark.detectors.families.residuals import COUNT, residual_features
from countermark.detectors.fitting.histories import random_history
from countermark.detectors.scoring.calibration import FLOOR, Calibrator
from countermark.detectors.scoring.views import ViewPlan, crop_aspect, make_views

DEFAULTS: dict[str, Any] = {"components": 24, "mixtures": 3, "crops": 2}
SMALLEST_SET = 40
KNOTS = 64
TILE = 96


class OneClassDetector(DetectorNetwork):
    """Mixture of Gaussians on whitened residual statistics.

    Args:
        config: ``components`` (kept of the whitened statistics), ``mixtures`` (1 is the Mahalanobis
            distance), ``crops`` (native crops of an image, 1-8).
    """

    family: ClassVar[str] = "one-class"

    def __init__(self, config: dict[str, Any]) -> None:
        extra = sorted(set(config) - set(DEFAULTS))
        if extra:
            raise ConfigError(f"one-class has no option {extra[0]!r}.", hint=f"Known: {', '.join(DEFAULTS)}.")
        self.config = {**DEFAULTS, **config}
        size, mixtures, crops = (int(self.config[k]) for k in ("components", "mixtures", "crops"))
        if not (1 <= size <= COUNT and 1 <= mixtures <= 32 and 1 <= crops <= 8):
            raise ConfigError(f"one-class takes 1-{COUNT} components, 1-32 mixtures and 1-8 crops.")
        self.plan = ViewPlan(0, 0, crops)
        self.mean, self.axes = np.zeros(COUNT), np.eye(COUNT)[:, :size]
        self.centres, self.factors = np.zeros((mixtures, size)), np.tile(np.eye(size), (mixtures, 1, 1))
        self.logs = np.zeros(mixtures)

    @classmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        return cls(config)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        network = cls(config)
        for name in ("mean", "axes", "centres", "factors", "logs"):
            value = tensors[name].astype(np.float64)
            if value.shape != getattr(network, name).shape or not np.isfinite(value).all():
                raise ConfigError(f"The tensor {name} does not fit the card.")
            setattr(network, name, value)
        return network

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        names = ("mean", "axes", "centres", "factors", "logs")
        return {name: getattr(self, name).astype(np.float32) for name in names}, self.config

    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """Fits real samples as they are and under ``settings.views - 1`` histories; ignores the others.

        Raises:
            TrainingError: fewer than 40 real samples.
        """
        real = [sample for sample in samples if sample.label == 0]
        if len(real) < SMALLEST_SET:
            raise TrainingError(
                f"{len(real)} photographs are too few to learn what is usual; {SMALLEST_SET} are needed.",
                code="training.too-few",
            )
        features, groups = [], []
        for number, sample in enumerate(real):
            picture = sample.load()
            for view in range(max(1, settings.views)):
                drawn = rng(settings.seed, "history", sample.key, view)
                features.append(self.features(picture if view == 0 else random_history(picture, drawn)))
                groups.append(sample.group)
            settings.report(number + 1, len(real), float("nan"))
        self.fit_features(np.stack(features), groups, settings.seed)
        return {"photographs": len(real), "rows": len(features)}

    def fit_features(self, features: np.ndarray, groups: Sequence[str], seed: int) -> None:
        """Whitening and mixture from features [N, COUNT]; every source counts by the root of its size."""
        from sklearn.mixture import GaussianMixture

        _, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        weights = counts[inverse] ** -0.5
        self.mean = np.average(features, axis=0, weights=weights)
        scale = np.sqrt(np.average((features - self.mean) ** 2, axis=0, weights=weights)) + 1e-3
        z = (features - self.mean) / scale
        covariance = (z * weights[:, None]).T @ z / weights.sum()
        values, vectors = np.linalg.eigh(covariance)
        size = int(self.config["components"])
        chosen = np.argsort(-values)[:size]
        self.axes = vectors[:, chosen] / np.sqrt(values[chosen] + 1e-2) / scale[:, None]
        rows = rng(seed, "resample").choice(len(features), len(features), p=weights / weights.sum())
        mixture = GaussianMixture(
            int(self.config["mixtures"]), reg_covar=0.05, random_state=seed % 2**31, max_iter=200
        ).fit(((features - self.mean) @ self.axes)[rows])
        self.centres, self.factors = mixture.means_, mixture.precisions_cholesky_
        roots = np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(axis=1)
        self.logs = np.log(mixture.weights_) + roots

    def features(self, image: Pixels) -> np.ndarray:
        """float64 [COUNT]: mean over the most textured native crops."""
        return np.mean([residual_features(view) for view in make_views(image, self.plan)], axis=0)

    def novelty(self, features: np.ndarray) -> np.ndarray:
        """Negative log-likelihood a component, up to a constant, of features [N, COUNT]: float64 [N]."""
        z = (features - self.mean) @ self.axes
        offsets = np.einsum("nkd,kde->nke", z[:, None] - self.centres, self.factors)
        return -logsumexp(self.logs - 0.5 * (offsets**2).sum(axis=2), axis=1) / z.shape[1]

    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        return self.novelty(np.stack([self.features(image) for image in images]))

    def logit_map(self, image: Pixels) -> np.ndarray:
        """Novelty of half-overlapping tiles of 96 px around the image's own."""
        whole = float(self.logits([image])[0])
        image = crop_aspect(image, 8)
        starts = [range(0, max(1, n - TILE + 1), max(TILE // 2, n // 24)) for n in image.shape[:2]]
        rows = [[self._tile(image[t : t + TILE, f : f + TILE]) for f in starts[1]] for t in starts[0]]
        local = np.array(rows)
        return (whole + local - local.mean()).astype(np.float32)

    def _tile(self, tile: Pixels) -> float:
        if min(tile.shape[:2]) < 16:
            return 0.0
        return float(self.novelty(residual_features(tile)[None])[0])


def conformal_calibrator(logits: np.ndarray) -> Calibrator:
    """Maps a logit to the share of held-apart photographs below it, from at most 64 knots.

    The share is of n + 1, so that the highest of n photographs does not get 1 (Vovk et al. 2005).
    """
    ordered = np.sort(np.asarray(logits, dtype=np.float64))
    ranks = np.arange(1, len(ordered) + 1) / (len(ordered) + 1)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(KNOTS, len(ordered))).round().astype(int))
    knots, first = np.unique(ordered[places], return_index=True)
    return Calibrator("isotonic", tuple(np.clip(ranks[places][first], FLOOR, 1 - FLOOR)), tuple(knots))
