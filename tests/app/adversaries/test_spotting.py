"""``audit blind-spots`` and ``audit card``, with a small detector whose weak spot is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from countermark.app.adversaries.search import BlindSpot
from countermark.app.adversaries.spotting import compared, spot
from countermark.app.audit.cards import card_from_audit
from countermark.app.rooms import Rooms
from countermark.cli import run
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import ConfigError
from countermark.core.images import write_image
from countermark.core.results import AuditReport, CheckResult, Interval, Outcome
from countermark.core.weights import WeightsCard, save_weights
from countermark.reports import audit_document, render


class Grain:
    """Knows synthetic images by their grain, which blurring and shrinking remove."""

    name = "grain"
    card = SimpleNamespace(sha256="ab" * 32, licence="x", version="1", training_data=[])

    def score(self, images):
        return np.array([min(1.0, np.abs(np.diff(i.astype(float), axis=1)).mean() / 40) for i in images])

    def thresholds(self, max_fpr=0.01):
        return SimpleNamespace(likely=0.6, unsure=0.4)


ROOMS = Rooms(load_detector=lambda name: Grain())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    rows = []
    for number in range(24):
        noise = random.integers(60, 200, (64, 64, 3)).astype(np.uint8)
        write_image(root / f"{number:02d}.png", noise)
        rows.append(CorpusRow(f"{number:02d}.png", "synthetic", f"g{number % 3}"))
    write_image(root / "real.png", np.zeros((64, 64, 3), np.uint8))
    write_metadata(root, [*rows, CorpusRow("real.png", "real", "", "camera")])
    return root


def test_the_table_is_ranked_and_both_searches_spend_the_same(corpus: Path) -> None:
    document = spot("grain", corpus, budget=30, images=24, rooms=ROOMS)
    ranked = [f for f in document["figures"] if f["name"] == "still found"]
    values = [f["interval"]["value"] for f in ranked]
    assert values == sorted(values) and values[0] == 0.0 and len(values) >= 5
    assert all(f["interval"]["low"] <= f["interval"]["value"] <= f["interval"]["high"] for f in ranked)
    assert ranked[0]["interval"]["n"] == 12 and ranked[0]["interval"]["high"] > 0.1
    assert {f["slice"].split(":")[0] for f in ranked} <= {"random", "learned", "both"}
    (paired,) = [f for f in document["figures"] if f["slice"] == "paired"]
    assert paired["interval"]["low"] <= paired["interval"]["value"] <= paired["interval"]["high"]
    assert "120 scores" in " ".join(document["notes"]) and "without edits 100 %" in document["headline"]
    again = spot("grain", corpus, budget=30, images=24, rooms=ROOMS)
    for format in ("json", "html", "markdown"):
        assert render(document, format) == render(again, format)


def test_queries_are_counted_equally(corpus: Path) -> None:
    calls: list[int] = []

    class Counting(Grain):
        def score(self, images):
            calls.append(len(images))
            return super().score(images)

    from countermark.app.adversaries.search import search

    pictures = [np.full((32, 32, 3), n, np.uint8) for n in range(8)]
    spent = {}
    for kind in ("random", "learned"):
        calls.clear()
        search(pictures, Counting().score, kind=kind, budget=12, per_trial=4)
        spent[kind] = sum(calls)
    assert spent == {"random": 48, "learned": 48}


def test_what_is_not_found_cannot_be_hidden(corpus: Path, tmp_path: Path) -> None:
    class Blind(Grain):
        def score(self, images):
            return np.zeros(len(images))

    with pytest.raises(ConfigError, match="nothing to hide"):
        spot("blind", corpus, budget=4, images=10, rooms=Rooms(load_detector=lambda name: Blind()))
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    write_metadata(tmp_path, [CorpusRow("a.png", "synthetic")])
    with pytest.raises(ConfigError, match="1 synthetic images"):
        spot("grain", tmp_path, rooms=ROOMS)


def test_the_comparison_is_paired() -> None:
    nothing = Interval(0.5, 0.4, 0.6, 40)
    half = tuple(n % 2 == 0 for n in range(40))
    other = tuple(n % 2 == 1 for n in range(40))

    def between(random: tuple[bool, ...], learned: tuple[bool, ...]) -> Interval | None:
        spots = [BlindSpot("a", "random", 1.0, nothing, None, random)]
        return compared(
            [*spots, BlindSpot("b", "learned", 1.0, nothing, None, learned)], confidence=0.95, seed=0
        )

    same, crossed, better = between(half, half), between(half, other), between(half, (False,) * 40)
    # Forty pictures that agree are no proof that the two sequences hide alike: 1 - 0.025^(1/40).
    assert same is not None and (same.low, same.high) == pytest.approx((-0.088, 0.088), abs=1e-3)
    assert crossed is not None and crossed.value == 0 and crossed.high - crossed.low > 0.4
    assert better is not None and better.low > 0.3
    assert compared([BlindSpot("a", "random", 1.0, nothing)], confidence=0.95, seed=0) is None


def weights(folder: Path) -> Path:
    card = WeightsCard(
        name="model", kind="detector", family="x", summary="Finds grain.", licence="Apache-2.0",
        training_data=["noise"], trained={"seed": 1}, metrics={}, limits=["Only grain."],
    )  # fmt: skip
    return save_weights(folder, {"a": torch.zeros(3)}, card)


def report(path: Path, sha256: str) -> dict:
    check = CheckResult(
        id="detector.auroc", title="Ranks", outcome=Outcome.PASS, sentence="It does.", unit="AUROC",
        interval=Interval(0.9, 0.85, 0.95, 400), threshold=0.8, direction="at-least",
        claims=("eu-ai-act/50.2/detectable",),
    )  # fmt: skip
    subject = {"kind": "detector", "name": str(path), "sha256": sha256}
    return audit_document(AuditReport("Gate", subject, (check,), True, 0))


def test_a_card_holds_the_audits_figures_and_no_verdict_on_the_law(tmp_path: Path, capsys) -> None:
    from countermark.core.weights import read_card

    path = weights(tmp_path)
    document = report(path, read_card(path).sha256)
    (tmp_path / "audit.json").write_text(json.dumps(document))
    assert run(["audit", "card", str(tmp_path / "audit.json"), "--output", str(tmp_path / "README.md")]) == 0
    text = (tmp_path / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.9
    assert "Evidence towards" in text and "0.9" in text and "compliant" not in text.lower()
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(text)
    assert card.data.license == "apache-2.0"
    assert [r.metric_value for r in card.data.eval_results] == [0.9]


def test_a_card_is_not_made_of_other_weights_or_reports(tmp_path: Path) -> None:
    path = weights(tmp_path)
    with pytest.raises(ConfigError, match="other weights"):
        card_from_audit(report(path, "00" * 32))
    document = report(path, "00" * 32)
    with pytest.raises(ConfigError, match="no model card"):
        card_from_audit({**document, "subject": {"kind": "pipeline", "name": "p"}})
    with pytest.raises(ConfigError, match="audit"):
        card_from_audit(spotless())


def spotless() -> dict:
    from countermark.reports import evaluation_document

    return evaluation_document("Nothing", [])


def test_the_word_run_may_be_left_out(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = weights(tmp_path)
    text = (
        'schema = "countermark.policy/1"\nname = "W"\n[subject]\nkind = "generator"\n'
        f'name = "./{path.name}"\n[[checks]]\nid = "weights.format"\n'
    )
    (tmp_path / "p.toml").write_text(text)
    (tmp_path / "init").write_text(text)
    for words in (["p.toml"], ["run", "p.toml"], ["--json", "p.toml"], ["--", "p.toml"], ["init"]):
        assert run(["audit", *words]) == 0, words
        assert "weights.format" in capsys.readouterr().out
    (tmp_path / "init").unlink()
    assert run(["audit", "init", "pipeline"]) == 0 and "[subject]" in capsys.readouterr().out
    assert run(["audit", "explain", "detector.auroc"]) == 0 and "Hanley" in capsys.readouterr().out
    assert run(["audit", "nothing.toml"]) == 2
    assert run(["audit", "--no-such-option"]) == 4
