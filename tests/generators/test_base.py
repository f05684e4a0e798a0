"""What every generator is: seeds, classes, counts."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ConfigError
from countermark.generators import load_generator
from countermark.generators.gan.training import train_generator


def test_an_image_depends_on_its_own_seed_only():
    generator = load_generator("digits-32")
    whole = generator.sample(40, seed=100)
    assert np.array_equal(generator.sample(1, seed=117)[0], whole[17])
    assert np.array_equal(generator.sample(5, seed=130), whole[30:35])


def test_conditions():
    generator = load_generator("digits-32")
    assert generator.classes == tuple("0123456789")
    assert np.array_equal(generator.sample(2, condition="4"), generator.sample(2, condition=4))
    assert not np.array_equal(generator.sample(2, condition="4"), generator.sample(2, condition="5"))
    for wrong in ("ten", 10, -1, "²"):
        with pytest.raises(ConfigError, match="Known: 0, 1") as caught:
            generator.sample(1, condition=wrong)
        assert caught.value.code == "generator.condition"


def test_an_unconditional_generator_takes_no_condition(photos, tmp_path, tiny_recipe):
    path = train_generator(photos, tmp_path / "run", recipe=tiny_recipe(), progress=False)
    with pytest.raises(ConfigError, match="no classes"):
        load_generator(path).sample(1, condition="cat")


@pytest.mark.parametrize("count", [0, -3, 10**9])
def test_counts_out_of_range(count):
    with pytest.raises(ConfigError):
        load_generator("digits-32").sample(count)
