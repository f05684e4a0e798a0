"""Reconstruction fakes: they resemble their originals, and say which they are."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.corpus import read_corpus
from countermark.core.errors import OutputError, TrainingError
from countermark.core.images import read_image
from countermark.generators.data import load_pictures
from countermark.generators.reconstruction import (
    Autoencoder,
    reconstruct,
    train_autoencoder,
    write_reconstructions,
)


def error(a, b):
    return np.abs(a.astype(float) - b).mean()


def test_training_brings_reconstructions_closer():
    pictures = load_pictures("digits", size=32)
    held = pictures.heldout[:32]
    before = reconstruct(Autoencoder(width=8).eval(), held)
    network = train_autoencoder(pictures, width=8, steps=80, batch=8)
    after = reconstruct(network, held)
    assert error(after, held) < 0.5 * error(before, held)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "transposed"])
def test_pairs_are_written_and_repeatable(photos, tmp_path, upsample):
    settings = {"size": 16, "count": 5, "steps": 3, "upsample": upsample}
    corpus = write_reconstructions(photos, tmp_path / "out", **settings)
    assert read_corpus(tmp_path / "out").rows == corpus.rows
    assert len(corpus.select(label="real")) == len(corpus.select(label="synthetic")) == 5
    for path, row in corpus:
        assert read_image(path).pixels.shape == (16, 16, 3)
        assert (float(row.extra["psnr"]) > 0) if row.is_synthetic else row.generator == ""
    again = write_reconstructions(photos, tmp_path / "again", **settings)
    assert [r.sha256 for r in corpus.rows] == [r.sha256 for r in again.rows]
    with pytest.raises(OutputError):
        write_reconstructions(photos, tmp_path / "out", **settings)


def test_divergence_is_named(photos):
    with pytest.raises(TrainingError, match="Lower the rate"):
        train_autoencoder(load_pictures(photos, size=16), steps=60, rate=1e30)
