"""Faces that were put into a picture: looked for in a scan, stated as evidence.

Finding faces costs a tenth of a second of one processor, whatever the picture's size, and judging one a
tenth; ``MOST`` bounds their number. So ``auto`` judges where somebody looks at single pictures
(up to ``AUTO_FILES`` in a scan, not reduced when they were read, for reduced faces have lost what the expert
looks at); ``on`` judges those of every picture; ``off`` none. Frames of clips are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from countermark.app.scan.gather import Gathered
from countermark.app.scan.verdict import ordered
from countermark.core.configuration import choice
from countermark.core.errors import CountermarkError
from countermark.core.images import LoadedImage, Pixels
from countermark.core.results import Evidence, ScanResult, Strength
from countermark.reports import make_crop

if TYPE_CHECKING:
    from countermark.detectors.faces.find import Face

Mode = Literal["auto", "on", "off"]
MODES: tuple[str, ...] = get_args(Mode)
#: Most files of a scan whose faces ``auto`` judges.
AUTO_FILES = 24
#: Faces of one picture that are judged, the largest first.
MOST = 4
#: What the finding is worth; see docs/faces.md for the figures that it rests on.
STRENGTH = Strength.WEAK


@dataclass(frozen=True)
class Judged:
    """A face and what the expert says of it.

    Attributes:
        face: Where it is.
        score: Calibrated P(put in), float in [0, 1]; None if it cannot be judged (too small, at an edge).
    """

    face: Face
    score: float | None


@dataclass(frozen=True)
class Opinion:
    """The faces of one picture, the largest first, and the score from which one counts as put in."""

    faces: tuple[Judged, ...]
    threshold: float


def judge(pixels: Pixels, most: int = MOST) -> Opinion:
    """Finds the faces of a picture (uint8 RGB, H x W x 3) and judges the ``most`` largest."""
    from countermark.detectors.faces.expert import load_expert
    from countermark.detectors.faces.find import find_faces

    faces = find_faces(pixels)
    if not faces:
        return Opinion((), 1.0)
    expert = load_expert()
    scores = expert.scores(pixels, faces[:most]).tolist() + [math.nan] * len(faces[most:])
    judged = zip(faces, scores, strict=True)
    return Opinion(
        tuple(Judged(face, None if math.isnan(score) else score) for face, score in judged), expert.threshold
    )


def face_search(mode: str, files: int) -> FaceSearch | None:
    """The search that a scan of so many files gets; None for none.

    Raises:
        ConfigError: ``config.value``: an unknown mode.
    """
    search = FaceSearch(mode)
    return None if mode == "off" or (mode == "auto" and files > AUTO_FILES) else search


@dataclass(frozen=True)
class FaceSearch:
    """One scan's search for faces that were put in.

    Attributes:
        mode: See above.
        judge: Finds and judges; tests put something else here.
    """

    mode: str = "auto"
    judge: Callable[[Pixels], Opinion] = judge

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise choice("The settings of the scan", "faces", self.mode, list(MODES))

    def evidence(self, image: LoadedImage) -> Evidence | None:
        """What the expert says of a picture's faces; None where there are none, or it did not look.

        A search that fails says so and does not stop the scan.
        """
        if self.mode == "off" or (self.mode == "auto" and image.size is not None):
            return None
        try:
            opinion = self.judge(image.pixels)
        except CountermarkError as error:
            sentence = f"The faces could not be judged: {error.message}"
            return Evidence("face", "neither", Strength.WEAK, sentence, {"failed": error.code})
        return face_evidence(opinion, image.width / image.pixels.shape[1]) if opinion.faces else None


def ask_faces(item: Gathered | ScanResult, result: ScanResult, search: FaceSearch) -> ScanResult:
    """The result with what the expert says of its faces listed; verdict and score stay as they are."""
    found = search.evidence(item.image) if isinstance(item, Gathered) else None
    if found is None:
        return result
    return replace(result, evidence=ordered((*result.evidence, found), result.verdict))


def face_evidence(opinion: Opinion, scale: float = 1.0) -> Evidence:
    """The evidence of kind ``face``: boxes (x, y, width, height) in pixels of the whole picture.

    ``scale`` is by how much the whole picture is larger than the one in which the faces were found.
    """
    high = [one for one in opinion.faces if one.score is not None and one.score >= opinion.threshold]
    detail = {
        "threshold": round(opinion.threshold, 4),
        "found": bool(high),
        "faces": [
            {
                "box": _box(one, scale),
                "confidence": round(one.face.score, 3),
                "score": None if one.score is None else round(one.score, 4),
                "likely": one in high,
            }
            for one in opinion.faces
        ],
    }
    if high:
        verb = "was" if len(high) == 1 else "were"
        sentence = f"{_which(high, opinion.faces, scale)} {verb} likely put in or changed"
        sentence += f" ({_scores(high)}, threshold {opinion.threshold:.2f})."
        if STRENGTH is Strength.WEAK:
            sentence += " This is weak evidence and does not decide the verdict."
        return Evidence("face", "synthetic", STRENGTH, sentence, detail)
    judged = [one for one in opinion.faces if one.score is not None]
    if not judged:
        sentence = f"{_count(opinion.faces)} found, too small or too near an edge to be judged."
    else:
        sentence = (
            f"{_count(opinion.faces)} found; none stands out as put in (highest score "
            f"{max(one.score or 0.0 for one in judged):.2f}, threshold {opinion.threshold:.2f}). "
            "Many swaps are missed."
        )
    return Evidence("face", "neither", Strength.WEAK, sentence, detail)


def face_crops(result: ScanResult, pixels: Pixels) -> tuple[tuple[bytes, str], ...]:
    """The judged faces of a result cut out of its picture, each a JPEG and what it is, for a report.

    ``pixels`` may be reduced: uint8 RGB, H x W x 3.
    """
    listed = next((one.detail.get("faces", ()) for one in result.evidence if one.kind == "face"), ())
    scale = pixels.shape[1] / (result.width or pixels.shape[1])
    found: list[tuple[bytes, str]] = []
    for face in listed:
        if face["score"] is None or len(found) == MOST:
            continue
        x, y, wide, tall = (float(number) * scale for number in face["box"])
        crop = make_crop(pixels, (x, y, wide, tall))
        if crop is not None:
            found.append((crop, f"Face: {face['score']:.2f}{', likely put in' if face['likely'] else ''}"))
    return tuple(found)


def _box(one: Judged, scale: float) -> list[int]:
    return [round(number * scale) for number in one.face.box]


def _which(high: Sequence[Judged], faces: Sequence[Judged], scale: float) -> str:
    x, y, wide, tall = _box(high[0], scale)
    where = f"{wide} x {tall} pixels at {x}, {y}"
    if len(faces) == 1:
        return f"The face ({where})"
    return f"{len(high)} of {len(faces)} faces ({where}{' first' if len(high) > 1 else ''})"


def _count(faces: Sequence[Judged]) -> str:
    return "1 face" if len(faces) == 1 else f"{len(faces)} faces"


def _scores(high: Sequence[Judged]) -> str:
    return "score " + ", ".join(f"{one.score:.2f}" for one in high if one.score is not None)
