"""What audits and adversaries need of the rooms, in one record, so that tests and back ends can stand in.

Protocols say what is needed of a detector and of a generator: less than the rooms' own classes give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from countermark.core.images import Pixels
from countermark.core.results import Interval, SignedImage, Verification

if TYPE_CHECKING:
    from countermark.core.weights import WeightsCard
    from countermark.detectors.content.estimate import Kind
    from countermark.detectors.scoring.thresholds import Thresholds
    from countermark.generators.measuring.evaluation import GeneratorReport
    from countermark.provenance.watermark import Reading


class Detector(Protocol):
    """A loaded detector."""

    @property
    def name(self) -> str:
        """As it is known."""
        ...

    @property
    def card(self) -> WeightsCard:
        """What it was made of."""
        ...

    def score(self, images: Sequence[Pixels]) -> np.ndarray:
        """Calibrated P(synthetic), float64 [N] in [0, 1], of uint8 RGB images."""
        ...

    def thresholds(self, max_fpr: float = 0.01) -> Thresholds:
        """The scores, in [0, 1], that verdicts begin at."""
        ...


@runtime_checkable
class Examines(Protocol):
    """A detector that also tells what kind of picture it looks at."""

    def examine(self, images: Sequence[Pixels]) -> tuple[np.ndarray, list[Kind | None]]:
        """What ``score`` gives, and each picture's kind, None where it cannot be told."""
        ...

    def share_of_real(self, score: float, kind: str) -> Interval | None:
        """How many real pictures of a kind score as high."""
        ...


class Generator(Protocol):
    """A loaded generator."""

    @property
    def card(self) -> WeightsCard:
        """What it was made of."""
        ...

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """uint8 [count, H, W, 3] RGB."""
        ...


class Explains(Detector, Protocol):
    """A detector that can say where its evidence lies."""

    def heatmap(self, image: Pixels) -> np.ndarray:
        """float32 H x W in [0, 1]."""
        ...


def _load_detector(name: str) -> Detector:
    from countermark.detectors import load_detector

    return load_detector(name)


def _load_generator(name: str) -> Generator:
    from countermark.generators import load_generator

    return load_generator(name)


def _verify(path: Path) -> Verification:
    from countermark.app.verify import verify

    return verify(path)


def _sign(source: Path, destination: Path, generator: str) -> SignedImage:
    from countermark.app.sign import sign

    return sign(source, destination, generator=generator)


def _read_mark(pixels: Pixels) -> Reading:
    from countermark.provenance import watermark

    return watermark.read(pixels)


def _embed_mark(pixels: Pixels, payload: bytes) -> Pixels:
    from countermark.provenance import watermark

    return watermark.embed(pixels, payload)


def _evaluate(generator: str, data: str, count: int, extractor: str, seed: int) -> GeneratorReport:
    from countermark.generators.measuring.evaluation import evaluate_generator

    return evaluate_generator(generator, data, count=count, extractor=extractor, seed=seed)


def _weights_folder(kind: str) -> Path:
    if kind == "generator":
        from countermark.generators.library import WEIGHTS as folder
    else:
        from countermark.detectors.library import WEIGHTS as folder
    return folder


@dataclass(frozen=True)
class Rooms:
    """Functions of the rooms; the defaults import them when they are first called."""

    load_detector: Callable[[str], Detector] = _load_detector
    load_generator: Callable[[str], Generator] = _load_generator
    verify: Callable[[Path], Verification] = _verify
    sign: Callable[[Path, Path, str], SignedImage] = _sign
    read_mark: Callable[[Pixels], Reading] = _read_mark
    embed_mark: Callable[[Pixels, bytes], Pixels] = _embed_mark
    evaluate: Callable[[str, str, int, str, int], GeneratorReport] = _evaluate
    weights_folder: Callable[[str], Path] = _weights_folder
