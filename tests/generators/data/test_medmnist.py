"""MedMNIST files: read, never fetched unasked, damaged ones named."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import CorpusError, MissingExtraError, UnknownNameError
from countermark.core.files import HOME_VARIABLE
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.presets import load_preset


def _medmnist(path, size=28, dtype=np.uint8):
    path.parent.mkdir(parents=True)
    draws = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = draws.integers(0, 256, (10, size, size, 3)).astype(dtype)
        arrays[f"{split}_labels"] = (np.arange(10) % 8)[:, None].astype(np.uint8)
    np.savez(path, **arrays)


def test_medmnist_is_read_with_its_class_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    _medmnist(tmp_path / "home" / "medmnist" / "bloodmnist.npz")
    options = load_preset("medical").recipe_for("medmnist:bloodmnist").data
    pictures = load_pictures("medmnist:bloodmnist", size=32, options=options)
    assert len(pictures) + len(pictures.heldout) == 30
    assert "platelet" in pictures.classes and pictures.images.shape[1:] == (32, 32, 3)


def test_medmnist_is_not_downloaded_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with pytest.raises(CorpusError, match="nothing is downloaded unless you ask") as caught:
        load_pictures("medmnist:bloodmnist", size=32)
    assert caught.value.code == "corpus.missing"
    with pytest.raises(UnknownNameError, match="Did you mean 'bloodmnist'"):
        load_pictures("medmnist:bloodmnst", size=32)
    monkeypatch.setitem(__import__("sys").modules, "medmnist", None)
    with pytest.raises(MissingExtraError, match="medmnist"):
        load_pictures("medmnist:bloodmnist", size=32, options=DataConfig(download=True))


@pytest.mark.parametrize("damage", ["text", "floats", "missing"])
def test_a_damaged_medmnist_file_is_named(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    path = tmp_path / "home" / "medmnist" / "pathmnist.npz"
    _medmnist(path, dtype=np.float32 if damage == "floats" else np.uint8)
    if damage == "text":
        path.write_bytes(b"no archive")
    if damage == "missing":
        np.savez(path, train_images=np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(CorpusError, match="not a MedMNIST file"):
        load_pictures("medmnist:pathmnist", size=32)
