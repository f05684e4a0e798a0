"""Embedding and reading: handling, keys, strength, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ProvenanceError
from countermark.core.perturb import perturb
from countermark.provenance import watermark

PAYLOAD = bytes.fromhex("5a313233343500ff")


def _static() -> np.ndarray:
    """Black and white at random: every pixel saturated, every carrier drowned."""
    dots = np.random.default_rng(4).integers(0, 2, (300, 300, 1), np.uint8) * 255
    return np.repeat(dots, 3, axis=2)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize(
    "spec", ["none", "jpeg:75", "jpeg:50", "webp:75", "noise:10", "blur:2", "gamma:1.4", "contrast:1.3"]
)
def test_the_fast_path_reads_through_changes_of_value(marked: np.ndarray, spec: str) -> None:
    reading = watermark.read(perturb(spec, marked), search=False)
    assert reading.payload == PAYLOAD
    assert reading.p_value <= 1e-9
    assert reading.searched == "fast"


@pytest.mark.parametrize("spec", ["resize:0.5", "crop:0.75", "screenshot", "rotate:5", "flip", "border"])
def test_the_search_reads_through_changes_of_geometry(marked: np.ndarray, spec: str) -> None:
    assert watermark.read(perturb(spec, marked), time_budget=None).payload == PAYLOAD


def test_other_pictures_carry_it_too(flower: np.ndarray, clouds: np.ndarray) -> None:
    for picture in (flower, clouds):
        done = watermark.embed(picture, PAYLOAD)
        assert psnr(done, picture) >= 39
        assert watermark.read(perturb("jpeg:75", done), search=False).payload == PAYLOAD


def test_the_change_is_small_and_the_source_untouched(photograph: np.ndarray, marked: np.ndarray) -> None:
    assert psnr(marked, photograph) >= 39
    before = photograph.copy()
    stronger = watermark.embed(photograph, PAYLOAD, strength=1.3)
    assert np.array_equal(before, photograph)
    assert psnr(stronger, photograph) < psnr(marked, photograph) + 0.1


def test_only_the_key_reads(photograph: np.ndarray) -> None:
    secret = watermark.embed(photograph, PAYLOAD, key=b"a secret of the studio")
    assert watermark.read(secret, key=b"a secret of the studio", search=False).payload == PAYLOAD
    assert watermark.read(secret, search=False).payload is None
    assert watermark.read(secret, key="another", search=False).payload is None


def test_two_payloads_differ(photograph: np.ndarray) -> None:
    other = bytes(8)
    assert watermark.read(watermark.embed(photograph, other), search=False).payload == other


def test_a_grey_picture_stays_grey(photograph: np.ndarray) -> None:
    grey = np.repeat(photograph.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    done = watermark.embed(grey, PAYLOAD)
    assert np.array_equal(done[..., 0], done[..., 1]) and np.array_equal(done[..., 1], done[..., 2])
    assert watermark.read(done, search=False).payload == PAYLOAD


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("watermark.bad-payload", {"payload": b"short"}),
        ("watermark.bad-payload", {"payload": "12345678"}),
        ("watermark.bad-strength", {"strength": 9.0}),
        ("watermark.bad-strength", {"strength": float("nan")}),
        ("watermark.bad-key", {"key": b""}),
        ("watermark.too-small", {"image": np.zeros((150, 900, 3), np.uint8)}),
        ("watermark.bad-image", {"image": np.zeros((300, 300), np.uint8)}),
        ("watermark.bad-image", {"image": np.zeros((300, 300, 3), np.float32)}),
        ("watermark.unreadable", {"image": _static()}),
    ],
)
def test_refusals_have_a_code(photograph: np.ndarray, code: str, change: dict) -> None:
    arguments = {"image": photograph, "payload": PAYLOAD, **change}
    image, payload = arguments.pop("image"), arguments.pop("payload")
    with pytest.raises(ProvenanceError) as caught:
        watermark.embed(image, payload, **arguments)
    assert caught.value.code == code


def test_unmarked_pictures_have_no_payload(photograph: np.ndarray, flower: np.ndarray) -> None:
    for picture in (photograph, flower, np.zeros((20, 30, 3), np.uint8), np.zeros((300, 300, 3), np.uint8)):
        reading = watermark.read(picture, search=False)
        assert reading.payload is None
        assert reading.p_value > 1e-4
