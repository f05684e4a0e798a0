"""Training of super-resolution: crops, resuming, what is skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import ConfigError, CorpusError, OutputError, UnknownNameError
from countermark.core.images import write_image
from countermark.generators import load_generator
from countermark.generators.superres.network import SuperresConfig
from countermark.generators.superres.training import SuperresSettings, degrade, train_superres


def scene(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    wave = 40 * np.sin(columns / 3)
    return np.clip(
        np.stack([disc * 150 + 50 + wave, 200 - disc * 90, columns * 0.0 + 90], -1), 0, 255
    ).astype(np.uint8)


TINY = SuperresConfig(width=8, blocks=2, critic_width=4)


def test_degraded_crops_are_half_as_large_and_repeatable() -> None:
    one, two = (degrade(scene(), np.random.default_rng(4)) for _ in range(2))
    assert one.shape == (32, 32, 3) and np.array_equal(one, two)


def test_training_resumes_and_counts_what_it_skips(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for index in range(6):
        write_image(data / f"{index}.png", np.roll(scene(), 7 * index, axis=1))
    write_image(data / "tiny.png", scene(16))
    (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    recipe = SuperresSettings(batch=2, patch=32, warm=0.5)
    out = tmp_path / "run"
    train_superres(data, out, config=TINY, settings=recipe, images=8)
    with pytest.raises(OutputError):
        train_superres(data, out, config=TINY, settings=recipe, images=8)
    train_superres(data, out, config=TINY, settings=recipe, images=12, resume=True)
    generator = load_generator(out)
    assert generator.card.trained["crops"] == 12 and "2 skipped" in generator.card.training_data[0]


def test_too_few_photographs(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", scene())
    with pytest.raises(CorpusError) as few:
        train_superres(tmp_path, tmp_path / "out", config=TINY, images=4)
    assert few.value.code == "corpus.too-small"
    with pytest.raises(CorpusError) as missing:
        train_superres(tmp_path / "none", tmp_path / "out", config=TINY, images=4)
    assert missing.value.code == "corpus.missing"


def test_what_is_not_known_cannot_be_trained(tmp_path: Path) -> None:
    from countermark.app.train_conditional import train_conditional

    with pytest.raises(UnknownNameError):
        train_conditional("sculpture", tmp_path, out=tmp_path / "out")
    with pytest.raises(ConfigError):
        train_conditional("superres", tmp_path, out=tmp_path / "out", network={"width": 1})
