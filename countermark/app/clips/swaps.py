"""Faces of a clip, judged: was one put in? Weak evidence, as for pictures, and weaker still.

The expert learnt from pictures. A video codec evens out much of what it looks at, so a track is named only
where its largest faces agree (``faces.SPEAKING``); it never decides a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from countermark.app.clips.faces import SeenFace
from countermark.app.clips.rule import clock
from countermark.app.scan.faces import STRENGTH
from countermark.core.errors import MissingExtraError
from countermark.core.images import Pixels
from countermark.core.results import Evidence, Strength
from countermark.reports import make_crop

#: Faces of one frame that are judged, the largest first: each costs up to a tenth of a second.
A_FRAME = 2
#: Tracks whose highest face a report shows.
SHOWN = 6


class FaceLook:
    """Finds the faces of a frame and judges the largest ones.

    Args:
        judge: Ask the expert as well; otherwise faces are only followed.

    Raises:
        MissingExtraError, ImportError: what finding faces needs is not installed.
    """

    def __init__(self, *, judge: bool) -> None:
        from countermark.detectors.faces.expert import load_expert
        from countermark.detectors.faces.find import find_faces

        self._find = find_faces
        self._expert = load_expert() if judge else None

    @property
    def threshold(self) -> float | None:
        """The expert's, from which a face counts as put in; None when faces are not judged."""
        return None if self._expert is None else self._expert.threshold

    def __call__(self, pixels: Pixels) -> list[SeenFace]:
        """The faces of a frame (uint8 RGB), the largest first."""
        faces = self._find(pixels)
        scores = [math.nan] * len(faces)
        if self._expert is not None and faces:
            asked = self._expert.scores(pixels, faces[:A_FRAME]).tolist()
            scores[: len(asked)] = asked
        return [
            SeenFace(face.box, face.score, None if math.isnan(score) else score)
            for face, score in zip(faces, scores, strict=True)
        ]


def face_look(*, judge: bool) -> FaceLook | None:
    """A look at faces, or None where what it needs is not installed."""
    try:
        return FaceLook(judge=judge)
    except (ImportError, MissingExtraError):
        return None


@dataclass
class Crops:
    """The face with the highest score of every track, cut out small; of the first tracks only."""

    kept: dict[int, tuple[float, float, bytes]] = field(default_factory=dict)

    def offer(self, time: float, faces: Sequence[dict[str, Any]], pixels: Pixels) -> None:
        """Looks at the faces of a frame, as ``Moment.faces`` has them."""
        for face in faces:
            track, score = face["track"], face["put_in"]
            if score is None or (track not in self.kept and len(self.kept) >= SHOWN):
                continue
            if track in self.kept and self.kept[track][0] >= score:
                continue
            x, y, wide, tall = face["box"]
            crop = make_crop(pixels, (x, y, wide, tall))
            if crop is not None:
                self.kept[track] = (score, time, crop)

    def shown(self, likely: Sequence[int]) -> tuple[tuple[bytes, str], ...]:
        """JPEG and caption of each, the highest score first; ``likely``: tracks that stand out."""
        ranked = sorted(self.kept.items(), key=lambda each: -each[1][0])
        return tuple(
            (
                crop,
                f"Face {track}, {clock(time)}: {score:.2f}{', likely put in' if track in likely else ''}",
            )
            for track, (score, time, crop) in ranked
        )


def swap_evidence(tracks: Sequence[dict[str, Any]], threshold: float) -> Evidence | None:
    """The evidence of kind ``face`` of a clip; None where no face was judged often enough.

    Args:
        tracks: As ``Tracks.summary`` gives them.
        threshold: Score from which a face counts as put in.
    """
    judged = [each for each in tracks if each["put_in"] is not None]
    if not judged:
        return None
    high = likely_tracks(tracks, threshold)
    detail = {
        "threshold": round(threshold, 4),
        "found": bool(high),
        "tracks": [
            {
                "track": each["track"],
                "start": each["start"],
                "end": each["end"],
                "judged": each["judged"],
                "score": each["put_in"],
                "likely": each["track"] in high,
            }
            for each in judged
        ],
    }
    if high:
        first = next(each for each in judged if each["track"] in high)
        which = f"Face {first['track']} ({clock(first['start'])} to {clock(first['end'])})"
        if len(high) > 1:
            which += f" and {len(high) - 1} more"
        sentence = (
            f"{which} {'was' if len(high) == 1 else 'were'} likely put in or changed (score "
            f"{first['put_in']:.2f} over {first['judged']} looks, threshold {threshold:.2f}). This is weak "
            "evidence, from an expert that learnt from pictures, and does not decide the verdict."
        )
        return Evidence("face", "synthetic", STRENGTH, sentence, detail)
    count = "1 face" if len(judged) == 1 else f"{len(judged)} faces"
    highest = max(each["put_in"] for each in judged)
    sentence = (
        f"{count} followed and judged; none stands out as put in (highest score {highest:.2f}, threshold "
        f"{threshold:.2f}). In clips most swaps are missed."
    )
    return Evidence("face", "neither", Strength.WEAK, sentence, detail)


def likely_tracks(tracks: Sequence[dict[str, Any]], threshold: float) -> list[int]:
    """Numbers of the tracks whose faces reach the threshold together."""
    return [each["track"] for each in tracks if each["put_in"] is not None and each["put_in"] >= threshold]
