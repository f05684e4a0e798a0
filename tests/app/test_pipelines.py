"""The hook of the whole loop: what a pipeline returns is marked, signed and recorded, results untouched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from countermark.app.pipelines import sign_outputs, signed
from countermark.app.verify import verify
from countermark.core.images import read_image, write_image
from countermark.core.results import VerificationState as State
from countermark.provenance.repository import Repository, open_repository


@dataclass
class Output:
    images: list[Image.Image]


class Pipeline:
    """What a diffusers pipeline looks like from outside."""

    def __call__(self, prompt: str, num_images: int = 1, seed: int = 0) -> Output:
        draw = np.random.default_rng(seed)
        return Output([Image.fromarray(_picture(draw)) for _ in range(num_images)])


def _picture(draw: np.random.Generator) -> np.ndarray:
    coarse = draw.normal(128, 60, (12, 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (384, 320), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + draw.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    return open_repository(f"sqlite:///{tmp_path}/manifests.db")


def test_one_line_marks_signs_and_records(tmp_path: Path, repository: Repository) -> None:
    pipe = sign_outputs(Pipeline(), tmp_path / "signed", generator="toy/1", repository=repository)
    result = pipe("a lighthouse", num_images=2, seed=4)
    assert len(result.images) == len(pipe.signed) == len(repository) == 2
    for image, record in zip(result.images, pipe.signed, strict=True):
        assert verify(record.path, repository=repository).state is State.TRUSTED
        assert record.payload is not None and record.recorded
        written = read_image(record.path).pixels
        assert 0 < np.abs(written.astype(int) - np.asarray(image)).mean() < 4  # the mark is in the file only
        stripped = write_image(tmp_path / f"{Path(record.path).stem}.jpg", written, quality=60)
        found = verify(stripped, repository=repository)
        assert found.state is State.RECOVERED and found.mark is not None
        assert found.mark.payload == record.payload


def test_mark_and_record_can_be_left_out(tmp_path: Path, repository: Repository) -> None:
    @signed(tmp_path / "signed", watermark=False, record=False, private=True, repository=repository)
    def make(prompt: str) -> np.ndarray:
        return _picture(np.random.default_rng(1))

    made = make("a secret")
    (record,) = make.signed
    np.testing.assert_array_equal(read_image(record.path).pixels, made)
    assert record.payload is None and not record.recorded and len(repository) == 0
    assert b"a secret" not in Path(record.path).read_bytes()
