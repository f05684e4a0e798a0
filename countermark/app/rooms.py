"""What an audit needs of the rooms, in one record, so that tests and other back ends can stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from countermark.core.images import Pixels
from countermark.core.results import Verification


class Detector(Protocol):
    """A loaded detector."""

    name: str
    card: Any

    def score(self, images: Sequence[Pixels]) -> np.ndarray:
        """Calibrated P(synthetic), float64 [N] in [0, 1], of uint8 RGB images."""
        ...

    def thresholds(self, max_fpr: float = 0.01) -> Any:
        """An object with ``likely`` and ``unsure``, scores in [0, 1]."""
        ...


def _load_detector(name: str) -> Any:
    from countermark.detectors import load_detector

    return load_detector(name)


def _load_generator(name: str) -> Any:
    from countermark.generators import load_generator

    return load_generator(name)


def _verify(path: Path) -> Verification:
    from countermark.app.verify import verify

    return verify(path)


def _sign(source: Path, destination: Path, generator: str) -> Any:
    from countermark.app.sign import sign

    return sign(source, destination, generator=generator)


def _read_mark(pixels: Pixels) -> Any:
    from countermark.provenance import watermark

    return watermark.read(pixels)


def _embed_mark(pixels: Pixels, payload: bytes) -> Pixels:
    from countermark.provenance import watermark

    return watermark.embed(pixels, payload)


def _evaluate(generator: str, data: str, count: int, extractor: str, seed: int) -> Any:
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

    load_detector: Callable[[str], Any] = _load_detector
    load_generator: Callable[[str], Any] = _load_generator
    verify: Callable[[Path], Verification] = _verify
    sign: Callable[[Path, Path, str], Any] = _sign
    read_mark: Callable[[Pixels], Any] = _read_mark
    embed_mark: Callable[[Pixels, bytes], Pixels] = _embed_mark
    evaluate: Callable[[str, str, int, str, int], Any] = _evaluate
    weights_folder: Callable[[str], Path] = _weights_folder
