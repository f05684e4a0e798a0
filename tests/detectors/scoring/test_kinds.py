"""Words for kinds of picture."""

from __future__ import annotations

import pytest

from countermark.detectors.recipes.corpora import read_list
from countermark.detectors.scoring.kinds import KINDS, kind_of


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("stock photo (web template)", "photograph"),
        ("painting/photo of art", "painting"),
        ("chart/UI screenshot", "screenshot"),
        ("engraving/portrait scan", "painting"),
        ("scan", "document"),
        ("comic/ink illustration", "illustration"),
        ("render", "render"),
        ("other", ""),
        ("", ""),
    ],
)
def test_words_mean_one_kind(words: str, kind: str) -> None:
    assert kind_of(words) == kind


def test_the_listed_corpora_hold_every_kind_of_real_picture() -> None:
    found = {kind_of(row.kind) for row in read_list() if row.label == "real"}
    assert found >= set(KINDS) - {"render"}
