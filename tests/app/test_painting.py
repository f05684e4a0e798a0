"""Painted parts: everything outside keeps its values, inside something is new."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.app.painting import filled, redrawn


@pytest.mark.parametrize("paint", [filled, redrawn])
@pytest.mark.parametrize("box", [(30, 20, 50, 40), (0, 0, 40, 40), (101, 71, 27, 25)])
def test_only_the_part_changes(paint, box) -> None:
    photo = np.random.default_rng(3).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    before = photo.copy()
    edited, mask = paint(photo, box)
    assert edited.dtype == np.uint8 and edited.shape == photo.shape and mask.shape == photo.shape[:2]
    assert np.array_equal(photo, before), "the photograph is left as it is"
    assert np.array_equal(edited[mask == 0], photo[mask == 0])
    assert (edited != photo)[mask > 0.9].mean() > 0.5
    x, y, width, height = box
    assert mask[y + height // 2, x + width // 2] > 0.9 and 0 < mask.mean() < 0.5
