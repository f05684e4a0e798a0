"""One line that signs whatever a generation pipeline makes.

>>> pipe = sign_outputs(pipe, "signed/", generator="my-model/1")            # doctest: +SKIP
>>> result = pipe("a lighthouse", seed=7)        # as before, and signed files in signed/
>>> pipe.signed[-1].path                         # doctest: +SKIP
'signed/3f2a….png'

Works with any callable whose result is an image, a list of images, or an object with ``images``
(as diffusers pipelines return). An image is a Pillow image or an H x W x 3 array, uint8 or float
in [0, 1]. Also a decorator: ``@signed("signed/", generator="my-model/1")``.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_path, sha256_bytes
from countermark.core.images import encode_image
from countermark.core.results import SignedImage
from countermark.provenance.credentials.options import SIGNING, check_options
from countermark.provenance.credentials.signing import sign_bytes

SignPixels = Callable[..., SignedImage]


class SignedPipeline:
    """A pipeline whose outputs are signed. Everything else is the pipeline's own.

    Attributes:
        signed: Records of the last call, one for each image.
    """

    def __init__(
        self,
        pipeline: Callable[..., Any],
        out: Path | str,
        *,
        sign: SignPixels | None = None,
        private: bool = False,
        **options: Any,
    ) -> None:
        if sign is None:  # before the pipeline has run for an hour
            check_options("sign_outputs", options, "identity", "limits", known=SIGNING - {"sidecar", "title"})
        self._pipeline = pipeline
        self._out = Path(out)
        self._sign = sign or sign_pixels
        self._private = private
        self._options = options
        self.signed: list[SignedImage] = []
        functools.update_wrapper(self, pipeline, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._pipeline(*args, **kwargs)
        facts = {} if self._private else _facts(self._pipeline, args, kwargs)
        self.signed = []
        for number, image in enumerate(images_of(result)):
            pixels = as_pixels(image)
            name = hashlib.sha256(pixels.tobytes() + str(pixels.shape).encode()).hexdigest()[:24]
            given = {**facts, **self._options}
            seeds = given.get("seed")
            if isinstance(seeds, list):
                given["seed"] = seeds[number] if number < len(seeds) else None
            self.signed.append(self._sign(pixels, _free(self._out, name), **given))
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


def sign_outputs(pipeline: Callable[..., Any], out: Path | str, **options: Any) -> SignedPipeline:
    """Wraps a pipeline so that every image it returns is also written, signed, into ``out``.

    Args:
        pipeline: Any callable that returns images.
        out: Folder of the signed files; a file's name comes from its pixels.
        options: ``sign`` (a callable ``(pixels, destination, **facts) -> SignedImage``, to
            watermark and record as well), ``private=True`` (keep prompt and seed out), and what
            ``sign_bytes`` takes, such as ``identity``, ``generator`` and ``model``.
    """
    return SignedPipeline(pipeline, out, **options)


def signed(out: Path | str, **options: Any) -> Callable[[Callable[..., Any]], SignedPipeline]:
    """``sign_outputs`` as a decorator."""

    def decorate(function: Callable[..., Any]) -> SignedPipeline:
        return SignedPipeline(function, out, **options)

    return decorate


def sign_pixels(pixels: np.ndarray, destination: Path, **options: Any) -> SignedImage:
    """Encodes uint8 RGB pixels (H x W x 3) as PNG, signs and writes them; never overwrites."""
    result = sign_bytes(encode_image(pixels, "png"), title=destination.name, **options)
    with atomic_path(destination) as temporary:
        temporary.write_bytes(result.data)
    return SignedImage(
        source="pipeline",
        path=str(destination),
        sha256=sha256_bytes(result.data),
        manifest_id=result.manifest_id,
        identity=result.identity,
        payload=None,
        notes=result.notes,
    )


def images_of(result: Any) -> list[Any]:
    """The images in what a pipeline returned."""
    found = getattr(result, "images", result)
    if isinstance(found, dict):
        found = found.get("images", found.get("image"))
    if isinstance(found, np.ndarray):
        return list(found) if found.ndim == 4 else [found]
    if isinstance(found, (list, tuple)):
        return list(found)
    return [found]


def as_pixels(image: Any) -> np.ndarray:
    """uint8 RGB, H x W x 3, from a Pillow image or an array (uint8, or float in [0, 1]).

    Raises:
        ProvenanceError: ``hook.image`` for anything else.
    """
    if hasattr(image, "convert"):
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype.kind not in "uf":
        raise ProvenanceError(
            f"The pipeline returned {type(image).__name__}, which is no image that can be signed.",
            code="hook.image",
            hint="Return Pillow images or H x W x 3 arrays (output_type='pil' or 'np').",
        )
    if array.dtype.kind == "f":
        array = np.rint(np.clip(array, 0.0, 1.0) * 255.0)
    return np.ascontiguousarray(array[..., :3].astype(np.uint8))


def _facts(pipeline: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Prompt and seed of a call, where they can be told."""
    try:
        bound = dict(inspect.signature(pipeline).bind_partial(*args, **kwargs).arguments)
        bound |= bound.pop("kwargs", {}) if isinstance(bound.get("kwargs"), dict) else {}
    except (TypeError, ValueError):
        bound = dict(kwargs)
    facts: dict[str, Any] = {}
    prompt = bound.get("prompt")
    if isinstance(prompt, str):
        facts["prompt"] = prompt
    seed = bound.get("seed")
    source: Any = bound.get("generator")
    if seed is None and hasattr(source, "initial_seed"):
        seed = source.initial_seed()
    elif seed is None and isinstance(source, (list, tuple)):
        seed = [each.initial_seed() for each in source if hasattr(each, "initial_seed")] or None
    if isinstance(seed, (int, str, list)):
        facts["seed"] = seed
    return facts


def _free(folder: Path, name: str) -> Path:
    """The first free file name: the same pixels may be made twice."""
    path, number = folder / f"{name}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.png"
    return path
