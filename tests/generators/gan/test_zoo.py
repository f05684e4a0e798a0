"""The zoo: drawn recipes are varied and repeatable, every image carries its recipe."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, OutputError, TrainingError
from countermark.core.images import read_image
from countermark.generators.families import FAMILIES
from countermark.generators.gan import zoo
from countermark.generators.gan.zoo import CHOICES, draw_species, write_zoo


def test_draws_are_repeatable_and_cover_the_choices():
    many = draw_species(120, size=32, seed=4)
    assert many[:10] == draw_species(10, size=32, seed=4)
    assert many[0] != draw_species(1, size=32, seed=5)[0]
    for key in ("family", "upsample", "norm", "loss"):
        assert {s.tags[key] for s in many if key in s.tags} == set(map(str, CHOICES[key]))
    for species in many:
        assert FAMILIES.get(species.recipe.family).parse(species.recipe.network)
    assert len({s.architecture for s in many}) > 12


def test_a_zoo_is_a_corpus_tagged_by_recipe(photos, tmp_path):
    seen = []
    corpus = write_zoo(
        photos, tmp_path / "zoo", species=4, per_species=3, size=16, images=48, seed=2,
        on_species=lambda one, count: seen.append((one.name, count)),
    )  # fmt: skip
    assert read_corpus(tmp_path / "zoo").rows == corpus.rows
    assert len(corpus) == 12 and len(seen) == 4
    for path, row in corpus:
        image = read_image(path)
        assert image.sha256 == row.sha256 and image.pixels.shape == (16, 16, 3)
        assert f"family={row.extra['architecture'].split('/')[0]}" in row.extra["recipe"]
    again = write_zoo(photos, tmp_path / "again", species=4, per_species=3, size=16, images=48, seed=2)
    assert [r.sha256 for r in again.rows] == [r.sha256 for r in corpus.rows]
    with pytest.raises(OutputError):
        write_zoo(photos, tmp_path / "zoo", species=1)


def test_species_differ_in_their_pixels(photos, tmp_path):
    corpus = write_zoo(photos, tmp_path / "zoo", species=5, per_species=2, size=16, images=32)
    first = [read_image(path).pixels for path, row in corpus if row.seed == "0"]
    assert all(not np.array_equal(first[0], other) for other in first[1:])


def test_a_species_that_diverges_is_left_out(photos, tmp_path, monkeypatch):
    real, told = zoo.sample_species, []

    def second_fails(species, *args, **kwargs):
        if species.name.endswith("001"):
            raise TrainingError("not a number", code="training.diverged")
        return real(species, *args, **kwargs)

    monkeypatch.setattr(zoo, "sample_species", second_fails)
    corpus = write_zoo(
        photos, tmp_path / "zoo", species=2, per_species=2, size=16, images=16,
        on_species=lambda one, count: told.append(count),
    )  # fmt: skip
    assert told == [2, 0] and len({r.generator for r in corpus.rows}) == 1


def test_no_species():
    with pytest.raises(ConfigError):
        write_zoo("digits", "unused", species=0)
