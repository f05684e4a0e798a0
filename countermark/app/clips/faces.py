"""Faces through time: those of successive frames that lie over each other are one track.

>>> tracks = Tracks()
>>> [face["track"] for face in tracks.add(0.0, [SeenFace((0, 0, 10, 10), 0.9)])]
[1]
>>> [face["track"] for face in tracks.add(1.0, [SeenFace((1, 1, 10, 10), 0.8), SeenFace((90, 0, 9, 9), 0.7)])]
[1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from countermark.app.clips.rule import pooled

Box = tuple[float, float, float, float]

#: Overlap (intersection over union) from which a face is the one that was there before.
SAME = 0.2
#: Frames that a face may be missing for, and still be the same.
MISSING = 2
MOST_TRACKS = 64
#: Largest judged faces of a track that speak for it, and how many there have to be.
SPEAKING, LEAST_SPEAKING = 5, 2


@dataclass(frozen=True)
class SeenFace:
    """A face in a frame: box (x, y, width, height) in pixels, the finder's confidence in [0, 1], and the
    expert's calibrated P(put in), or None where it was not judged."""

    box: Box
    confidence: float
    put_in: float | None = None


class Tracks:
    """Gives faces numbers that stay while they move, frame by frame."""

    def __init__(self) -> None:
        self._tracks: list[dict[str, Any]] = []
        self._frame = 0

    def add(self, time: float, faces: Sequence[SeenFace]) -> tuple[dict[str, Any], ...]:
        """The faces of the next frame, each with its track, as ``Moment.faces`` has them."""
        self._frame += 1
        free = [each for each in self._tracks if self._frame - each["last"] <= MISSING + 1]
        pairs = sorted(
            (
                (overlap(face.box, track["box"]), number, track)
                for number, face in enumerate(faces)
                for track in free
            ),
            key=lambda pair: -pair[0],
        )
        chosen: dict[int, dict[str, Any]] = {}
        for share, number, old in pairs:
            if share >= SAME and number not in chosen and all(old is not each for each in chosen.values()):
                chosen[number] = old
        found = []
        for number, face in enumerate(faces):
            track = chosen.get(number) or {
                "track": len(self._tracks) + 1,
                "start": time,
                "frames": 0,
                "judged": [],
            }
            if not track["frames"]:
                if len(self._tracks) >= MOST_TRACKS:
                    continue
                self._tracks.append(track)
            track |= {"box": face.box, "end": time, "last": self._frame}
            track["frames"] += 1
            if face.put_in is not None:
                # The largest faces speak: they have most of the pixels that the expert looks at.
                ranked = sorted([*track["judged"], (face.box[2] * face.box[3], face.put_in)], reverse=True)
                track["judged"] = ranked[:SPEAKING]
            shown = [round(float(value), 1) for value in face.box]
            put_in = None if face.put_in is None else round(float(face.put_in), 4)
            found.append(
                {
                    "box": shown,
                    "score": round(float(face.confidence), 3),
                    "track": track["track"],
                    "put_in": put_in,
                }
            )
        return tuple(found)

    def summary(self) -> tuple[dict[str, Any], ...]:
        """Every track: its number, first and last time, frames, how many faces speak for it and what they
        say together (``put_in``: the mean of their log-odds as a probability; None with fewer than two), the
        longest first."""
        kept = sorted(self._tracks, key=lambda each: (-each["frames"], each["track"]))
        found = []
        for each in kept:
            scores = [score for _, score in each["judged"]]
            put_in = round(pooled(scores), 4) if len(scores) >= LEAST_SPEAKING else None
            row = {key: each[key] for key in ("track", "start", "end", "frames")}
            found.append({**row, "judged": len(scores), "put_in": put_in})
        return tuple(found)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right = min(one[0] + one[2], other[0] + other[2])
    bottom = min(one[1] + one[3], other[1] + other[3])
    inside = max(0.0, right - left) * max(0.0, bottom - top)
    both = one[2] * one[3] + other[2] * other[3] - inside
    return inside / both if both > 0 else 0.0
