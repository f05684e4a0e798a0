"""The hook: a stand-in pipeline, one line, signed files, results unchanged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from countermark.core.errors import ProvenanceError
from countermark.core.images import read_image
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.hook import as_pixels, images_of, sign_outputs, sign_pixels, signed
from countermark.provenance.credentials.verification import verify_image


@dataclass
class Output:
    images: list


class Seeded:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def initial_seed(self) -> int:
        return self.seed


class Pipeline:
    """What a diffusers pipeline looks like from outside."""

    scheduler = "euler"

    def __call__(self, prompt, num_images=1, generator=None):
        noise = np.random.default_rng(3)
        made = noise.integers(0, 255, (num_images, 24, 32, 3), dtype=np.uint8)
        return Output([Image.fromarray(each) for each in made])


def prompt_of(path):
    manifest = verify_image(path).manifest
    return next(
        (each["data"] for each in manifest["assertions"] if each["label"] == "org.countermark.prompt"), None
    )


def test_one_line_signs_a_pipeline(tmp_path):
    pipe = sign_outputs(Pipeline(), tmp_path, generator="toy/1")
    result = pipe("a lighthouse", num_images=2, generator=[Seeded(5), Seeded(6)])
    assert isinstance(result, Output) and len(result.images) == 2
    assert pipe.scheduler == "euler"
    assert len(pipe.signed) == 2
    for number, (record, image) in enumerate(zip(pipe.signed, result.images, strict=True)):
        assert verify_image(record.path).state is State.TRUSTED
        np.testing.assert_array_equal(read_image(record.path).pixels, np.asarray(image))
        assert prompt_of(record.path) == {"prompt": "a lighthouse", "seed": 5 + number}


def test_same_pixels_twice_are_two_files(tmp_path):
    pipe = sign_outputs(Pipeline(), tmp_path)
    pipe("x")
    pipe("x")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_private_keeps_prompt_and_seed_out(tmp_path):
    pipe = sign_outputs(Pipeline(), tmp_path, private=True)
    pipe("a secret", generator=Seeded(1))
    assert prompt_of(pipe.signed[0].path) is None


def test_decorator_and_own_signer(tmp_path):
    seen = []

    def sign(pixels, destination, **facts):
        seen.append((pixels.shape, facts))
        return sign_pixels(pixels, destination, **facts)

    @signed(tmp_path, generator="toy/2", sign=sign)
    def make(prompt: str, seed: int = 0) -> np.ndarray:
        """Makes noise."""
        return np.random.default_rng(seed).random((16, 16, 3))

    assert make("p", seed=9).shape == (16, 16, 3)
    assert make.__doc__ == "Makes noise."
    assert seen == [((16, 16, 3), {"prompt": "p", "seed": 9, "generator": "toy/2"})]


def test_shapes_of_results():
    array = np.zeros((2, 4, 4, 3), np.uint8)
    assert len(images_of(array)) == 2
    assert len(images_of(array[0])) == 1
    assert len(images_of({"images": [array[0]]})) == 1
    assert len(images_of((array[0], array[1]))) == 2
    assert as_pixels(np.ones((4, 4))).tolist() == np.full((4, 4, 3), 255).tolist()
    assert as_pixels(np.zeros((4, 4, 4), np.uint8)).shape == (4, 4, 3)
    for bad in ("text", None, np.zeros((4, 4, 7), np.uint8), object()):
        with pytest.raises(ProvenanceError) as caught:
            as_pixels(bad)
        assert caught.value.code == "hook.image"
