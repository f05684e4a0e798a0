"""The face expert: was this face put into the picture?

It is asked only about faces that were found, compares the pixels inside of a face with those around it, and
has a calibration of its own. ``docs/faces.md`` says what it was trained on and measured to do.

    expert = load_expert()
    faces = find_faces(pixels)
    expert.scores(pixels, faces)      # calibrated P(put in), float64 [n] in [0, 1]; NaN: cannot be judged
    expert.threshold                  # what a score has to reach
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.images import Pixels
from countermark.core.weights import WeightsCard, load_arrays, save_weights
from countermark.detectors.faces.features import COUNT, face_features
from countermark.detectors.faces.find import Face
from countermark.detectors.regions.engine import SHAPES, RegionEngine
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.views import check_pixels

WEIGHTS = Path(__file__).resolve().parent / "expert.safetensors"
FAMILY = "face-expert"


class FaceExpert:
    """Network, head and calibration. Safe to use from several threads.

    Args:
        arrays: The network's, as of ``RegionEngine``.
        head: On ``features.COUNT`` features.
        calibrator: From logits to P(put in).
        threshold: Calibrated score from which a face counts as put in, in (0, 1).
        smallest: Width of a face's box in pixels below which it is not judged.

    Raises:
        WeightsError: arrays are missing, or the head is one on other features.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        head: Head,
        calibrator: Calibrator,
        *,
        threshold: float,
        smallest: float,
    ) -> None:
        if head.dimensions != COUNT:
            raise WeightsError(f"The face expert's head is one on {head.dimensions} features, not {COUNT}.")
        self.arrays = {name: np.asarray(arrays[name]) for name in SHAPES if name in arrays}
        self.engine = RegionEngine(self.arrays)
        self.head, self.calibrator = head, calibrator
        self.threshold, self.smallest = threshold, smallest

    def scores(self, image: Pixels, faces: Sequence[Face]) -> np.ndarray:
        """Calibrated P(put in) of each face, float64 [n] in [0, 1]; NaN for one that cannot be judged.

        Args:
            image: uint8 RGB, H x W x 3.
            faces: From ``find_faces`` on the same picture.

        Raises:
            ImageError: ``image.not-rgb``.
        """
        pixels = check_pixels(image)
        found = np.full(len(faces), np.nan)
        for number, face in enumerate(faces):
            if face.box[2] >= self.smallest:
                features = face_features(self.engine, pixels, face)
                if features is not None:
                    found[number] = self.calibrator(self.head.logits(features[None]))[0]
        return found


@lru_cache(maxsize=1)
def load_expert() -> FaceExpert:
    """The expert that ships with the package; WeightsError if its weights are damaged."""
    arrays, card = load_arrays(WEIGHTS, family=FAMILY)
    try:
        calibrator = Calibrator.from_config(card.config["calibrator"])
        threshold, smallest = float(card.config["threshold"]), float(card.config["smallest"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{WEIGHTS.name} and its card do not fit together: {error}.") from error
    head = Head.restore(arrays, COUNT)
    return FaceExpert(arrays, head, calibrator, threshold=threshold, smallest=smallest)


def save_expert(folder: Path | str, expert: FaceExpert, card: WeightsCard) -> Path:
    """Writes the network (in 16 bits), the head and the card."""
    arrays = {name: value.astype(np.float16) for name, value in expert.arrays.items()}
    config = {
        "calibrator": expert.calibrator.to_config(),
        "threshold": expert.threshold,
        "smallest": expert.smallest,
    }
    return save_weights(folder, arrays | expert.head.state(), card.model_copy(update={"config": config}))
