from pathlib import Path

import pytest

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError
from countermark.detectors.measuring.leave_out_recipe import leave_out_features
from countermark.detectors.recipes.run import Recipe, train_recipe

TINY = Recipe(
    name="tiny",
    seed=1,
    network={"trunk": "random", "depth": 1, "blocks": [1], "views": {"whole": 1, "middle": 0, "native": 0}},
    draws={"deliveries": ["native"], "histories": 0, "hard": 0, "twins": 0.3, "measured": []},
    calibration={"folds": 3, "kind": "platt"},
)


@pytest.mark.parametrize(("by", "count"), [("source", 10), ("generator", 5)])
def test_every_part_is_scored_by_a_head_that_has_not_met_it(
    tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory, by: str, count: int
) -> None:
    work = tmp_path_factory.getbasetemp() / "left-out-work"
    if not work.exists():
        train_recipe(TINY, [tiny_corpus.root], work / "out", work=work)
    found = leave_out_features(TINY, [tiny_corpus.root], work, by=by, resamples=20)
    assert len(found.parts) == count and not found.skipped
    assert found.pooled["native"]["AUROC"].value > 0.8
    part = found.parts[0]
    area, share, images = part.figures["native"]
    assert 0 <= area <= 1 and 0 <= share <= 1 and images >= 4
    assert {p.label for p in found.parts} == ({0, 1} if by == "source" else {1})


def test_nothing_stored_and_unknown_parts_are_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no features"):
        leave_out_features(TINY, [tiny_corpus.root], tmp_path)
    with pytest.raises(ConfigError, match="left out"):
        leave_out_features(TINY, [tiny_corpus.root], tmp_path, by="colour")
