"""Places the built-in families of detectors; each is imported when it is first asked for."""

from __future__ import annotations

from countermark.detectors.base import DETECTORS

_HOMES = {
    "clip-probe": "probe:ProbeDetector",
    "critic": "convolutional:CriticDetector",
    "timm": "convolutional:BackboneDetector",
    "one-class": "oneclass:OneClassDetector",
}


def register_families() -> list[str]:
    """Makes the built-in families known (once) and returns the names of all families."""
    for name, home in _HOMES.items():
        if name not in DETECTORS:
            DETECTORS.place(name, f"countermark.detectors.families.{home}")
    return DETECTORS.names()
