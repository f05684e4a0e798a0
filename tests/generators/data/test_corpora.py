"""Corpora of generated images: every row says how to make its image again."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, OutputError
from countermark.core.images import read_image
from countermark.generators import load_generator, write_corpus


def test_corpus_rows_say_how_to_make_each_image_again(tmp_path):
    generator = load_generator("digits-32")
    corpus = write_corpus(generator, 5, tmp_path / "out", seed=20, condition="3")
    assert [r.seed for r in corpus.rows] == ["20", "21", "22", "23", "24"]
    again = read_corpus(tmp_path / "out")
    assert again.rows == corpus.rows
    for path, row in again:
        image = read_image(path)
        assert row.label == "synthetic" and row.generator == "digits-32"
        assert row.extra["weights_sha256"] == generator.sha256
        assert row.sha256 == image.sha256
        remade = generator.sample(1, seed=int(row.seed), condition=row.extra["condition"])[0]
        assert np.array_equal(image.pixels, remade)
    with pytest.raises(OutputError):
        write_corpus(generator, 5, tmp_path / "out", seed=20)


def test_a_wrong_condition_writes_nothing(tmp_path):
    with pytest.raises(ConfigError):
        write_corpus(load_generator("digits-32"), 5, tmp_path / "out", condition="z")
    assert not (tmp_path / "out").exists()
