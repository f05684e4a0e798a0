"""Latents on disk: made once, taken up where they stopped, refused where they belong to something else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from countermark.core.autoencoder import CHANNELS
from countermark.core.errors import ConfigError, CorpusError, TrainingError
from countermark.generators.data.pictures import Pictures
from countermark.generators.latents import autoencoder, cache
from countermark.generators.latents.cache import encode_set


@pytest.fixture
def pictures() -> Pictures:
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (5, 4, 4, 3), np.uint8)
    images = small.repeat(8, axis=1).repeat(8, axis=2)
    return Pictures("five", images, None, (), images[:0], None)


def test_latents_are_those_of_the_encoder(pictures, tmp_path):
    found = encode_set(pictures, tmp_path / "latents")
    assert found.latents.shape == (5, 2, CHANNELS, 4, 4)
    once = encode_set(pictures, tmp_path / "once", mirror=False)
    assert once.latents.shape[1] == 1
    assert torch.equal(once.latents[:, 0], found.latents[:, 0])
    assert not torch.allclose(found.latents[:, 1], found.latents[:, 0].flip(3), atol=0.05)


def test_nothing_is_encoded_twice_and_a_lost_part_is_made_again(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PART", 2)
    folder = tmp_path / "latents"
    whole = encode_set(pictures, folder).latents
    lost = folder / "part-00001.safetensors"
    lost.unlink()
    kept = (folder / "part-00000.safetensors").stat().st_mtime_ns
    calls = []
    encode = autoencoder.encode
    monkeypatch.setattr(autoencoder, "encode", lambda *a: (calls.append(len(a[0])), encode(*a))[1])
    assert torch.equal(encode_set(pictures, folder).latents, whole)
    assert calls == [2, 2]
    assert (folder / "part-00000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"images": np.zeros((5, 32, 32, 3), np.uint8)}, "other pictures"),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, "another number of pictures"),
        ({"images": np.zeros((5, 64, 64, 3), np.uint8)}, "another size"),
    ],
)
def test_latents_of_other_pictures_are_refused_by_name(pictures, tmp_path, change, word):
    encode_set(pictures, tmp_path)
    with pytest.raises(CorpusError, match=word) as caught:
        encode_set(replace(pictures, name="six", **change), tmp_path)
    assert caught.value.code == "latents.foreign"
    assert "'five'" in caught.value.hint


def test_latents_of_another_autoencoder_are_refused_by_name(pictures, tmp_path):
    encode_set(pictures, tmp_path)
    index = tmp_path / "set.json"
    found = json.loads(index.read_text())
    index.write_text(json.dumps({**found, "autoencoder": "kl-f8 0123456789"}))
    with pytest.raises(CorpusError, match=r"another autoencoder: 'kl-f8 0123456789'"):
        encode_set(pictures, tmp_path)


def _broken(path: Path) -> None:
    path.write_bytes(b"\xff" * 100)


def _not_a_number(path: Path) -> None:
    found = load_file(path)["latents"].clone()
    found[0, 0, 0, 0, 0] = float("nan")
    save_file({"latents": found}, path)


def _too_large(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 100_000)


@pytest.mark.parametrize("damage", [_broken, _not_a_number, _too_large])
def test_a_damaged_part_is_refused(pictures, tmp_path, damage):
    encode_set(pictures, tmp_path)
    damage(tmp_path / "part-00000.safetensors")
    with pytest.raises(CorpusError, match="part-00000") as caught:
        encode_set(pictures, tmp_path)
    assert caught.value.code == "latents.damaged"


@pytest.mark.parametrize("text", ["", "[]", "{" * 40, "{}" + " " * 70_000])
def test_a_damaged_index_is_refused(pictures, tmp_path, text):
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(CorpusError) as caught:
        encode_set(pictures, tmp_path)
    assert caught.value.code == "latents.damaged"


def test_grey_pictures_and_odd_sides_are_refused(pictures, tmp_path):
    for images in (pictures.images[..., :1], pictures.images[:, :20, :20]):
        with pytest.raises(ConfigError):
            encode_set(replace(pictures, images=images), tmp_path)


def test_a_full_disk_is_told_and_loses_nothing(pictures, tmp_path, monkeypatch):
    from countermark.core.errors import OutputError

    monkeypatch.setattr(cache, "PART", 2)
    write, written = cache.atomic_write, []

    def full(path, data, **options):
        written.append(path)
        if len(written) > 2:
            raise OutputError("Cannot write: No space left on device.")
        return write(path, data, **options)

    monkeypatch.setattr(cache, "atomic_write", full)
    with pytest.raises(TrainingError) as caught:
        encode_set(pictures, tmp_path)
    assert caught.value.code == "training.disk"
    monkeypatch.setattr(cache, "atomic_write", write)
    assert len(encode_set(pictures, tmp_path).latents) == 5
