from collections.abc import Callable

import numpy as np
import pytest

from countermark.core.errors import UnknownNameError
from countermark.core.seeds import rng
from countermark.detectors.recipes.hardphotos import HARD, make_hard

Make = Callable[..., np.ndarray]


@pytest.mark.parametrize("name", ["collage", "edit", "scan", "screenshot"])
def test_makers_repeat_and_change_the_picture(name: str, smooth: Make) -> None:
    pictures = [smooth(i, 260 + 40 * i) for i in range(3)]
    first, again = (make_hard(name, pictures, rng(5, name)) for _ in range(2))
    other = make_hard(name, pictures, rng(6, name))
    assert first.dtype == np.uint8 and first.ndim == 3 and min(first.shape[:2]) >= 240
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert first.shape != pictures[0].shape or not np.array_equal(first, pictures[0])


def test_known_makers_are_named_when_one_is_asked_for_that_is_not_there(smooth: Make) -> None:
    assert sorted(HARD.names()) == ["collage", "edit", "scan", "screenshot"]
    with pytest.raises(UnknownNameError, match="poster"):
        make_hard("poster", [smooth(1)], rng(0))
