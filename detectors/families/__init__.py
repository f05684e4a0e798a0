"""Registers the built-in families of detectors; imported when the first one is loaded or trained."""

from __future__ import annotations

from countermark.detectors.base import DETECTORS, DetectorNetwork


def register_families() -> list[str]:
    """Makes the built-in families known (once) and returns the names of all families."""
    from countermark.detectors.families.convolutional import BackboneDetector, CriticDetector
    from countermark.detectors.families.oneclass import OneClassDetector
    from countermark.detectors.families.probe import ProbeDetector

    built_in: list[type[DetectorNetwork]] = [
        ProbeDetector,
        CriticDetector,
        BackboneDetector,
        OneClassDetector,
    ]
    for family in built_in:
        if family.family not in DETECTORS:
            DETECTORS.register(family.family, family)
    return DETECTORS.names()
