"""Generators that start from an image, through ``cm.generate`` and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import countermark as cm
from countermark.app.verify import verify
from countermark.cli import run
from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, ImageError
from countermark.core.images import read_image, write_image


@pytest.fixture
def doodle(tmp_path: Path) -> Path:
    page = np.full((150, 120, 3), 255, np.uint8)
    page[30:34, 20:100] = page[120:124, 20:100] = 0
    page[30:124, 20:24] = page[30:124, 96:100] = 0
    return write_image(tmp_path / "doodle.png", page)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[0:220, 0:240]
    noise = np.random.default_rng(0).normal(0, 8, (220, 240))
    pixels = np.stack([rows + noise, columns + noise, 255 - rows + noise], -1)
    return write_image(tmp_path / "photograph.png", np.clip(pixels, 0, 255).astype(np.uint8))


def test_a_doodle_becomes_a_corpus(doodle: Path, tmp_path: Path) -> None:
    corpus = cm.generate("sketch-clothing-128", 2, out=tmp_path / "made", seed=4, condition=str(doodle))
    rows = list(corpus)
    assert [row.seed for _, row in rows] == ["4", "5"]
    assert all(row.label == "synthetic" and row.extra["condition"] == "doodle.png" for _, row in rows)
    one, two = (read_image(path).pixels for path, _ in rows)
    assert one.shape == (128, 128, 3) and (one != two).any()


def test_a_stylised_photograph_is_signed_as_a_composite_of_its_content(
    photograph: Path, tmp_path: Path
) -> None:
    style = write_image(
        tmp_path / "look.png", np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    )
    corpus = cm.generate(
        "style", 1, out=tmp_path / "made", condition=photograph, style=style, steps=2, side=64, sign=True
    )
    path, row = next(iter(corpus))
    assert row.label == "synthetic" and read_image(path).pixels.shape == (220, 240, 3)
    manifest = json.dumps(verify(path).manifest, default=str)
    assert "compositeWithTrainedAlgorithmicMedia" in manifest
    assert "photograph.png" in manifest and "parentOf" in manifest and "inputTo" in manifest


def test_a_small_image_is_enlarged_twice_or_four_times(photograph: Path, tmp_path: Path) -> None:
    for scale, factor in ((1, 2), (4, 4)):
        out = tmp_path / f"x{scale}"
        path, _ = next(iter(cm.generate("superres", 1, out=out, condition=photograph, scale=scale)))
        assert read_image(path).pixels.shape == (220 * factor, 240 * factor, 3)
    with pytest.raises(ConfigError) as error:
        cm.generate("superres", 1, out=tmp_path / "x3", condition=photograph, scale=3)
    assert error.value.code == "superres.scale" and not (tmp_path / "x3" / "metadata.csv").exists()


def test_any_generator_can_be_upscaled(tmp_path: Path) -> None:
    corpus = cm.generate("digits-32", 2, out=tmp_path / "large", upscale=4)
    assert {read_image(path).pixels.shape for path, _ in corpus} == {(128, 128, 3)}
    assert all(row.extra["upscaled"] == "4" for _, row in read_corpus(tmp_path / "large"))
    with pytest.raises(ConfigError):
        cm.generate("digits-32", 1, out=tmp_path / "other", upscale=3)


def test_options_of_another_generator_are_refused(tmp_path: Path, doodle: Path) -> None:
    with pytest.raises(ConfigError, match="style_weight"):
        cm.generate("digits-32", 1, out=tmp_path / "a", style_weight=3.0)
    with pytest.raises(ConfigError, match="style"):
        cm.generate("sketch-clothing-128", 1, out=tmp_path / "b", condition=doodle, style=doodle)
    with pytest.raises(ConfigError):
        cm.generate("sketch-clothing-128", 1, out=tmp_path / "c")
    with pytest.raises(ImageError):
        cm.generate("sketch-clothing-128", 1, out=tmp_path / "d", condition="no-such.png")


def test_the_commands_work(doodle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        "generate",
        "sketch-clothing-128",
        "-n",
        "1",
        "--out",
        str(tmp_path / "made"),
        "-c",
        str(doodle),
        "--json",
    ]
    assert run(made) == 0 and json.loads(capsys.readouterr().out)["images"] == 1
    assert run(["generate", "sketch-clothing-128", "--out", str(tmp_path / "none")]) != 0
    data = tmp_path / "data"
    for index in range(4):
        write_image(
            data / f"{index}.png", np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)
        )
    run_out = str(tmp_path / "run")
    train = [
        "train",
        "superres",
        str(data),
        "--out",
        run_out,
        "--images",
        "8",
        "--width",
        "4",
        "--blocks",
        "1",
    ]
    assert run([*train, "--json"]) == 0
    assert Path(run_out, "superres.safetensors").is_file()
    sketch = ["train", "sketch2image", str(data), "--out", str(tmp_path / "s"), "--images", "8"]
    assert run([*sketch, "--size", "32", "--width", "4"]) == 0
    assert run([*sketch, "--size", "33"]) != 0
