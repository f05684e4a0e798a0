from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.corpus import Corpus
from countermark.core.errors import ConfigError, CorpusError, TrainingError, UnknownNameError, WeightsError
from countermark.core.stats import auroc
from countermark.core.weights import stamp_card
from countermark.detectors import FitSettings, load_detector, train_detector
from countermark.detectors.measuring.evaluation import evaluate_detector
from countermark.detectors.training import split_corpus

Make = Callable[..., np.ndarray]

SMALL = {"side": 48, "width": 8, "levels": 3, "max_width": 32}
SETTINGS = FitSettings(seed=3, steps=60, batch=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("critic")
    return train_detector(tiny_corpus, out, name="tiny", family="critic", config=SMALL, settings=SETTINGS)


def test_whole_groups_are_kept_apart(tiny_corpus: Corpus) -> None:
    training, apart = split_corpus(tiny_corpus, 0)
    assert len(training) + len(apart) == len(tiny_corpus)
    for label in ("real", "synthetic"):
        mine, held = ({r.source for r in part.rows if r.label == label} for part in (training, apart))
        assert mine and held and not mine & held


def test_rows_of_the_test_split_are_never_used(tiny_corpus: Corpus) -> None:
    rows = tuple(replace(r, split="test" if i % 4 == 0 else "") for i, r in enumerate(tiny_corpus.rows))
    training, apart = split_corpus(replace(tiny_corpus, rows=rows), 0)
    assert not any(r.split == "test" for r in training.rows + apart.rows)


def test_a_trained_critic_tells_new_images_apart(trained: Path, checkered: Make, smooth: Make) -> None:
    detector = load_detector(trained)
    images = [smooth(i) for i in range(500, 512)] + [checkered(i) for i in range(500, 512)]
    scores = detector.score(images)
    assert scores.dtype == np.float64 and scores.min() >= 0 and scores.max() <= 1
    assert auroc(np.repeat([0, 1], 12), scores) > 0.85


def test_training_is_deterministic_and_reload_agrees(
    trained: Path, tiny_corpus: Corpus, tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    short = replace(SETTINGS, steps=3)
    first, second = (
        train_detector(tiny_corpus, tmp_path / n, name="tiny", family="critic", config=SMALL, settings=short)
        for n in "ab"
    )
    images = [smooth(1), checkered(2)]
    assert np.array_equal(load_detector(first).score(images), load_detector(second).score(images))
    assert first.read_bytes() == second.read_bytes()


def test_training_leaves_global_randomness_alone(tiny_corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    short = replace(SETTINGS, steps=2)
    train_detector(tiny_corpus, tmp_path, name="x", family="critic", config=SMALL, settings=short)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (8, 5000, 3), (3000, 20, 3), (300, 300, 3)])
def test_odd_shapes_are_scored_and_mapped(trained: Path, shape: tuple[int, ...]) -> None:
    detector = load_detector(trained)
    image = np.full(shape, 90, np.uint8)
    heatmap = detector.heatmap(image)
    assert np.isfinite(detector.score([image])).all()
    assert heatmap.shape == shape[:2] and heatmap.dtype == np.float32
    assert heatmap.min() >= 0 and heatmap.max() <= 1


def test_no_images_give_no_scores(trained: Path) -> None:
    assert load_detector(trained).score([]).shape == (0,)


def test_a_score_does_not_depend_on_its_neighbours(trained: Path, checkered: Make, smooth: Make) -> None:
    detector = load_detector(trained)
    images = [smooth(3, 90), checkered(4, 130), smooth(5, 48)]
    alone = np.concatenate([detector.score([image]) for image in images])
    assert np.allclose(detector.score(images), alone, atol=1e-6)


def test_evaluation_reports_every_condition_and_the_confound(trained: Path, tiny_corpus: Corpus) -> None:
    record = evaluate_detector(load_detector(trained), tiny_corpus, resamples=50)
    assert set(record.conditions) == {"native", "q96", "320q90", "q75"}
    assert record.real == record.synthetic == 24
    assert set(record.sources["native"]) == {f"real-{i}" for i in range(5)}
    assert set(record.generators["q75"]) == {f"synthetic-{i}" for i in range(5)}
    figures = record.conditions["native"]
    assert figures.auroc.low <= figures.auroc.value <= figures.auroc.high
    assert not record.confounded and record.control is not None


def test_evaluation_names_a_confounded_corpus(
    tiny_corpus: Corpus, trained: Path, tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    from countermark.core.corpus import CorpusRow, write_metadata
    from countermark.core.images import write_image

    rows = []
    for i in range(12):
        for label, make, suffix in (("real", smooth, "jpg"), ("synthetic", checkered, "png")):
            name = f"{label}{i}.{suffix}"
            write_image(tmp_path / name, make(i))
            rows.append(CorpusRow(name, label, source=label))
    record = evaluate_detector(load_detector(trained), write_metadata(tmp_path, rows), resamples=20)
    assert record.confounded and record.headline.startswith("This corpus is confounded")


def test_one_class_is_refused(tiny_corpus: Corpus, trained: Path, tmp_path: Path) -> None:
    real = tiny_corpus.select(label="real")
    with pytest.raises(TrainingError):
        train_detector(real, tmp_path, name="x", family="critic", config=SMALL, settings=SETTINGS)
    with pytest.raises(CorpusError):
        evaluate_detector(load_detector(trained), real)


def test_damaged_or_foreign_weights_are_refused(trained: Path, tmp_path: Path) -> None:
    card = trained.with_name("tiny.card.json").read_text()
    (tmp_path / "tiny.card.json").write_text(card)
    (tmp_path / "tiny.safetensors").write_bytes(trained.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsError):
        load_detector(tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.safetensors").write_bytes(trained.read_bytes())
    (tmp_path / "tiny.card.json").write_text(card.replace('"width": 8', '"width": 9'))
    with pytest.raises(WeightsError) as caught:
        load_detector(tmp_path / "tiny.safetensors")
    assert caught.value.code == "weights.card-changed"
    stamp_card(tmp_path / "tiny.card.json")
    with pytest.raises(WeightsError):
        load_detector(tmp_path / "tiny.safetensors")


def test_unknown_names_and_options_say_what_is_known(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="default"):
        load_detector("defualt")
    with pytest.raises(UnknownNameError, match="critic"):
        train_detector(tiny_corpus, tmp_path, name="x", family="crtic")
    for family, config in (
        ("critic", {"depth": 3}),
        ("timm", {"backbone": "no_such"}),
        ("clip-probe", {"x": 1}),
    ):
        with pytest.raises(ConfigError):
            train_detector(tiny_corpus, tmp_path, name="x", family=family, config=config)


def test_a_timm_backbone_trains_and_reloads(tiny_corpus: Corpus, tmp_path: Path, smooth: Make) -> None:
    config = {"backbone": "efficientnet_lite0", "stage": 1, "side": 64}
    short = FitSettings(steps=1, batch=2)
    path = train_detector(tiny_corpus, tmp_path, name="lite", family="timm", config=config, settings=short)
    assert load_detector(path).score([smooth(1)]).shape == (1,)


def test_a_probe_trains_on_a_random_tower(
    tiny_corpus: Corpus, tmp_path: Path, checkered: Make, smooth: Make
) -> None:
    few = replace(tiny_corpus, rows=tiny_corpus.rows[:24])
    config = {"trunk": "random", "depth": 1, "blocks": [1], "views": {"whole": 1, "middle": 0, "native": 0}}
    path = train_detector(
        few, tmp_path, name="probe", family="clip-probe", config=config, settings=FitSettings(views=1)
    )
    detector = load_detector(path)
    assert detector.score([smooth(1), checkered(1)]).shape == (2,)
    assert detector.heatmap(smooth(1, 300)).shape == (300, 300)
