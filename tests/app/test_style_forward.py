"""Style in one pass, from training to a signed composite, through ``cm.generate`` and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import countermark as cm
from countermark.app.verify import verify
from countermark.cli import run
from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError
from countermark.core.images import read_image, write_image


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style network of a few steps, trained by the command on filters, which need no package."""
    root = tmp_path_factory.mktemp("style")
    draws = np.random.default_rng(0)
    for index in range(5):
        for folder in ("content", "styles"):
            write_image(root / folder / f"{index}.png", draws.integers(0, 256, (48, 56, 3), np.uint8))
    train = ["train", "style", str(root / "content"), str(root / "styles"), "--out", str(root / "run")]
    assert run([*train, "--encoder", "filters", "--width", "4", "--side", "32", "--images", "8"]) == 0
    return root / "run" / "style-adain.safetensors"


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    rows, columns = np.mgrid[0:220, 0:230]
    noise = np.random.default_rng(0).normal(0, 8, (220, 230))
    scene = np.stack([rows + noise, columns + noise, 255 - rows + noise], -1)
    looks = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    return {
        "photo": write_image(tmp_path / "photo.png", np.clip(scene, 0, 255).astype(np.uint8)),
        "one": write_image(tmp_path / "one.png", looks[0]),
        "two": write_image(tmp_path / "two.png", looks[1]),
    }


@pytest.mark.parametrize("method", ["optimised", "forward"])
def test_both_methods_give_a_synthetic_composite_signed_with_its_ingredients(
    method: str, trained: Path, pictures: dict[str, Path], tmp_path: Path
) -> None:
    model, options = ("style", {"steps": 2, "side": 64}) if method == "optimised" else (str(trained), {})
    corpus = cm.generate(
        model,
        1,
        out=tmp_path / "made",
        condition=pictures["photo"],
        style=[pictures["one"], pictures["two"]],
        mix=(2.0, 1.0),
        sign=True,
        **options,
    )
    path, row = next(iter(corpus))
    assert row.label == "synthetic" and row.extra["condition"] == "photo.png"
    assert read_image(path).pixels.shape == (220, 230, 3)
    found = verify(path)
    assert found.state in ("trusted", "intact")
    manifest = json.dumps(found.manifest, default=str)
    assert "compositeWithTrainedAlgorithmicMedia" in manifest
    assert all(name in manifest for name in ("photo.png", "one.png", "two.png"))
    assert manifest.count("parentOf") >= 1 and "inputTo" in manifest


def test_the_command_mixes_styles_and_refuses_what_does_not_fit(
    trained: Path, pictures: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["generate", str(trained), "-n", "1", "-c", str(pictures["photo"]), "--json"]
    two = ["--style", str(pictures["one"]), "--style", str(pictures["two"])]
    assert run([*made, *two, "--mix", "3", "--mix", "1", "--alpha", "0.7", "--out", str(tmp_path / "a")]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert next(iter(read_corpus(tmp_path / "a")))[1].label == "synthetic"
    assert run([*made, *two, "--mix", "3", "--out", str(tmp_path / "b")]) != 0
    assert run([*made, *two, "--steps", "3", "--out", str(tmp_path / "c")]) != 0
    with pytest.raises(ConfigError):
        cm.generate(str(trained), 1, out=tmp_path / "d", condition=pictures["photo"])


def test_a_generator_grows_by_the_command_and_samples_as_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "large"
    draws = np.random.default_rng(0)
    for index in range(20):
        write_image(folder / str(index % 10) / f"{index}.png", draws.integers(0, 256, (64, 64, 3), np.uint8))
    grow = ["train", "grow", "digits-32", str(folder), "--out", str(tmp_path / "run"), "--factor", "2"]
    small = ["--images", "16", "--width", "8", "--blocks", "1", "--name", "own"]
    assert run([*grow, *small]) == 0
    capsys.readouterr()
    made = ["generate", str(tmp_path / "run" / "own.safetensors"), "-n", "2", "-c", "7"]
    assert run([*made, "--out", str(tmp_path / "made"), "--json"]) == 0
    rows = list(read_corpus(tmp_path / "made"))
    assert {read_image(path).pixels.shape for path, _ in rows} == {(64, 64, 3)}
    assert all(row.extra["condition"] == "7" and row.extra["family"] == "grown" for _, row in rows)
