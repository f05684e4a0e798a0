"""Finding faces: where they are, how sure the finder is, and six landmarks of each.

The network sees 128 x 128 pixels, so a face has to fill an eighth of its view or more. A picture is
looked at as a whole and in overlapping tiles of a half and a quarter of its longer side. What they show
is believed only if four more views agree, cut around the face at several scales and half of them
mirrored: paws, buttons and flowers look like faces at one scale. Cost and memory are bounded: a few
hundred views of 128 pixels at most, whatever the picture's size.

>>> import numpy as np
>>> find_faces(np.zeros((300, 400, 3), np.uint8))
()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.detectors.faces.blaze import BATCH, SIDE, Guesses, load_blazeface
from countermark.detectors.scoring.views import check_pixels

#: Faces of fewer pixels a side are not reported: too little to say anything about.
SMALLEST_FACE = 24
#: At most so many faces a picture, the largest first.
MOST_FACES = 32
#: Score from which a guess is looked at again, and that further looks have to reach on average.
FIRST_LOOK, FURTHER_LOOKS = 0.5, 0.72
#: Views of further looks: how many times the face's box, and whether mirrored.
LOOKS = ((2.0, False), (1.5, True), (2.6, True), (3.3, False))
#: Two boxes that share this much (intersection over union) are one face.
SAME_FACE = 0.3
#: A further look counts guesses whose middle is so near the view's, as a share of its side.
CENTRAL = 0.2
#: Tiles of the longer side divided by these; none is smaller than ``SMALLEST_TILE`` pixels.
DIVISIONS = (1, 2, 4)
SMALLEST_TILE = 96


@dataclass(frozen=True)
class Face:
    """A face in a picture, in the picture's pixels (x to the right, y downwards).

    Attributes:
        box: x, y (left top corner), width and height; may reach over the picture's edges.
        score: The finder's confidence that this is a face, in [0, 1]: the mean of its looks.
        landmarks: x and y of the eyes (that on the left in an upright picture first), the tip of the
            nose, the middle of the mouth, and the ears' front ends (likewise).
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Square:
    """A square part of a picture, in its pixels; may reach over its edges."""

    left: float
    top: float
    side: float


def find_faces(rgb: Pixels, *, most: int = MOST_FACES, smallest: int = SMALLEST_FACE) -> tuple[Face, ...]:
    """The faces of a picture, the largest first.

    Args:
        rgb: uint8 RGB, H x W x 3, of any size.
        most: At most so many faces.
        smallest: Faces whose box is narrower are left out, in pixels.

    Raises:
        ImageError: ``image.not-rgb``.
    """
    image = check_pixels(rgb)
    candidates = _merged(_first_look(image, _tiles(*image.shape[:2])))
    large = sorted((face for face in candidates if face.box[2] >= smallest / 1.5), key=_size)[: 2 * most]
    found = _merged([face for face in (_look_again(image, each) for each in large) if face is not None])
    kept = [face for face in found if face.box[2] >= smallest and _inside(face, image)]
    return tuple(sorted(kept, key=_size)[:most])


def _size(face: Face) -> float:
    """Sorts the largest first."""
    return -face.box[2] * face.box[3]


