import shutil
from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import WeightsError
from countermark.core.weights import load_arrays, read_card
from countermark.detectors.faces import blaze
from countermark.detectors.faces.blaze import BlazeFace, load_blazeface, shapes


def test_the_card_names_source_digest_and_licence() -> None:
    card = read_card(blaze.WEIGHTS)
    assert card.trained["source_sha256"].startswith("3bc182eb9f33925d") and "Apache-2.0" in card.licence


def test_guesses_have_their_shapes_and_ranges() -> None:
    guesses = load_blazeface()(np.zeros((11, 128, 128, 3), np.uint8))
    assert guesses.scores.shape == (11, 896) and guesses.points.shape == (11, 896, 8, 2)
    assert guesses.scores.min() >= 0 and guesses.scores.max() < 0.5


def test_a_missing_array_and_a_wrong_shape_are_refused() -> None:
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes().items()}
    BlazeFace(state)
    with pytest.raises(WeightsError, match="stem"):
        BlazeFace({name: value for name, value in state.items() if name != "stem.weight"})
    with pytest.raises(WeightsError, match=r"blocks\.3\.point\.bias"):
        BlazeFace(state | {"blocks.3.point.bias": np.zeros(5, np.float32)})


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    for file in (blaze.WEIGHTS, blaze.WEIGHTS.with_name("finder.card.json")):
        shutil.copy(file, tmp_path)
    changed = tmp_path / "finder.safetensors"
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        load_arrays(changed, family=blaze.FAMILY)
    assert error.value.code == "weights.checksum"
