import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ImageError
from countermark.core.seeds import rng
from countermark.detectors.fitting.histories import random_crop, random_history
from countermark.detectors.scoring.views import (
    ViewPlan,
    check_pixels,
    make_views,
    resize_short,
    texture_crops,
)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 700), width=st.integers(1, 700), whole=st.integers(0, 2), native=st.integers(0, 5)
)
def test_any_size_gives_the_planned_views(height: int, width: int, whole: int, native: int) -> None:
    plan = ViewPlan(whole, 2, native)
    views = make_views(np.full((height, width, 3), 7, np.uint8), plan)
    assert len(views) == plan.count
    assert {v.shape for v in views} == {(224, 224, 3)}
    assert all((v == 7).all() for v in views)


def test_extreme_aspect_is_bounded() -> None:
    views = make_views(np.zeros((3, 20_000, 3), np.uint8), ViewPlan(1, 1, 1))
    assert len(views) == 3


def test_texture_crops_find_the_textured_corner() -> None:
    picture = np.full((600, 900, 3), 128, np.uint8)
    picture[380:, 680:] = rng(0).integers(0, 256, (220, 220, 3))
    (crop,) = texture_crops(picture, 1)
    assert crop.std() > 50


def test_texture_crops_do_not_repeat_while_there_is_room() -> None:
    picture = rng(1).integers(0, 256, (500, 500, 3)).astype(np.uint8)
    crops = texture_crops(picture, 3)
    assert not any(np.array_equal(crops[i], crops[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_resize_short_never_goes_below_the_side() -> None:
    for shape in ((1000, 333, 3), (17, 4000, 3), (224, 224, 3)):
        assert min(resize_short(np.zeros(shape, np.uint8), 224).shape[:2]) == 224


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), "a.jpg"],
)
def test_other_arrays_are_refused(bad: object) -> None:
    with pytest.raises(ImageError) as error:
        check_pixels(bad)  # type: ignore[arg-type]
    assert error.value.code == "image.not-rgb"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 300), width=st.integers(1, 300))
def test_histories_are_rgb_and_repeat(seed: int, height: int, width: int) -> None:
    picture = rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    first, second = (random_history(picture, rng(seed, "h")) for _ in range(2))
    assert first.dtype == np.uint8 and first.ndim == 3 and first.size
    assert np.array_equal(first, second)


def test_random_crop_keeps_at_least_its_share() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    for seed in range(50):
        crop = random_crop(picture, rng(seed), 0.3)
        assert crop.shape[0] * crop.shape[1] >= 0.2 * 200 * 300
