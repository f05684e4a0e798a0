"""Plans: how many pictures each class gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.errors import ConfigError
from countermark.generators.augmentation import allot, fill_up


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12), st.integers(0, 500))
def test_allotment_adds_up_and_raises_the_smallest_first(counts, total):
    extra = allot(counts, total)
    assert sum(extra) == total and min(extra) >= 0
    after = [a + b for a, b in zip(counts, extra, strict=True)]
    raised = [level for level, more in zip(after, extra, strict=True) if more]
    if raised:
        assert max(raised) - min(after) <= 1


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_filling_up_levels_all_classes(counts):
    assert {a + b for a, b in zip(counts, fill_up(counts), strict=True)} == {max(counts)}


def test_bad_totals_are_refused():
    for counts, total in (([], 3), ([1], -1)):
        with pytest.raises(ConfigError):
            allot(counts, total)
