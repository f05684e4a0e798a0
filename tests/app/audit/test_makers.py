"""Corpora made on the spot: both labels packed alike, the same bytes for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from countermark.app.audit.makers import MAKERS, crops, photographs
from countermark.app.rooms import Rooms
from countermark.core.corpus import read_corpus
from countermark.core.images import read_image


class Generator:
    """Samples noise of 64 pixels."""

    def sample(self, count, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def sign(source: Path, destination: Path, generator: str) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(source.read_bytes())


ROOMS = Rooms(load_generator=lambda name: Generator(), sign=sign)


def test_generated_and_photographs(tmp_path: Path) -> None:
    maker = MAKERS.get("generated-and-photographs")
    for folder in ("a", "b"):
        maker.make(tmp_path / folder, 6, 3, ROOMS)
    corpus = read_corpus(tmp_path / "a")
    images = [read_image(path) for path in corpus.paths]
    assert {(i.format, i.width, i.height) for i in images} == {("png", 256, 256)}
    assert len(corpus.select(label="real")) == len(corpus.select(label="synthetic")) == 6
    assert len({row.source for row in corpus.select(label="real").rows}) == len(photographs())
    for path in corpus.paths:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_signed_samples(tmp_path: Path) -> None:
    MAKERS.get("signed-samples").make(tmp_path / "out", 2, 0, ROOMS)
    assert [row.file_name for row in read_corpus(tmp_path / "out").rows] == ["0000.png", "0001.png"]
    assert {row.label for row in read_corpus(tmp_path / "out").rows} == {"synthetic"}


def test_crops_depend_on_the_seed_only() -> None:
    first, again, other = crops(5, 32, 1), crops(5, 32, 1), crops(5, 32, 2)
    assert all((a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(first, other, strict=True))
    assert all(picture.shape == (32, 32, 3) for _, picture in first)