def _tiles(height: int, width: int) -> list[_Square]:
    longer = max(height, width)
    tiles = []
    for division in DIVISIONS:
        side = longer / division
        if division > 1 and side < SMALLEST_TILE:
            break
        tiles += [_Square(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]
    return tiles


def _starts(length: int, side: float) -> list[float]:
    """Where tiles begin that overlap by half; one tile stands around a shorter length."""
    if length <= side:
        return [(length - side) / 2]
    steps = int(np.ceil((length - side) / (side / 2)))
    return [float(x) for x in np.linspace(0, length - side, steps + 1)]


def _around(face: Face, times: float) -> _Square:
    x, y, wide, high = face.box
    side = times * max(wide, high)
    return _Square(x + (wide - side) / 2, y + (high - side) / 2, side)


def _view(image: Pixels, square: _Square) -> Pixels:
    """uint8 [128, 128, 3] of a square; grey where it reaches over the picture."""
    left, top = max(0, int(square.left)), max(0, int(square.top))
    right = min(image.shape[1], int(np.ceil(square.left + square.side)))
    bottom = min(image.shape[0], int(np.ceil(square.top + square.side)))
    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = SIDE / square.side
    if scale < 0.5:  # averaged to twice the size first: sampling alone would alias
        share = 2 * scale
        size = (max(1, round(part.shape[1] * share)), max(1, round(part.shape[0] * share)))
        ratio_x, ratio_y = size[0] / part.shape[1], size[1] / part.shape[0]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    else:
        ratio_x = ratio_y = 1.0
    matrix = np.array(
        [
            [scale / ratio_x, 0, (left - square.left) * scale],
            [0, scale / ratio_y, (top - square.top) * scale],
        ]
    )
    grey = (128, 128, 128)
    return cv2.warpAffine(
        part, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=grey
    )


def _first_look(image: Pixels, squares: Sequence[_Square]) -> list[Face]:
    found = []
    for start in range(0, len(squares), BATCH):
        part = squares[start : start + BATCH]
        guesses = load_blazeface()(np.stack([_view(image, square) for square in part]))
        for number, square in enumerate(part):
            places = np.nonzero(guesses.scores[number] >= FIRST_LOOK)[0]
            found += [_face(guesses, number, int(place), square) for place in places]
    return [face for face in found if face.box[2] > 0 and face.box[3] > 0]


def _look_again(image: Pixels, face: Face) -> Face | None:
    """The face as further looks see it, or None if they don't agree that there is one."""
    squares = [_around(face, times) for times, _ in LOOKS]
    views = [_view(image, square) for square in squares]
    mirrored = [view[:, ::-1] if flip else view for view, (_, flip) in zip(views, LOOKS, strict=True)]
    guesses = load_blazeface()(np.stack(mirrored))
    middle = guesses.points[:, :, :2].mean(axis=2)
    central = np.abs(middle - 0.5).max(axis=2) < CENTRAL
    scores = np.where(central, guesses.scores, 0).max(axis=1)
    if scores.mean() < FURTHER_LOOKS:
        return None
    best = _face(guesses, 0, int(np.argmax(np.where(central[0], guesses.scores[0], 0))), squares[0])
    if best.box[2] <= 0 or best.box[3] <= 0:
        return None
    return replace(best, score=float(scores.mean()))


def _face(guesses: Guesses, view: int, place: int, square: _Square) -> Face:
    points = guesses.points[view, place] * square.side + (square.left, square.top)
    (x, y), (right, bottom) = points[0].tolist(), points[1].tolist()
    marks = tuple((float(a), float(b)) for a, b in points[2:])
    return Face((x, y, right - x, bottom - y), float(guesses.scores[view, place]), marks)


def _inside(face: Face, image: Pixels) -> bool:
    """Whether the eyes, the nose and the mouth are in the picture, not only in its padding."""
    height, width = image.shape[:2]
    inside = [0 <= x < width and 0 <= y < height for x, y in face.landmarks[:4]]
    return inside.count(True) >= 3


def _merged(faces: Sequence[Face]) -> list[Face]:
    """One face for all guesses at it: the best one's place, averaged with those that agree by score."""
    left = sorted(faces, key=lambda face: -face.score)
    found = []
    while left:
        best = left[0]
        same = [face for face in left if face is best or _overlap(face, best) > SAME_FACE]
        numbers = np.array([[*face.box, *np.ravel(face.landmarks)] for face in same])
        close = np.array([_overlap(face, best) > 0.6 or face is best for face in same])
        mean = np.average(
            numbers[close], axis=0, weights=[f.score for f, c in zip(same, close, strict=True) if c]
        )
        marks = tuple((float(a), float(b)) for a, b in mean[4:].reshape(-1, 2))
        box = (float(mean[0]), float(mean[1]), float(mean[2]), float(mean[3]))
        found.append(Face(box, best.score, marks))
        taken = {id(face) for face in same}
        left = [face for face in left if id(face) not in taken]
    return found


def _overlap(one: Face, other: Face) -> float:
    """Intersection over union, or over the smaller box where one lies in the other."""
    a, b = one.box, other.box
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared, areas = wide * high, (a[2] * a[3], b[2] * b[3])
    union = shared / (areas[0] + areas[1] - shared)
    return union if shared < 0.8 * min(areas) else max(union, 0.5)
