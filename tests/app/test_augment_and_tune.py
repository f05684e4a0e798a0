"""Presets, self-labels, augmentation and tuning as users meet them: through app and command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from countermark.app.augment import augment
from countermark.app.train import train
from countermark.app.tune import tune
from countermark.cli import run
from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, CorpusError, OutputError, UnknownNameError
from countermark.core.images import read_image, write_image
from countermark.core.weights import read_card
from countermark.generators import load_generator
from countermark.generators.recipes.schema import load_recipe
from countermark.generators.reward import TuningSettings

QUICK = TuningSettings(steps=4, every=2, readings=40, classifier_steps=20, extractor="dct", batch=16)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Ten of each digit, in class folders."""
    root, seen, data = tmp_path_factory.mktemp("digits"), dict.fromkeys(range(10), 0), load_digits()
    for image, target in zip(data.images, data.target, strict=True):
        if seen[target] < 10:
            large = np.kron((image * 15.9).astype(np.uint8), np.ones((4, 4), np.uint8))
            write_image(root / str(target) / f"{seen[target]}.png", np.repeat(large[..., None], 3, axis=2))
            seen[target] += 1
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of unequal size, one of whose files is damaged."""
    root, draws = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, level, count in (("dark", 60, 16), ("light|", 190, 8)):
        for index in range(count):
            pixels = np.clip(draws.normal(level, 20, (20, 20, 3)), 0, 255).astype(np.uint8)
            write_image(root / name / f"{index}.png", pixels)
    (root / "dark" / "broken.png").write_bytes(b"nothing")
    return root


def test_augment_levels_the_classes_and_reports(folder, tmp_path):
    done = augment(folder, tmp_path / "out", size=16, images=64, seeds=2, shares=(1.0,), classifier_steps=20)
    assert done.counts == {"dark": 16, "light|": 8} and done.added == {"dark": 0, "light|": 8}
    corpus = read_corpus(tmp_path / "out")
    assert len(corpus) == 8 and {r.extra["condition"] for r in corpus.rows} == {"light|"}
    assert read_image(corpus.paths[0]).pixels.shape == (16, 16, 3)
    record = json.loads((tmp_path / "out" / "augmentation.json").read_text())
    assert record["report"]["schema"] == "countermark.augmentation/1"
    assert isinstance(record["report"]["helped"], bool) and record["sentence"].startswith(
        "Added 8 images to 24"
    )
    text = (tmp_path / "out" / "augmentation.md").read_text()
    assert "| 100% | yes |" in text and "light&#124;" in text and "light|" not in text
    with pytest.raises(OutputError, match="already holds"):
        augment(folder, tmp_path / "out")


def test_augment_goes_on_where_it_was_stopped(folder, tmp_path):
    options = {"size": 16, "images": 32, "measured": False, "classifier_steps": 5, "minutes": 10}
    out = tmp_path / "out"
    augment(folder, out, **options)
    (weights,) = (
        path for path in (out / "model").glob("*.safetensors") if path.name != "checkpoint.safetensors"
    )
    before = weights.read_bytes()
    for name in ("augmentation.json", "augmentation.md", "metadata.csv"):  # as if stopped before its pictures
        (out / name).unlink()
    with pytest.raises(OutputError, match="already holds"):
        augment(folder, out, **options)
    for path in list(out.rglob("*.png")):
        if "model" not in path.parts:
            path.unlink()
    augment(folder, out, **options, resume=True)
    assert weights.read_bytes() == before and read_corpus(out)


class Stopped(Exception):
    """As if the machine went off."""


def test_augment_stopped_while_it_compares_and_while_it_writes_goes_on(folder, tmp_path, monkeypatch):
    from countermark.generators.augmentation import benefit, filling

    options = {"size": 16, "images": 32, "seeds": 3, "shares": (1.0,), "classifier_steps": 5}
    whole = augment(folder, tmp_path / "whole", **options)
    out = tmp_path / "out"
    measured: list[int] = []
    one_split = benefit._one_split

    def counted(number, *rest):
        if len(measured) == 2:
            raise Stopped
        measured.append(number)
        return one_split(number, *rest)

    monkeypatch.setattr(benefit, "_one_split", counted)
    with pytest.raises(Stopped):
        augment(folder, out, **options)
    with pytest.raises(OutputError, match="stopped") as caught:
        augment(folder, out, **options)
    assert "--resume" in caught.value.hint
    monkeypatch.setattr(
        benefit, "_one_split", lambda number, *rest: (measured.append(number), one_split(number, *rest))[1]
    )
    written: list[str] = []
    write = filling.atomic_write

    def full(path, data, **more):
        if len(written) == 5:
            raise Stopped
        written.append(str(path))
        return write(path, data, **more)

    monkeypatch.setattr(filling, "atomic_write", full)
    with pytest.raises(Stopped):
        augment(folder, out, **options, resume=True)
    assert measured == [0, 1, 2], "no split is measured twice"
    monkeypatch.setattr(
        filling,
        "atomic_write",
        lambda path, data, **more: (written.append(str(path)), write(path, data, **more))[1],
    )
    done = augment(folder, out, **options, resume=True)
    assert measured == [0, 1, 2] and len(written) == len(set(written)) == 8, "no picture is written twice"
    assert done.report == whole.report
    assert [p.read_bytes() for p in read_corpus(out).paths] == [
        p.read_bytes() for p in read_corpus(tmp_path / "whole").paths
    ]
    assert not (out / "comparison.json").exists()


def test_augment_with_a_given_model_warns_about_its_training(digits, tmp_path):
    done = augment(
        digits,
        tmp_path / "out",
        model="digits-32",
        per_class=3,
        add=0.5,
        seeds=2,
        shares=(0.5,),
        classifier_steps=10,
    )
    assert sum(done.added.values()) == 15 and set(done.counts.values()) == {3}
    assert "too good" in done.report.notes[0]


def test_equal_classes_are_left_alone(digits, tmp_path):
    done = augment(
        digits, tmp_path / "out", model="digits-32", per_class=4, measured=False, classifier_steps=10
    )
    assert sum(done.added.values()) == 0 and "--add" in done.sentence and "not measured" in done.sentence


@pytest.mark.parametrize("add", [0.0, -1.0, 101.0])
def test_absurd_shares_are_refused(folder, tmp_path, add):
    with pytest.raises(ConfigError, match="share"):
        augment(folder, tmp_path / "out", add=add)


def test_folders_without_classes_are_refused(folder, tmp_path):
    with pytest.raises(CorpusError) as caught:
        augment(folder / "dark", tmp_path / "out")
    assert caught.value.code == "corpus.one-class" and "self-labels" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_tune_writes_a_generator_that_loads(digits, tmp_path):
    done = tune("digits-32", digits, tmp_path / "out", class_name="8", settings=QUICK)
    generator = load_generator(done.weights)
    assert generator.card.family == "tuned" and generator.sample(2, condition="8").shape == (2, 32, 32, 3)
    assert generator.card.metrics["tuning"]["class"] == "8"
    record = json.loads((tmp_path / "out" / "tuning.json").read_text())
    assert set(record["before"]) == set(record["after"]) and len(record["history"]) >= 2
    assert read_image(done.grid).pixels.shape[1] > 2 * 6 * 32
    assert "| recall |" in (tmp_path / "out" / "tuning.md").read_text()
    with pytest.raises(OutputError, match="already holds"):
        tune("digits-32", digits, tmp_path / "out", settings=QUICK)
    with pytest.raises(ConfigError, match="tuned already"):
        tune(done.weights, digits, tmp_path / "again", settings=QUICK)


def test_a_tuning_that_did_not_help_says_so(digits, tmp_path):
    done = tune("digits-32", digits, tmp_path, settings=replace(QUICK, steps=1, every=1, rate=1e-9))
    failed = replace(done, result=replace(done.result, after=done.result.before))
    assert failed.sentence.startswith("Tuning did not help")


def test_self_labels_and_presets_reach_the_card(folder, tmp_path):
    recipe = load_recipe("augment-32").model_copy(update={"images": 32})
    path = train(
        "generator", folder, out=tmp_path / "run", recipe=recipe, name="mine", self_labels=2, progress=False
    )
    card = read_card(path)
    assert card.preprocessing["classes"] == ["cluster-0", "cluster-1"]
    assert card.trained["self_labels"]["purity"] == 1.0  # two tones are easily told apart
    assert card.trained["recipe"]["data"]["self_labels"] == 2


def test_an_unknown_preset_is_named(folder, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'medical'"):
        train("generator", folder, out=tmp_path, preset="medicine")


def test_command_line_trains_by_preset(folder, tmp_path, capsys):
    out = str(tmp_path / "run")
    code = run(["train", "--preset", "texture", str(folder), "--out", out, "--images", "32", "--json"])
    assert code == 0
    card = read_card(json.loads(capsys.readouterr().out)["weights"])
    assert card.config["padding"] == "circular" and card.trained["recipe"]["tiles"] == "generated"
    assert run(["train", "--preset", "txture", str(folder), "--out", out]) == 2
    assert "Did you mean 'texture'" in capsys.readouterr().err
    assert run(["train", "generator", "--help"]) == 0 and run(["train", "detector", "--help"]) == 0


def test_command_line_augments_and_tunes(folder, digits, tmp_path, capsys):
    arguments = ["augment", str(folder), "--out", str(tmp_path / "a"), "--size", "16", "--images", "32"]
    assert run([*arguments, "--no-measure", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == {"dark": 0, "light|": 8}
    arguments = ["tune", "digits-32", "--data", str(digits), "--out", str(tmp_path / "t"), "--class", "8"]
    assert run([*arguments, "--method", "hill-climbing"]) == 4
    assert run([*arguments[:-1], "x"]) == 2
    assert "no class 'x'" in capsys.readouterr().err
