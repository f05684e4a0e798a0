from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from countermark.core.errors import ImageError
from countermark.core.seeds import rng
from countermark.detectors.faces import find
from countermark.detectors.faces.find import Face, find_faces

Draw = Callable[..., np.ndarray]


def near(found: Face, left: float, top: float, side: float) -> None:
    """The eyes, nose and mouth of a drawn face of that side and place, to a twentieth of its side."""
    drawn = ((0.41, 0.44), (0.59, 0.44), (0.5, 0.54), (0.5, 0.64))
    for (x, y), (a, b) in zip(found.landmarks, drawn, strict=False):
        assert abs(x - left - a * side) < 0.05 * side and abs(y - top - b * side) < 0.05 * side


def test_a_face_is_found_with_its_landmarks(drawn: Draw) -> None:
    (face,) = find_faces(drawn(256))
    near(face, 0, 0, 256)
    assert 0.72 <= face.score <= 1 and len(face.landmarks) == 6
    x, y, wide, high = face.box
    assert 0 < x < 110 and 0 < y < 120 and 80 < wide < 160 and 80 < high < 160


def test_a_small_face_in_a_large_picture_is_found_where_it_is(drawn: Draw) -> None:
    picture = np.full((1500, 2400, 3), 120, np.uint8)
    picture[900:1100, 1700:1900] = drawn(200)
    (face,) = find_faces(picture)
    near(face, 1700, 900, 200)


def test_several_faces_come_the_largest_first(drawn: Draw) -> None:
    picture = np.full((400, 900, 3), 120, np.uint8)
    picture[100:260, 50:210] = drawn(160)
    picture[60:380, 400:720] = drawn(320, (150, 105, 85))
    faces = find_faces(picture)
    assert len(faces) == 2 and faces[0].box[2] > 1.5 * faces[1].box[2]
    near(faces[0], 400, 60, 320)
    near(faces[1], 50, 100, 160)
    assert find_faces(picture, most=1) == faces[:1]
    assert find_faces(picture, smallest=120) == faces[:1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (20, 20), (3000, 40)])
def test_odd_sizes_have_no_face_and_raise_nothing(shape: tuple[int, int]) -> None:
    assert find_faces(np.full((*shape, 3), 90, np.uint8)) == ()


def test_noise_and_patterns_have_no_face() -> None:
    noise = rng(1, "noise").integers(0, 256, (300, 400, 3)).astype(np.uint8)
    checks = np.repeat((np.indices((300, 300)).sum(0) // 20 % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert find_faces(noise) == find_faces(checks) == ()


def test_other_arrays_are_refused() -> None:
    for wrong in (
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
    ):
        with pytest.raises(ImageError) as error:
            find_faces(wrong)
        assert error.value.code == "image.not-rgb"


def test_work_is_bounded_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of tiles do not grow with the picture; with the aspect, only to twice as many."""
    counts = [len(find._tiles(*shape)) for shape in ((400, 600), (4000, 6000), (9000, 9000), (90000, 90000))]
    assert max(counts) <= 60 and counts[0] == counts[1]
    # Views of further looks: however many candidates the first look gives, a fixed number is looked at.
    many = [Face((5.0 * k, 5.0, 40, 40), 0.9, ((0.0, 0.0),) * 6) for k in range(500)]
    looked: list[Face] = []
    monkeypatch.setattr(find, "_first_look", lambda image, squares: many)
    monkeypatch.setattr(find, "_look_again", lambda image, face: looked.append(face))
    find_faces(np.zeros((50, 3000, 3), np.uint8))
    assert 0 < len(looked) <= 2 * find.MOST_FACES


def test_the_same_faces_from_several_threads(drawn: Draw) -> None:
    picture = drawn(200)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find_faces, [picture] * 8))
    assert all(faces == found[0] for faces in found) and len(found[0]) == 1
