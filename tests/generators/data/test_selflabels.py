"""Clusters of known groups are found, measured, and train a generator that samples by cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.errors import ConfigError, CorpusError, UnknownNameError
from countermark.core.images import write_image
from countermark.core.weights import read_card
from countermark.generators.data.pictures import load_pictures
from countermark.generators.data.selflabels import label_pictures, purity, self_labels, unit_components
from countermark.generators.gan.training import train_generator
from countermark.generators.library import load_generator


def shapes(each=20, side=16):
    """Bright bars in four places: four groups that pixels tell apart."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 40, (4 * each, side, side, 3)).astype(np.uint8)
    truth = np.repeat(np.arange(4), each)
    for index, group in enumerate(truth):
        rows = slice(4 * group, 4 * group + 4)
        images[index, rows, :, :] += 180
    return images, truth


@pytest.mark.parametrize("extractor", ["pixels", "dct"])
def test_known_groups_are_found(extractor):
    images, truth = shapes()
    found = self_labels(images, 4, extractor=extractor, truth=truth)
    assert found.agreement == {"purity": 1.0, "nmi": pytest.approx(1.0)}
    assert found.sizes == (20, 20, 20, 20) and found.names == tuple(f"cluster-{i}" for i in range(4))
    record = found.as_dict()
    assert record["purity"] == 1.0 and record["extractor"] == extractor and sum(record["sizes"]) == 80


def test_clusters_repeat_and_are_ordered_by_size():
    images, _ = shapes()
    images = images[10:]
    first, second = (self_labels(images, 3, extractor="pixels", seed=4) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert list(first.sizes) == sorted(first.sizes, reverse=True)
    assert first.as_dict()["assignment_sha256"] == second.as_dict()["assignment_sha256"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_purity_is_a_share_and_one_for_singletons(pairs):
    labels, truth = np.array(pairs).T
    assert np.bincount(truth).max() / len(truth) - 1e-9 <= purity(labels, truth) <= 1
    assert purity(np.arange(len(truth)), truth) == 1


def test_components_lie_on_the_unit_sphere():
    points = unit_components(np.random.default_rng(0).normal(size=(30, 100)))
    assert points.shape == (30, 29)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)


def test_too_much_is_refused():
    images, _ = shapes(each=5)
    for clusters in (0, 1, 1001):
        with pytest.raises(ConfigError, match="self-labels"):
            self_labels(images, clusters, extractor="pixels")
    with pytest.raises(CorpusError, match="too few") as caught:
        self_labels(images, 6, extractor="pixels")
    assert caught.value.code == "corpus.too-small" and "at most 5" in caught.value.hint
    with pytest.raises(CorpusError, match="alike"):
        self_labels(np.zeros((20, 16, 16, 3), np.uint8), 2, extractor="pixels")
    with pytest.raises(UnknownNameError):
        self_labels(images, 2, extractor="dtc")


@pytest.fixture
def unlabelled(tmp_path):
    images, _ = shapes()
    for index, image in enumerate(images):
        write_image(tmp_path / "photos" / f"{index:03d}.png", image)
    return tmp_path / "photos"


def test_a_folder_without_labels_gets_classes(unlabelled, tmp_path, tiny_recipe):
    data = {"self_labels": 4, "self_label_features": "pixels", "holdout": 0.0, "mirror": False}
    path = train_generator(
        unlabelled, tmp_path / "run", recipe=tiny_recipe(data=data), name="mine", progress=False
    )
    card = read_card(path)
    assert card.trained["self_labels"]["sizes"] == [20, 20, 20, 20]
    assert "purity" not in card.trained["self_labels"]
    generator = load_generator(path)
    assert generator.classes == tuple(f"cluster-{i}" for i in range(4))
    by_cluster = [generator.sample(2, seed=3, condition=c) for c in generator.classes]
    assert not np.array_equal(by_cluster[0], by_cluster[1])


def test_true_labels_only_measure(unlabelled, tiny_recipe):
    folders = unlabelled.parent / "sorted"
    for index, path in enumerate(sorted(unlabelled.iterdir())):
        target = folders / f"group{index // 20}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    options = tiny_recipe(data={"self_labels": 4, "holdout": 0.0}).data
    pictures, found = label_pictures(load_pictures(folders, size=16, options=options), 4, extractor="pixels")
    assert found.agreement["nmi"] == pytest.approx(1)
    assert pictures.classes == found.names and pictures.heldout_labels is None
