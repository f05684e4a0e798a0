"""The learned watermark: shapes, gradients, a tiny batch learned by heart, its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from countermark.core.errors import WeightsError
from countermark.provenance.watermark.neural import augment, train
from countermark.provenance.watermark.neural.networks import BITS, LARGEST, Decoder, Encoder, embed, read


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [(128, 128), (90, 211)])
def test_any_size_is_marked_within_the_limit(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    marked = embed(Encoder(), images, torch.ones(2, BITS))
    assert marked.shape == images.shape
    assert float((marked - images).detach().abs().max()) <= LARGEST + 1e-6
    assert read(Decoder(), marked).shape == (2, BITS)


def test_the_message_changes_the_mark() -> None:
    encoder, images = Encoder(), torch.rand(1, 3, 128, 128)
    one, other = (embed(encoder, images, torch.full((1, BITS), value)) for value in (0.0, 1.0))
    assert float((one - other).abs().max()) > 1e-4


@pytest.mark.parametrize("name", ["recode", "noise", "blur", "tone", "geometry", "shrink"])
def test_handling_keeps_shape_and_passes_gradients(name: str) -> None:
    images = torch.rand(2, 3, 64, 72, requires_grad=True)
    done = getattr(augment, name)(images, torch.Generator().manual_seed(1), 1.0)
    assert done.shape == images.shape
    assert not torch.equal(done, images)
    done.square().sum().backward()
    assert images.grad is not None and float(images.grad.abs().sum()) > 0


def test_recoding_with_a_fine_step_changes_little() -> None:
    images = torch.rand(1, 3, 64, 64)
    done = augment.recode(images, torch.Generator().manual_seed(1), 0.0)
    assert float((done - images).abs().mean()) < 8 / 255


def test_a_tiny_batch_is_learned_by_heart() -> None:
    trainer = train.Trainer(Encoder(), Decoder(), rate=3e-3)
    images, messages = torch.rand(1, 3, 128, 128), torch.randint(0, 2, (1, BITS)).float()
    before, _ = trainer.step(images, messages)
    for _ in range(12):
        after, accuracy = trainer.step(images, messages)
    assert after < before / 3
    assert accuracy > 0.9


def test_the_recipe_runs_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for index in range(2 * train.HELD_OUT):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / f"{index}.png")
    out = tmp_path / "out" / "neural.safetensors"
    out.parent.mkdir()
    for _ in range(2):
        train.main([str(tmp_path), "--out", str(out), "--minutes", "0.001", "--batch", "2"])
    assert '"psnr"' in capsys.readouterr().out
    encoder, decoder = train.load_weights(out)
    assert (encoder.side, decoder.side) == (128, 128)


def test_bits_and_size_are_kept_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    before = (Encoder(32, 64), Decoder(32, 64))
    train.save_weights(*before, path)
    after = train.load_weights(path)
    images, message = torch.rand(1, 3, 80, 90), torch.ones(1, 32)
    marked = [embed(encoder, images, message) for encoder in (before[0], after[0])]
    assert torch.equal(*marked)
    logits = [read(decoder, marked[0]) for decoder in (before[1], after[1])]
    assert logits[0].shape == (1, 32) and torch.equal(*logits)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no tensors at all")
    with pytest.raises(WeightsError):
        train.load_weights(path)
    with pytest.raises(SystemExit):
        train.main([str(tmp_path), "--out", str(tmp_path / "y"), "--minutes", "0.001"])
