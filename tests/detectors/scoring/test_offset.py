import numpy as np
import pytest

from countermark.core.errors import ConfigError
from countermark.core.seeds import rng
from countermark.detectors.scoring.offset import FEWEST, estimate_offset

#: Two normals whose log ratio is the logit itself, so that the reference is calibrated by construction.
SPREAD = 2.0


def _logits(seed: int, count: int, synthetic: float) -> np.ndarray:
    generator = rng(seed, "offset")
    mean = np.where(generator.random(count) < synthetic, SPREAD**2 / 2, -(SPREAD**2) / 2)
    return generator.normal(mean, SPREAD)


REAL = _logits(0, 8000, 0.0)
EVEN = np.full(len(REAL), 1 / len(REAL))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("offset", [-1.5, 0.0, 1.0])
def test_a_shift_is_found_whatever_the_share_of_generated_pictures(share: float, offset: float) -> None:
    found = estimate_offset(_logits(1, 600, share) + offset, REAL, EVEN)
    assert found.low <= found.value <= found.high
    assert abs(found.value - offset) < 0.45
    assert abs(found.share - share) < 0.2
    assert found.pictures == 600


def test_few_pictures_move_less_than_many() -> None:
    few = estimate_offset(_logits(2, FEWEST, 0.5) + 1.5, REAL, EVEN)
    many = estimate_offset(_logits(2, 2000, 0.5) + 1.5, REAL, EVEN)
    assert many.high - many.low < few.high - few.low
    assert abs(many.value - 1.5) < 0.3


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match=str(FEWEST - 1)):
        estimate_offset(np.zeros(FEWEST - 1), REAL, EVEN)


def test_scores_beyond_all_measure_do_not_break_it() -> None:
    found = estimate_offset(np.full(80, 40.0), REAL, EVEN)
    assert np.isfinite([found.value, found.low, found.high, found.share]).all()
