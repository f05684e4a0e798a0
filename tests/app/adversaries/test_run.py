"""Attacks on a detector whose weakness is known find it; what is measured was not searched on."""

from __future__ import annotations

from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch

from countermark.app.adversaries.attacks import square_attack
from countermark.app.adversaries.run import measure_adversaries
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import CorpusError
from countermark.core.images import write_image
from countermark.core.seeds import rng
from countermark.reports.documents import load_schema


class Sharpness:
    """P(synthetic) grows with the strength of fine texture; so whatever smooths, hides."""

    name = "sharpness"
    card = SimpleNamespace(sha256="00")

    def __init__(self) -> None:
        self.network = SimpleNamespace(side=64, model=self._model)

    @staticmethod
    def _model(x: torch.Tensor) -> torch.Tensor:
        step = (x[..., 1:] - x[..., :-1]).square().mean(dim=(1, 2, 3), keepdim=True)
        return 60 * step - 6

    def score(self, images):
        found = []
        for image in images:
            x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            found.append(float(torch.sigmoid(self._model(x)).item()))
        return np.array(found)

    def thresholds(self, max_fpr: float = 0.01):
        return SimpleNamespace(likely=0.5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("fakes")
    rows = []
    for index in range(24):
        strength = 20 if index < 20 else 2  # the last four are not found even as they are
        pixels = np.clip(rng(index).normal(128, 2.2 * strength, (64, 64, 3)), 0, 255).astype(np.uint8)
        write_image(root / f"{index}.png", pixels)
        rows.append(CorpusRow(f"{index}.png", "synthetic", f"g{index % 3}", f"s{index % 3}"))
    (root / "broken.png").write_bytes(b"x")
    rows.append(CorpusRow("broken.png", "synthetic", "g0", "s0"))
    return write_metadata(root, rows)


def test_every_adversary_is_measured(corpus) -> None:
    settings = {
        "epsilons": (8, 48),
        "steps": 6,
        "square_queries": 8,
        "budget": 30,
        "per_trial": 4,
        "repeats": 2,
    }
    document, record = measure_adversaries(Sharpness(), corpus, images=40, **settings)
    jsonschema.validate(document, load_schema("evaluation"))
    assert document["subject"]["images"] == 20, "broken and unfound images are not attacked"
    by_name = {(a.name, a.setting): a for a in record.attacks}
    (start,) = [a for (name, s), a in by_name.items() if name == "none" and "square" in s]
    assert start.interval.value == 1
    weak, strong = [a for (name, _), a in by_name.items() if name == "PGD"]
    assert strong.mean_score < weak.mean_score < start.mean_score
    assert strong.interval.value < 0.2
    found = {name: a for (name, _), a in by_name.items() if name.startswith("laundering")}
    assert len(found) == 4
    for kind in ("random", "learned"):
        assert found[f"laundering, {kind} search, best of 2"].interval.value < 0.3
        tried = record.laundered.found[kind]
        assert len(tried) == 2 and all(len(one.history) == 30 for one in tried)
        assert record.laundered.best(kind).edits in {one.edits for one in tried}
        assert found[f"laundering, {kind} search, best of 2"].queries == 120
    assert "stay found" in document["headline"]


def test_a_detector_that_finds_nothing_cannot_be_attacked(corpus) -> None:
    class Deaf(Sharpness):
        def thresholds(self, max_fpr: float = 0.01):
            return SimpleNamespace(likely=2.0)

    with pytest.raises(CorpusError) as caught:
        measure_adversaries(Deaf(), corpus)
    assert caught.value.code == "corpus.nothing-found"


def test_the_square_attack_leaves_hidden_images_alone() -> None:
    asked: list[int] = []

    def score(images) -> np.ndarray:
        asked.append(len(images))
        return np.array([image.mean() / 255 for image in images])

    pictures = [np.full((16, 16, 3), level, np.uint8) for level in (40, 200)]
    changed = square_attack(pictures, score, 8, 10, 0, until=0.5)
    assert asked == [2] + 9 * [1], "the dark one is hidden from the start"
    assert changed[1].mean() < 200 and np.ptp(changed[0].astype(int) - 40) <= 16
