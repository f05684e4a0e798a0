from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from countermark.core.corpus import Corpus, read_corpus
from countermark.core.errors import ConfigError, UnknownNameError
from countermark.detectors import load_detector
from countermark.detectors.recipes.run import RECIPES, Recipe, read_recipe, train_recipe

Make = Callable[..., np.ndarray]
TINY = Recipe(
    name="tiny",
    seed=1,
    network={"trunk": "random", "depth": 1, "blocks": [1], "views": {"whole": 1, "middle": 1, "native": 0}},
    draws={"deliveries": ["native"], "histories": 0, "hard": 0, "twins": 0.3, "measured": []},
    calibration={"folds": 3, "kind": "platt", "dealings": 2},
)


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.toml")])
def test_shipped_recipes_are_valid(name: str) -> None:
    assert read_recipe(name).name == name


def test_what_is_not_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="default"):
        read_recipe("nothing")
    wrong = tmp_path / "wrong.toml"
    for text in (
        "name = 1 2",
        "name = 'x'\nunknown = 1",
        "name = 'x'\n[draws]\nhard = 3",
        "name = 'x'\n[slices.a]\nsize = 'full'",
    ):
        wrong.write_text(text)
        with pytest.raises(ConfigError, match=r"wrong\.toml"):
            read_recipe(wrong)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipe")


@pytest.fixture(scope="module")
def small(tiny_corpus: Corpus) -> list[Path]:
    return [tiny_corpus.root]


@pytest.fixture(scope="module")
def trained(small: list[Path], work: Path) -> Path:
    assert train_recipe(TINY, small, work / "out", work=work, minutes=0) is None
    path = train_recipe(TINY, small, work / "out", work=work)
    assert path is not None
    return path


def test_a_recipe_makes_a_detector_and_goes_on_after_a_break(
    trained: Path, checkered: Make, smooth: Make
) -> None:
    detector = load_detector(trained)
    figures = detector.card.metrics["native"]
    assert figures["images"] == 48 and figures["auroc"] > 0.9 and len(figures["auroc_by_dealing"]) == 2
    assert detector.card.trained["recipe"]["draws"]["twins"] == 0.3
    assert detector.card.trained["items"]["pair"] > 0
    assert "tpr_at_5_fpr_by_generator" in figures and all(figures["fpr_at_default_by_source"].values())
    scores = detector.score([smooth(700), checkered(700)])
    assert scores[1] > scores[0]


def test_a_head_with_squares_learns_from_measured_draws_too(
    small: list[Path], tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    draws = TINY.draws.model_copy(update={"measured": ["history"], "measured_per_source": 2})
    head = TINY.head.model_copy(update={"kind": "quadratic", "rank": 8, "measured": 0.5})
    recipe = TINY.model_copy(
        update={"draws": draws, "head": head.model_copy(update={"learn": ["native", "measured"]})}
    )
    path = train_recipe(recipe, small, tmp_path / "out", work=tmp_path / "work")
    assert path is not None
    detector = load_detector(path)
    points = detector.card.metrics["working_points"]
    assert list(points) == ["strict", "default", "review"] and detector.card.metrics["random_history"]
    assert points["strict"]["likely"] >= points["review"]["likely"]
    scores = detector.score([smooth(700), checkered(700)])
    assert scores[1] > scores[0]


def test_a_family_without_frozen_features_is_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    whole = TINY.model_copy(update={"family": "critic", "network": {}})
    with pytest.raises(ConfigError, match="as a whole"):
        train_recipe(whole, [tiny_corpus.root], tmp_path / "out", work=tmp_path / "work")


def test_sources_of_a_folder_are_left_out(
    small: list[Path], trained: Path, work: Path, tmp_path: Path
) -> None:
    whole = load_detector(trained).card
    source = next(row.source for row in read_corpus(small[0]).rows if row.label == "real")
    (tmp_path / "real").mkdir()
    image = next(row.file_name for row in read_corpus(small[0]).rows if row.source == source)
    name = f"real/{Path(image).name}"
    (tmp_path / name).write_bytes((small[0] / image).read_bytes())
    (tmp_path / "metadata.csv").write_text(f"file_name,label,generator,source\n{name},real,,{source}\n")
    path = train_recipe(TINY, small, tmp_path / "out", work=work, apart=tmp_path)
    assert path is not None
    card = load_detector(path).card
    assert f"left out: {source}" in card.training_data
    assert not any(line.startswith(f"real: {source},") for line in card.training_data)
    assert card.metrics["native"]["images"] < whole.metrics["native"]["images"]
    assert source not in card.metrics["native"]["fpr_at_default_by_source"]
