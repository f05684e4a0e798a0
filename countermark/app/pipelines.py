"""Pipelines: one line marks, signs and records whatever a generation pipeline makes.

>>> from countermark.app.pipelines import sign_outputs
>>> pipe = sign_outputs(pipe, "signed/", generator="my-model/1")   # doctest: +SKIP
>>> images = pipe("a lighthouse", seed=7).images                   # doctest: +SKIP
>>> pipe.signed[-1].path, pipe.signed[-1].payload                  # doctest: +SKIP

For any callable that returns an image, a list of images, or an object with ``images``, as
diffusers pipelines do. The pipeline's result is returned as it is; the signed copies are files.
``countermark.provenance.credentials.hook`` does the same without mark and record.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from countermark.app.sign import OPTIONS, sign
from countermark.core.arguments import refuse_unknown
from countermark.core.files import atomic_write
from countermark.core.images import encode_image
from countermark.core.results import SignedImage
from countermark.provenance.credentials import hook
from countermark.provenance.credentials.hook import SignedPipeline


def sign_outputs(
    pipeline: Callable[..., Any],
    out: Path | str,
    *,
    watermark: bool = True,
    record: bool = True,
    private: bool = False,
    **options: Any,
) -> SignedPipeline:
    """Wraps a pipeline so that each of its images is also written to ``out``: marked, signed, recorded.

    Args:
        pipeline: Any callable that returns images.
        out: Folder of the signed PNG files; a file's name comes from its pixels.
        watermark: Embed an identifier into the pixels of the file.
        record: Keep it in the manifest repository.
        private: Leave prompt and seed out of the credential.
        options: For ``countermark.sign``: ``identity``, ``generator``, ``model``, ``repository`` …

    Raises:
        TypeError: An option is not known.
    """
    refuse_unknown("sign_outputs", options, OPTIONS)

    def sign_pixels(pixels: np.ndarray, destination: Path, **facts: Any) -> SignedImage:
        return _sign_pixels(pixels, destination, watermark=watermark, record=record, **facts)

    return hook.sign_outputs(pipeline, out, sign=sign_pixels, private=private, **options)


def signed(out: Path | str, **options: Any) -> Callable[[Callable[..., Any]], SignedPipeline]:
    """``sign_outputs`` as a decorator."""
    return lambda function: sign_outputs(function, out, **options)


def _sign_pixels(pixels: np.ndarray, destination: Path, **options: Any) -> SignedImage:
    """Signs uint8 RGB pixels (H x W x 3) into a PNG file."""
    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        made = atomic_write(Path(folder) / "made.png", encode_image(pixels, "png"))
        return sign(made, destination, **options)
