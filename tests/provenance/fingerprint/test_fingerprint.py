"""Fingerprints: robust to handling, apart for different pictures, the same as the reference library."""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.datasets import load_sample_images

from countermark.core.errors import ProvenanceError
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.provenance import fingerprint as fp


def picture(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    """A synthetic picture with structure at several scales."""
    draw = rng(seed, "picture")
    layers = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24):
        grid = draw.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (60 / cells**0.5)
    return np.clip(128 + layers, 0, 255).astype(np.uint8)


PICTURES = [picture(k) for k in range(12)] + [np.asarray(i) for i in load_sample_images().images]


@pytest.mark.parametrize("spec", ["jpeg:50", "jpeg:30", "resize:0.5", "screenshot", "webp:50", "blur:1.5"])
def test_handling_stays_within_the_distance(spec: str) -> None:
    for image in PICTURES:
        copy = perturb(spec, image)
        assert fp.distance(fp.fingerprint(image), fp.fingerprint(copy)) <= fp.MAX_DISTANCE


def test_different_pictures_are_far_apart() -> None:
    hashes = [fp.fingerprint(image) for image in PICTURES]
    apart = [fp.distance(a, b) for k, a in enumerate(hashes) for b in hashes[:k]]
    assert min(apart) > 2 * fp.MAX_DISTANCE


def test_the_bits_are_those_of_the_reference_library() -> None:
    for image in PICTURES[-2:]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        expected = imagehash.phash(Image.fromarray(grey), hash_size=16, highfreq_factor=4).hash
        ours = np.unpackbits(np.frombuffer(fp.fingerprint(image), np.uint8))
        # The library reduces with Lanczos, we with area averaging: a few bits near the median differ.
        assert np.count_nonzero(ours != expected.ravel()) <= 8


@pytest.mark.parametrize("spec", ["crop:0.75", "crop:0.85", "crop:0.65"])
def test_a_crop_is_near_one_of_the_regions_and_lies_on_the_sketch(spec: str) -> None:
    for k, image in enumerate(PICTURES):
        copy = perturb(spec, image, rng(k, spec))
        near = np.bitwise_count(fp.region_hashes(image) ^ np.uint64(fp.content_hash(copy))).min()
        assert near <= 16
        found = fp.compare(fp.sketch(image), copy)
        assert found.confirmed and found.overlap < 0.95


@pytest.mark.parametrize(
    "spec, turned",
    [("flip", "mirrored"), ("rotate:90", "270"), ("rotate:180", "180"), ("rotate:270", "90")],
)
def test_turned_copies_are_confirmed_and_named(spec: str, turned: str) -> None:
    image = PICTURES[0]
    copy = perturb(spec, image)
    assert not fp.compare(fp.sketch(image), copy).confirmed
    found = fp.compare(fp.sketch(image), copy, turns=True)
    assert found.confirmed and found.turned == turned


def test_other_pictures_are_not_confirmed() -> None:
    chosen = [*PICTURES[:3], *PICTURES[-2:]]
    sketches = [fp.sketch(image) for image in chosen]
    for k, image in enumerate(chosen):
        others = [fp.compare(s, image, turns=True).score for j, s in enumerate(sketches) if j != k]
        assert max(others) < fp.CONFIRMED


def test_flat_pictures_confirm_nothing() -> None:
    white, grey = np.full((64, 80, 3), 255, np.uint8), np.full((64, 80, 3), 90, np.uint8)
    assert not fp.compare(fp.sketch(white), grey).confirmed
    assert not fp.compare(fp.sketch(white), PICTURES[0]).confirmed
    assert not fp.compare(fp.sketch(PICTURES[0]), white).confirmed


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))), st.booleans())
def test_any_size_gives_a_fingerprint_and_a_sketch(image: np.ndarray, turns: bool) -> None:
    assert len(fp.fingerprint(image)) == fp.BYTES
    assert fp.region_hashes(image).shape == (fp.REGIONS,)
    score = fp.compare(fp.sketch(PICTURES[1]), image, turns=turns).score
    assert -1.001 <= score <= 1.001


@pytest.mark.parametrize("shape, dtype", [((8, 8), np.uint8), ((8, 8, 4), np.uint8), ((8, 8, 3), np.float32)])
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ProvenanceError, match="uint8 RGB"):
        fp.fingerprint(np.zeros(shape, dtype))


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(ProvenanceError) as caught:
        fp.distance(bytes(32), bytes(31))
    assert caught.value.code == "fingerprint.length"
    with pytest.raises(ProvenanceError) as caught:
        fp.compare(bytes(10), PICTURES[0])
    assert caught.value.code == "sketch.length"


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_distance_is_a_metric(one: bytes, other: bytes) -> None:
    expected = sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))
    assert fp.distance(one, other) == fp.distance(other, one) == expected
