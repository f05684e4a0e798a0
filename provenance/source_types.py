"""Digital source types: the one table of the IPTC and C2PA vocabulary, and what each term says about origin.

Credentials, XMP and every other carrier ask here, so a term means the same wherever it stands. The
c2pa library accepts any text as ``digitalSourceType``; here only known terms pass.
Sources: https://cv.iptc.org/newscodes/digitalsourcetype/, C2PA 2.4 section "Actions", and the signal
rubrics of the C2PA conformance programme (6 August 2026), whose list of generative types this is.

>>> expand("trainedAlgorithmicMedia")
'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'
>>> points_to("trainedAlgorithmicMedia"), points_to("digitalCapture"), points_to("algorithmicMedia")
('synthetic', 'captured', 'neither')
>>> words("compositeWithTrainedAlgorithmicMedia")
'edited with generative AI, not made by it'
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass

from countermark.core.errors import ProvenanceError

IPTC_PREFIX = "http://cv.iptc.org/newscodes/digitalsourcetype/"
C2PA_PREFIX = "http://c2pa.org/digitalsourcetype/"
_PREFIXES = (IPTC_PREFIX, C2PA_PREFIX, "digsrctype:")
MAX_LENGTH = 300


@dataclass(frozen=True)
class SourceType:
    """One term.

    Attributes:
        words: What it says of a picture, as a picture desk would put it.
        points_to: ``synthetic`` (a trained model made it or a part of it), ``captured`` (taken from
            life by a sensor) or ``neither``.
        whole: For synthetic ones: whether all of the picture is meant, not a part or an edit.
        prefix: Of its URI.
    """

    words: str
    points_to: str = "neither"
    whole: bool = False
    prefix: str = IPTC_PREFIX


_SYNTHETIC, _CAPTURED = "synthetic", "captured"
TABLE: dict[str, SourceType] = {
    "trainedAlgorithmicMedia": SourceType("made with generative AI", _SYNTHETIC, whole=True),
    "compositeWithTrainedAlgorithmicMedia": SourceType(
        "edited with generative AI, not made by it", _SYNTHETIC
    ),
    "compositeSynthetic": SourceType("put together from parts, some of them generated", _SYNTHETIC),
    "trainedAlgorithmicData": SourceType(
        "data made by a trained model", _SYNTHETIC, whole=True, prefix=C2PA_PREFIX
    ),
    "digitalCapture": SourceType("taken with a camera", _CAPTURED),
    "computationalCapture": SourceType("taken with a camera, from several exposures", _CAPTURED),
    "compositeCapture": SourceType("put together from several photographs"),
    "multiFrameComputationalCapture": SourceType("combined from several exposures"),
    "negativeFilm": SourceType("digitised from a negative on film"),
    "positiveFilm": SourceType("digitised from a positive on film"),
    "print": SourceType("digitised from a print"),
    "screenCapture": SourceType("a picture of a screen"),
    "virtualRecording": SourceType("a recording of a virtual event"),
    "algorithmicMedia": SourceType("made by an algorithm that was not trained on media"),
    "algorithmicallyEnhanced": SourceType("enhanced by an algorithm, not made by one"),
    "dataDrivenMedia": SourceType("drawn from data"),
    "digitalArt": SourceType("drawn by a person with digital tools"),
    "digitalCreation": SourceType("made by a person with digital tools"),
    "softwareImage": SourceType("made with software"),
    "humanEdits": SourceType("edited by a person"),
    "minorHumanEdits": SourceType("edited slightly by a person"),
    "composite": SourceType("put together from several parts"),
    "empty": SourceType("an empty canvas to begin with", prefix=C2PA_PREFIX),
}
TERMS = frozenset(TABLE)
SYNTHETIC = frozenset(term for term, each in TABLE.items() if each.points_to == _SYNTHETIC)
CAPTURED = frozenset(term for term, each in TABLE.items() if each.points_to == _CAPTURED)
_BY_FOLDED = {term.casefold(): term for term in TABLE}


@functools.lru_cache(maxsize=256)
def term_of(value: str) -> str | None:
    """The known term that a URI, a qcode (``digsrctype:…``) or a bare term stands for, else None.

    ``https`` and other capital letters than the vocabulary's are read, because files hold them.
    """
    text = value[:MAX_LENGTH].strip()
    if text.startswith("https:"):
        text = "http:" + text[6:]
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            text = text[len(prefix) :]
            break
    return _BY_FOLDED.get(text.rstrip("/").casefold())


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
    return TABLE[term].prefix + term


def points_to(term: str) -> str:
    """``synthetic``, ``captured`` or ``neither``, for a known term."""
    return TABLE[term].points_to


def words(term: str) -> str:
    """What a known term says of a picture, to follow "it was" or "declared as"."""
    return TABLE[term].words


def whole(term: str) -> bool:
    """Whether a synthetic term speaks of all of the picture, not of a part or an edit."""
    return TABLE[term].whole
