import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import ImageError, WeightsError
from countermark.core.seeds import rng
from countermark.core.weights import WeightsCard, load_arrays, read_card
from countermark.detectors.faces import expert as module
from countermark.detectors.faces.blocks import inside_and_around
from countermark.detectors.faces.expert import FAMILY, FaceExpert, load_expert, save_expert
from countermark.detectors.faces.features import COUNT, LARGEST, cut_out, face_features
from countermark.detectors.faces.find import Face, find_faces
from countermark.detectors.regions.engine import SHAPES, RegionEngine
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.heads import Head

Draw = Callable[..., np.ndarray]


def a_face(x: float, y: float, side: float) -> Face:
    return Face((x, y, side, side), 0.9, ((x, y),) * 6)


def arrays() -> dict[str, np.ndarray]:
    generator = rng(5, "region")
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}


def an_expert(smallest: float = 64.0) -> FaceExpert:
    weight = rng(6, "head").normal(0, 0.1, COUNT)
    calibrator = Calibrator("platt", (1.0, 0.0))
    return FaceExpert(arrays(), Head.plain(weight, 0.0), calibrator, threshold=0.9, smallest=smallest)


def test_blocks_inside_and_around_a_face_do_not_touch() -> None:
    inside, around = inside_and_around(a_face(80, 80, 80), (30, 30))
    assert inside[15, 15] and not inside[0, 0] and not (inside & around).any()
    rows, columns = np.nonzero(inside)
    assert rows.min() >= 9 and rows.max() <= 19 and columns.min() >= 11 and columns.max() <= 18
    assert not around[10:20, 11:19].any() and around[6, 15] and not around[0, 0]


def test_what_is_looked_at_lies_on_the_grid_and_is_bounded() -> None:
    picture = rng(1, "picture").integers(0, 256, (500, 700, 3)).astype(np.uint8)
    pixels, moved = cut_out(picture, a_face(301, 203, 100))
    left, top = 301 - moved.box[0], 203 - moved.box[1]
    assert left % 8 == top % 8 == 0 and np.array_equal(
        pixels[:8, :8], picture[int(top) :, int(left) :][:8, :8]
    )
    assert 220 <= pixels.shape[0] <= 250 and 220 <= pixels.shape[1] <= 250
    large, face = cut_out(np.zeros((3000, 3000, 3), np.uint8), a_face(1000, 1000, 1000))
    assert max(large.shape) == LARGEST and abs(face.box[2] - 1000 * LARGEST / 2400) < 3


def test_faces_at_the_edge_and_tiny_pictures_have_no_features() -> None:
    engine = RegionEngine(arrays())
    picture = np.zeros((200, 200, 3), np.uint8)
    for face in (a_face(-500, 0, 100), a_face(-280, 0, 300), a_face(90, 90, 12)):
        assert face_features(engine, picture, face) is None
    assert face_features(engine, np.zeros((9, 9, 3), np.uint8), a_face(0, 0, 9)) is None
    found = face_features(engine, picture, a_face(60, 60, 70))
    assert found is not None and found.shape == (COUNT,) and np.isfinite(found).all()


def test_features_tell_a_face_of_another_grain_from_its_surroundings() -> None:
    engine = RegionEngine(arrays())
    noise = np.clip(rng(2, "noise").normal(120, 12, (240, 240, 3)), 0, 255).astype(np.uint8)
    face = a_face(80, 80, 80)
    smooth = noise.copy()
    smooth[84:156, 90:150] = 120
    apart = slice(160, 200)
    same, other = (face_features(engine, picture, face) for picture in (noise, smooth))
    assert same is not None and other is not None
    assert np.abs(other[apart]).mean() > 1.5 * np.abs(same[apart]).mean()


def test_scores_of_found_faces(drawn: Draw) -> None:
    picture = np.full((400, 900, 3), 120, np.uint8)
    picture[100:260, 50:210] = drawn(160)
    picture[60:380, 400:720] = drawn(320)
    faces = find_faces(picture)
    scores = an_expert(smallest=100).scores(picture, faces)
    assert scores.shape == (2,) and 0 <= scores[0] <= 1 and np.isnan(scores[1])
    assert an_expert().scores(picture, ()).shape == (0,)
    with pytest.raises(ImageError):
        an_expert().scores(picture[..., 0], faces)


def test_another_head_and_missing_arrays_are_refused() -> None:
    calibrator = Calibrator("platt", (1.0, 0.0))
    with pytest.raises(WeightsError, match="features"):
        FaceExpert(arrays(), Head.zero(7), calibrator, threshold=0.9, smallest=64)
    less = {name: value for name, value in arrays().items() if name != "embed.bias"}
    with pytest.raises(WeightsError, match=r"embed\.bias"):
        FaceExpert(less, Head.zero(COUNT), calibrator, threshold=0.9, smallest=64)


def test_saved_and_loaded_it_says_nearly_the_same(
    tmp_path: Path, drawn: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = an_expert()
    path = save_expert(tmp_path, own, WeightsCard(name="expert", kind="detector", family=FAMILY))
    monkeypatch.setattr(module, "WEIGHTS", path)
    again = load_expert.__wrapped__()
    picture = drawn(300)
    faces = find_faces(picture)
    assert np.allclose(own.scores(picture, faces), again.scores(picture, faces), atol=0.02)
    assert (again.threshold, again.smallest) == (0.9, 64.0)


def test_the_shipped_expert_is_whole_and_names_its_figures(drawn: Draw) -> None:
    card = read_card(module.WEIGHTS)
    assert card.family == FAMILY and card.metrics and card.limits and card.training_data
    expert = load_expert()
    assert 0.5 < expert.threshold < 1 and 32 <= expert.smallest <= 128
    picture = drawn(300)
    scores = expert.scores(picture, find_faces(picture))
    assert scores.shape == (1,) and 0 <= scores[0] <= 1


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    for name in ("expert.safetensors", "expert.card.json"):
        shutil.copy(module.WEIGHTS.with_name(name), tmp_path)
    changed = tmp_path / "expert.safetensors"
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        load_arrays(changed, family=FAMILY)
    assert error.value.code == "weights.checksum"
