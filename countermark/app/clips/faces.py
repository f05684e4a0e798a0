"""Faces through time: those of successive frames that lie over each other are one track.

>>> tracks = Tracks()
>>> [face["track"] for face in tracks.add(0.0, [((0, 0, 10, 10), 0.9)])]
[1]
>>> [face["track"] for face in tracks.add(1.0, [((1, 1, 10, 10), 0.8), ((90, 0, 9, 9), 0.7)])]
[1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Box = tuple[float, float, float, float]

#: Overlap (intersection over union) from which a face is the one that was there before.
SAME = 0.2
#: Frames that a face may be missing for, and still be the same.
MISSING = 2
MOST_TRACKS = 64


class Tracks:
    """Gives faces numbers that stay while they move, frame by frame."""

    def __init__(self) -> None:
        self._tracks: list[dict[str, Any]] = []
        self._frame = 0

    def add(self, time: float, faces: Sequence[tuple[Box, float]]) -> tuple[dict[str, Any], ...]:
        """The faces of the next frame: box (pixels) and the finder's score, with the track of each."""
        self._frame += 1
        free = [each for each in self._tracks if self._frame - each["last"] <= MISSING + 1]
        pairs = sorted(
            (
                (overlap(box, track["box"]), number, track)
                for number, (box, _) in enumerate(faces)
                for track in free
            ),
            key=lambda pair: -pair[0],
        )
        chosen: dict[int, dict[str, Any]] = {}
        for share, number, old in pairs:
            if share >= SAME and number not in chosen and all(old is not each for each in chosen.values()):
                chosen[number] = old
        found = []
        for number, (box, score) in enumerate(faces):
            track = chosen.get(number) or {"track": len(self._tracks) + 1, "start": time, "frames": 0}
            if not track["frames"]:
                if len(self._tracks) >= MOST_TRACKS:
                    continue
                self._tracks.append(track)
            track |= {"box": box, "end": time, "last": self._frame}
            track["frames"] += 1
            shown = [round(float(value), 1) for value in box]
            found.append({"box": shown, "score": round(float(score), 3), "track": track["track"]})
        return tuple(found)

    def summary(self) -> tuple[dict[str, Any], ...]:
        """Every track: its number, first and last time, and frames, the longest first."""
        kept = sorted(self._tracks, key=lambda each: (-each["frames"], each["track"]))
        return tuple({key: each[key] for key in ("track", "start", "end", "frames")} for each in kept)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right = min(one[0] + one[2], other[0] + other[2])
    bottom = min(one[1] + one[3], other[1] + other[3])
    inside = max(0.0, right - left) * max(0.0, bottom - top)
    both = one[2] * one[3] + other[2] * other[3] - inside
    return inside / both if both > 0 else 0.0
