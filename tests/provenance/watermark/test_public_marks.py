"""Known public marks: read where the reference encoder put them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.provenance import watermark
from countermark.provenance.watermark.public_marks import SDXL_MESSAGE


@pytest.fixture
def encoder() -> object:
    return pytest.importorskip("imwatermark").WatermarkEncoder()


@pytest.mark.parametrize(("name", "text"), [("StableDiffusionV1", b"StableDiffusionV1"), ("SDV2", b"SDV2")])
def test_reference_texts_are_read(photograph: np.ndarray, encoder: object, name: str, text: bytes) -> None:
    encoder.set_watermark("bytes", text)
    done = encoder.encode(np.ascontiguousarray(photograph[..., ::-1]), "dwtDct")[..., ::-1]
    found = watermark.read_public(np.ascontiguousarray(done))
    assert [mark.name for mark in found] == [name]
    assert found[0].p_value <= 1e-6
    assert not found[0].swapped


@pytest.mark.parametrize("swapped", [False, True])
def test_the_sdxl_message_is_read_in_either_channel_order(
    photograph: np.ndarray, encoder: object, swapped: bool
) -> None:
    encoder.set_watermark("bits", [int(bit) for bit in f"{SDXL_MESSAGE:048b}"])
    source = photograph if swapped else photograph[..., ::-1]
    done = encoder.encode(np.ascontiguousarray(source), "dwtDct")
    found = watermark.read_public(np.ascontiguousarray(done if swapped else done[..., ::-1]))
    assert found[0].name == "SDXL"
    assert found[0].swapped == swapped


def test_bits_agree_with_the_reference_decoder(photograph: np.ndarray) -> None:
    reference = pytest.importorskip("imwatermark").WatermarkDecoder("bits", 48)
    from countermark.provenance.watermark.public_marks import _bits, _votes

    expected = np.array(reference.decode(np.ascontiguousarray(photograph[..., ::-1]), "dwtDct"))
    assert np.array_equal(_bits(_votes(photograph), 48), expected.astype(bool))


def test_unmarked_pictures_have_no_public_mark(
    photograph: np.ndarray, flower: np.ndarray, marked: np.ndarray, clouds: np.ndarray
) -> None:
    gradient = np.repeat(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 300, 0), 3, 2)
    for picture in (photograph, flower, marked, clouds, gradient, np.zeros((10, 10, 3), np.uint8)):
        assert watermark.read_public(picture) == ()
