"""Fits the expert's head on samples, calibrates it, sets its threshold, and writes it.

    PYTHONPATH=tools python -m face_training.fit SAMPLES PORTRAITS STATE OUT

STATE is what ``face_training.train`` keeps, or ``region_training.train`` (the network as it is). Head:
logistic regression on ``features.COUNT`` features of the samples. Calibration: on training sources whose
samples the head, fitted without them, had not seen. Threshold: what at most ``FLAGGED`` of the portraits of
the calibration sources reach, as they came and as JPEG 75, and at most ``TOUCHED`` of the retouched ones,
every source counting alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from region_training.network import RegionNetwork, folded
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from countermark.core.files import sha256_file
from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.core.weights import WeightsCard
from countermark.detectors.faces.expert import FAMILY, FaceExpert, save_expert
from countermark.detectors.faces.features import COUNT, face_features
from countermark.detectors.faces.find import Face
from countermark.detectors.regions.engine import RegionEngine
from countermark.detectors.scoring.calibration import Calibrator, balanced_weights, fit_calibrator
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.thresholds import ThresholdTable
from face_training.blending import Portrait, retouched
from face_training.portraits import Row, read_rows
from face_training.samples import read_samples

#: Inverse strength of the penalty, and folds of sources.
PENALTY, FOLDS = 0.1, 5
#: Most portraits, and most retouched ones, that may reach the threshold; narrowest face that is judged.
FLAGGED, TOUCHED, SMALLEST = 0.02, 0.05, 64.0


def measured(engine: RegionEngine, given: Iterable[tuple[Pixels, Face]]) -> np.ndarray:
    """float32 [n, COUNT]; rows of NaN for faces that cannot be judged."""
    rows = []
    for number, (pixels, face) in enumerate(given, 1):
        found = face_features(engine, pixels, face)
        rows.append(np.full(COUNT, np.nan, np.float32) if found is None else found)
        if number % 200 == 0:
            print(number, "faces", flush=True)
    return np.stack(rows)


def fit_head(features: np.ndarray, labels: np.ndarray, sources: np.ndarray) -> Head:
    """Logistic regression on standardised features, written out as a plain head."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    weights = np.sqrt(balanced_weights(labels, sources))
    model = LogisticRegression(C=PENALTY, max_iter=1000)
    model.fit((features - mean) / scale, labels, sample_weight=weights)
    weight = model.coef_[0] / scale
    return Head.plain(weight, float(model.intercept_[0] - weight @ mean))


def threshold_of(
    engine: RegionEngine, head: Head, calibrator: Calibrator, rows: Sequence[Row], folder: Path
) -> float:
    """The calibrated score from which a face counts as put in; see the module."""

    def scores(change: Callable[[Portrait, Row], Pixels]) -> tuple[list[float], list[str]]:
        portraits = ((row, row.load(folder)) for row in rows)
        found = measured(engine, ((change(each, row), each.face) for row, each in portraits))
        kept = np.isfinite(found).all(axis=1)
        of = [row.source for row, keep in zip(rows, kept, strict=True) if keep]
        return calibrator(head.logits(found[kept])).tolist(), of

    plain, of = scores(lambda portrait, row: portrait.pixels)
    saved, of_saved = scores(lambda portrait, row: perturb("jpeg:75", portrait.pixels))
    touched, of_touched = scores(lambda portrait, row: retouched(portrait, rng(12, "retouched", row.file)))
    tables = (
        (ThresholdTable.fit([*plain, *saved], [*of, *of_saved]), FLAGGED),
        (ThresholdTable.fit(touched, of_touched), TOUCHED),
    )
    return max(table.thresholds(share).likely for table, share in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("samples", "portraits", "state", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = RegionNetwork()
    network.load_state_dict(torch.load(options.state, weights_only=True)["network"])
    arrays = folded(network.eval())
    arrays = {name: value.astype(np.float16).astype(np.float32) for name, value in arrays.items()}
    engine = RegionEngine(arrays)

    samples = list(read_samples(options.samples, "train"))
    features = measured(engine, ((each.pixels, each.face) for each in samples))
    good = np.isfinite(features).all(axis=1)
    labels = np.array([each.mask is not None for each in samples], int)[good]
    sources = np.array([each.source for each in samples])[good]
    features = features[good]
    apart = np.zeros(len(labels))
    for fitted, left in GroupKFold(FOLDS).split(features, labels, sources):
        apart[left] = fit_head(features[fitted], labels[fitted], sources[fitted]).logits(features[left])
    calibrator = fit_calibrator("platt", apart, labels, balanced_weights(labels, sources))
    head = fit_head(features, labels, sources)

    rows = [row for row in read_rows(options.portraits) if row.part == "calibrate"]
    threshold = threshold_of(engine, head, calibrator, rows, options.portraits)

    expert = FaceExpert(arrays, head, calibrator, threshold=threshold, smallest=SMALLEST)
    card = WeightsCard(
        name="expert",
        kind="detector",
        family=FAMILY,
        summary="Was this face put into the picture? The pixels inside of a face against those around it.",
        preprocessing={"cut": "2.4 times the finder's box, at the picture's own scale up to 1024 pixels"},
        training_data=[
            f"{len(labels)} samples of portraits of {len(set(sources))} sources of corpora.tsv, "
            f"{labels.sum()} with a face put in by tools/face_training; no swap of any other tool.",
            f"Threshold: {len(rows)} portraits of {len({row.source for row in rows})} other sources, as they "
            "came, as JPEG 75, and retouched.",
        ],
        limits=[
            "Weak evidence: it decides no verdict. Many swaps are missed, above all in frames of clips.",
            "It compares a face with its surroundings: a wholly generated portrait is alike everywhere, and "
            "not its subject.",
            "Reenacted faces, whose pixels come from the same picture, are mostly missed.",
        ],
        trained={
            "command": "python -m face_training.fit SAMPLES PORTRAITS STATE OUT",
            "network": f"state of the region network, sha256 {sha256_file(options.state)}",
        },
    )
    print(save_expert(options.out, expert, card), "threshold", round(threshold, 4))


if __name__ == "__main__":
    main()
