"""Self-labels: classes for a folder without any, from clusters of features, for conditional training.

>>> import numpy as np
>>> made = np.concatenate([np.full((20, 16, 16, 3), v, np.uint8) for v in (10, 200)])
>>> found = self_labels(made, 2, extractor="pixels")
>>> sorted(found.sizes), purity(found.labels, np.repeat([0, 1], 20))
([20, 20], 1.0)

Features are centred, reduced to their principal components, whitened in part, put on the unit
sphere and grouped by k-means; the pairing of clusters and conditional GANs follows Liu et al. 2020
("Diverse image generation via self-conditioned GANs") without the online re-clustering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score

from countermark.core.errors import ConfigError, CorpusError
from countermark.core.features import Extractor, load_extractor
from countermark.core.files import sha256_bytes
from countermark.generators.data.pictures import Pictures

MAX_CLUSTERS = 1000
MAX_COMPONENTS = 64
#: Fewest images for each cluster on average; fewer cannot teach a class.
LEAST_EACH = 4


@dataclass(frozen=True)
class SelfLabels:
    """Clusters of a set of images.

    Attributes:
        labels: int64 [N] in [0, clusters), larger clusters first.
        sizes: Images in each cluster.
        extractor: Of the features.
        agreement: ``purity`` and ``nmi`` against true labels where they are known, else empty.
    """

    labels: np.ndarray
    sizes: tuple[int, ...]
    extractor: str
    components: int
    seed: int
    agreement: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names: ``cluster-0`` and so on."""
        width = len(str(len(self.sizes) - 1))
        return tuple(f"cluster-{index:0{width}d}" for index in range(len(self.sizes)))

    def as_dict(self) -> dict[str, Any]:
        """The clustering as a card holds it; the assignment itself as a digest."""
        return {
            "method": "k-means on whitened principal components, unit length",
            "clusters": len(self.sizes),
            "sizes": list(self.sizes),
            "extractor": self.extractor,
            "components": self.components,
            "seed": self.seed,
            "assignment_sha256": sha256_bytes(self.labels.astype("<i8").tobytes()),
            **{key: round(value, 4) for key, value in self.agreement.items()},
        }


def self_labels(
    images: np.ndarray,
    clusters: int,
    *,
    extractor: str | Extractor = "auto",
    seed: int = 0,
    truth: np.ndarray | None = None,
) -> SelfLabels:
    """Groups uint8 [N, H, W, 1 or 3] images into ``clusters`` classes.

    Args:
        extractor: Name for ``countermark.core.features.load_extractor``, or ``pixels`` for the images
            themselves at 16 px; ``auto`` is ``lite0`` where it is installed, else ``dct``.
        truth: True labels, only to measure the clusters against.

    Raises:
        ConfigError: fewer than 2 or more than 1000 clusters.
        CorpusError: ``corpus.too-small``: fewer than 4 images for each cluster.
    """
    if not 2 <= clusters <= MAX_CLUSTERS:
        raise ConfigError(f"{clusters} self-labels cannot be made.", hint=f"Ask for 2 to {MAX_CLUSTERS}.")
    if len(images) < clusters * LEAST_EACH:
        raise CorpusError(
            f"{len(images)} images are too few for {clusters} self-labels.",
            code="corpus.too-small",
            hint=f"Ask for at most {max(len(images) // LEAST_EACH, 1)}, or add images.",
        )
    extract = _chosen(extractor)
    points = unit_components(extract(images), seed)
    fitted = KMeans(clusters, n_init=10, random_state=seed).fit(points)
    # k-means numbers its clusters at random; by size, the same clusters get the same numbers.
    order = np.argsort(-np.bincount(fitted.labels_, minlength=clusters), kind="stable")
    labels = np.argsort(order)[fitted.labels_].astype(np.int64)
    agreement = {}
    if truth is not None:
        nmi = float(normalized_mutual_info_score(truth, labels))
        agreement = {"purity": purity(labels, truth), "nmi": nmi}
    sizes = tuple(int(n) for n in np.bincount(labels, minlength=clusters))
    return SelfLabels(labels, sizes, extract.name, points.shape[1], seed, agreement)


def unit_components(features: np.ndarray, seed: int = 0, most: int = MAX_COMPONENTS) -> np.ndarray:
    """Principal components with their scale reduced to its root, at unit length; float64 [N, <= most].

    Full whitening would make the last component as loud as the first; the root is half of the way.
    """
    if not features.std(axis=0).max() > 1e-9:
        raise CorpusError("All images look alike, so they have no clusters.", code="corpus.too-small")
    count = min(most, features.shape[1], len(features) - 1)
    points = PCA(count, random_state=seed).fit_transform(features.astype(np.float64))
    scale = points.std(axis=0)
    points = points[:, scale > 1e-9] / np.sqrt(scale[scale > 1e-9])
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)


def purity(labels: np.ndarray, truth: np.ndarray) -> float:
    """Share of images whose true class is the commonest of their cluster, in [0, 1]."""
    found = 0
    for cluster in np.unique(labels):
        found += np.unique(np.asarray(truth)[labels == cluster], return_counts=True)[1].max()
    return float(found / len(labels))


def label_pictures(
    pictures: Pictures, clusters: int, *, extractor: str | Extractor = "auto", seed: int = 0
) -> tuple[Pictures, SelfLabels]:
    """``pictures`` with clusters as their classes; true classes, if any, only measure the clusters.

    Held-out images get no label: they take no part in the clustering.
    """
    truth = pictures.labels if len(pictures.classes) > 1 else None
    found = self_labels(pictures.images, clusters, extractor=extractor, seed=seed, truth=truth)
    relabelled = Pictures(
        name=pictures.name,
        images=pictures.images,
        labels=found.labels,
        classes=found.names,
        heldout=pictures.heldout,
        heldout_labels=None,
        skipped=pictures.skipped,
    )
    return relabelled, found


def _chosen(extractor: str | Extractor) -> Extractor:
    if isinstance(extractor, Extractor):
        return extractor
    return Extractor("pixels", 16, _pixels) if extractor == "pixels" else load_extractor(extractor)


def _pixels(images: np.ndarray) -> np.ndarray:
    soft = np.stack([cv2.GaussianBlur(image, (3, 3), 0) for image in images])
    return soft.reshape(len(images), -1).astype(np.float32) / 255
