"""Detectors: networks that test images for synthetic origin.

    from countermark.detectors import load_detector
    detector = load_detector("default")
    detector.score([pixels])        # calibrated P(synthetic), float64 in [0, 1]
    detector.heatmap(pixels)        # float32 H x W in [0, 1]
    detector.thresholds(0.01)       # Thresholds(likely, unsure, max_fpr, note)

Imports happen when a name is first used: ``import countermark`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.detectors.base import DETECTORS, Detector, FitSettings
    from countermark.detectors.library import list_detectors, load_detector
    from countermark.detectors.measuring.evaluation import evaluate_detector
    from countermark.detectors.recalibration import recalibrate, with_thresholds
    from countermark.detectors.scoring.thresholds import Thresholds
    from countermark.detectors.training import train_detector
    from countermark.detectors.unlabelled import fit_unlabelled

_HOMES = {
    "DETECTORS": "base",
    "Detector": "base",
    "FitSettings": "base",
    "Thresholds": "scoring.thresholds",
    "evaluate_detector": "measuring.evaluation",
    "fit_unlabelled": "unlabelled",
    "list_detectors": "library",
    "load_detector": "library",
    "recalibrate": "recalibration",
    "train_detector": "training",
    "with_thresholds": "recalibration",
}

__all__ = [
    "DETECTORS",
    "Detector",
    "FitSettings",
    "Thresholds",
    "evaluate_detector",
    "fit_unlabelled",
    "list_detectors",
    "load_detector",
    "recalibrate",
    "train_detector",
    "with_thresholds",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"countermark.detectors.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
