"""Digital source types: the IPTC vocabulary, and what each term says about origin.

The c2pa library accepts any text as ``digitalSourceType``; here only known terms pass.
Source: https://cv.iptc.org/newscodes/digitalsourcetype/ and C2PA 2.x section "Actions".

>>> expand("trainedAlgorithmicMedia")
'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'
>>> points_to("trainedAlgorithmicMedia"), points_to("digitalCapture"), points_to("print")
('synthetic', 'captured', 'neither')
"""

from __future__ import annotations

import difflib
import functools

from countermark.core.errors import ProvenanceError

IPTC_PREFIX = "http://cv.iptc.org/newscodes/digitalsourcetype/"
C2PA_PREFIX = "http://c2pa.org/digitalsourcetype/"

SYNTHETIC = frozenset(
    {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"}
)
CAPTURED = frozenset({"digitalCapture", "computationalCapture", "compositeCapture"})
OTHER = frozenset(
    {
        "algorithmicMedia",
        "algorithmicallyEnhanced",
        "composite",
        "dataDrivenMedia",
        "digitalArt",
        "digitalCreation",
        "humanEdits",
        "minorHumanEdits",
        "multiFrameComputationalCapture",
        "negativeFilm",
        "positiveFilm",
        "print",
        "screenCapture",
        "softwareImage",
        "virtualRecording",
    }
)
C2PA_TERMS = frozenset({"empty", "trainedAlgorithmicData"})
TERMS = SYNTHETIC | CAPTURED | OTHER | C2PA_TERMS


def term_of(value: str) -> str | None:
    """The known term that a URI or bare term stands for, or None for anything else."""
    text = value.strip()
    for prefix in (IPTC_PREFIX, C2PA_PREFIX, IPTC_PREFIX.replace("http:", "https:")):
        if text.startswith(prefix):
            text = text[len(prefix) :]
            break
    text = text.rstrip("/")
    return text if text in TERMS else None


@functools.lru_cache(maxsize=64)
def expand(value: str) -> str:
    """The full URI of a term or URI.

    Raises:
        ProvenanceError: ``source-type.unknown``, naming the closest known terms.
    """
    term = term_of(value)
    if term is None:
        near = difflib.get_close_matches(value.rsplit("/", 1)[-1], sorted(TERMS), n=3, cutoff=0.4)
        raise ProvenanceError(
            f"{value!r} is not a digital source type of IPTC or C2PA.",
            code="source-type.unknown",
            hint=f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(TERMS))}.",
        )
    return (C2PA_PREFIX if term in C2PA_TERMS else IPTC_PREFIX) + term


def points_to(term: str) -> str:
    """``synthetic``, ``captured`` or ``neither``, for a known term."""
    if term in SYNTHETIC:
        return "synthetic"
    return "captured" if term in CAPTURED else "neither"
