"""Marking: the file keeps its alpha, colour profile and kind of compression."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from countermark.app.marking import encode_like, mark
from countermark.core.images import encode_image, read_image


def picture() -> np.ndarray:
    coarse = np.random.default_rng(5).normal(128, 50, (12, 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (320, 256), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize(("lossless", "chunk"), [(True, b"VP8L"), (False, b"VP8 ")])
def test_webp_stays_lossy_or_lossless(lossless: bool, chunk: bytes) -> None:
    image = read_image(saved(Image.fromarray(picture()), "WEBP", lossless=lossless))
    assert chunk in encode_like(image, image.pixels, "webp")[:64]
    png = read_image(encode_image(picture(), "png"))
    assert b"VP8L" in encode_like(png, png.pixels, "webp")[:64]


@pytest.mark.parametrize("format", ["png", "webp", "avif", "tiff"])
def test_alpha_and_profile_are_kept(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    layered = Image.fromarray(picture()).convert("RGBA")
    layered.putalpha(Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 320))))
    image = read_image(saved(layered, "PNG", icc_profile=profile))
    with Image.open(io.BytesIO(encode_like(image, image.pixels, format))) as written:
        assert written.mode == "RGBA"
        gap = np.abs(np.asarray(written.getchannel("A"), int) - np.asarray(layered.getchannel("A"), int))
        assert gap.mean() < 2
    plain = read_image(saved(Image.fromarray(picture()), "PNG", icc_profile=profile))
    with Image.open(io.BytesIO(encode_like(plain, plain.pixels, format))) as written:
        assert written.info.get("icc_profile") == profile


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff"])
def test_every_markable_format_carries_a_readable_mark(format: str) -> None:
    from countermark.provenance import watermark

    image = read_image(encode_image(picture(), "png"))
    marked = mark(image, format, payload=b"8 bytes!", strict=True)
    assert watermark.read(read_image(marked.data).pixels).payload == b"8 bytes!"
    assert marked.psnr is not None and marked.psnr > 30
