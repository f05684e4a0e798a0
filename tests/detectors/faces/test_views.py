from collections.abc import Callable

import cv2
import numpy as np

from countermark.detectors.faces.features import POOLS, face_features, feature_size
from countermark.detectors.faces.find import Face, find_faces
from countermark.detectors.faces.views import face_views, lean
from countermark.detectors.towers.engine import TowerEngine
from countermark.detectors.towers.library import random_tower

Draw = Callable[..., np.ndarray]


def a_face(x: float, y: float, side: float) -> Face:
    def at(a: float, b: float) -> tuple[float, float]:
        return x + a * side, y + b * side

    return Face(
        (x, y, side, side),
        0.9,
        (at(0.3, 0.3), at(0.7, 0.3), at(0.5, 0.5), at(0.5, 0.75), at(0, 0.4), at(1, 0.4)),
    )


def test_the_views_show_the_head_and_the_face() -> None:
    picture = np.zeros((400, 500, 3), np.uint8)
    picture[100:200, 150:250] = 200  # the box
    head, face = face_views(picture, a_face(150, 100, 100))
    assert head.shape == face.shape == (224, 224, 3) and head.dtype == np.uint8
    assert (head[60:164, 60:164] > 190).all() and (head[:50] < 10).all() and (head[:, :50] < 10).all()
    assert (face[14:210, 14:210] > 190).all() and (face[:4] < 60).all()


def test_outside_the_picture_its_edge_is_repeated() -> None:
    picture = np.full((60, 80, 3), 90, np.uint8)
    for face in (a_face(-30, -20, 60), a_face(60, 40, 90), a_face(-400, 0, 50), a_face(20, 10, 3)):
        views = face_views(picture, face)
        assert views.shape == (2, 224, 224, 3)
    assert (face_views(picture, a_face(-30, -20, 60)) == 90).all()


def test_a_leaning_face_is_turned_upright(drawn: Draw) -> None:
    upright = drawn(300)
    matrix = cv2.getRotationMatrix2D((150, 150), -25, 1)
    leaning = cv2.warpAffine(upright, matrix, (300, 300), borderMode=cv2.BORDER_REPLICATE)
    (straight,), (turned,) = find_faces(upright), find_faces(leaning)
    assert abs(lean(straight)) < 8 and 15 < lean(turned) < 35
    (again,) = find_faces(face_views(leaning, turned)[0])
    assert abs(lean(again)) < 10


def test_features_stand_in_their_places() -> None:
    """A square that is bright in the face and dark outside shows in the pools that lie there."""
    engine = TowerEngine(random_tower(2, 0).state, depth=2, precision="float32")
    flat = np.zeros((3, 2, 224, 224, 3), np.uint8)
    flat[1, 0, 80:144, 80:144] = 255  # inside the face only
    flat[2, 1] = 255  # the close view only
    features = face_features(engine, flat, [1, 2])
    assert features.shape == (3, feature_size([1, 2])) and features.dtype == np.float32
    by_pool = features.reshape(3, 2, len(POOLS), -1)
    change = np.abs(by_pool[1] - by_pool[0]).mean(axis=(0, 2))
    pools = dict(zip(POOLS, change, strict=True))
    assert pools["head.inside"] > 3 * pools["head.outside"] and pools["face.mean"] == 0
    other = np.abs(by_pool[2] - by_pool[0]).mean(axis=(0, 2))
    assert (other[:5] == 0).all() and (other[5:7] > 0).all()
