"""The control: a classifier that sees only size, format and JPEG tables, and no pixel.

If it tells a corpus' classes apart, the corpus is confounded: a detector's score on it may rest on
the packaging. A high control score does not say that a detector uses it; it says that nobody knows.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from countermark.core.corpus import Corpus
from countermark.core.errors import ImageError
from countermark.core.images import read_bytes, sniff_format
from countermark.core.intervals import bootstrap
from countermark.core.results import Interval
from countermark.core.stats import weighted_auroc

FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "bmp", "avif", "heif")
CONFOUNDED = 0.65


def packaging_features(data: bytes) -> np.ndarray:
    """float64 [18] from an image file's header: size, divisibility, format, JPEG tables."""
    kind = sniff_format(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            tables = getattr(image, "quantization", None) or {}
            first = np.asarray(tables.get(0, [0]), dtype=float)
            second = np.asarray(tables.get(1, [0]), dtype=float)
            layers = [layer[1:3] for layer in getattr(image, "layer", [])][:1]
    sampling = layers[0][0] * layers[0][1] if layers else 0
    numbers = [
        np.log(width),
        np.log(height),
        np.log(width / height),
        width == height,
        width % 64 == 0,
        height % 64 == 0,
        first.mean(),
        first.max(),
        second.mean(),
        sampling,
    ]
    return np.array([*numbers, *(kind == name for name in FORMATS)], dtype=np.float64)


def control_auroc(corpus: Corpus, *, seed: int = 0, resamples: int = 300) -> Interval | None:
    """AUROC of the control in five-fold cross-validation; None if there are too few images.

    Folds are random on purpose: the question is whether this corpus can be told apart by its
    packaging at all, not whether that carries over to another.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    features, labels = [], []
    for path, row in corpus:
        try:
            features.append(packaging_features(read_bytes(path)))
        except (ImageError, OSError, ValueError, SyntaxError):
            continue
        labels.append(int(row.is_synthetic))
    y = np.array(labels, dtype=int)
    if min(np.sum(y == 0), np.sum(y == 1)) < 5:
        return None
    forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=seed, class_weight="balanced")
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = cross_val_predict(forest, np.stack(features), y, cv=folds, method="predict_proba")[:, 1]
    return bootstrap(
        lambda weights: weighted_auroc(y, scores, weights),
        y,
        resamples=resamples,
        seed=seed,
        bounds=(0.0, 1.0),
    )
