"""The project's own policies on the shipped models: they pass, and a broken copy fails by the right check."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from countermark.app.audit import audit, load_policy, starter
from countermark.app.audit.loading import parse_policy
from countermark.app.rooms import Rooms
from countermark.cli import run
from countermark.core.results import AuditReport, Outcome
from countermark.core.weights import load_weights, save_weights

POLICIES = Path(__file__).parents[3] / "policies"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Identities and records of their own."""
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def failed(report: AuditReport) -> list[str]:
    return [c.id for c in report.checks if c.outcome == Outcome.FAIL]


def edited(name: str, folder: Path, *changes: tuple[str, str]) -> Path:
    text = (POLICIES / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.toml")), ids=lambda p: p.name)
def test_policies_are_understood(path: Path) -> None:
    assert load_policy(path).checks


def test_the_demo_policy_is_the_starter() -> None:
    assert (POLICIES / "demo.toml").read_text() == starter("demo")


@pytest.mark.parametrize("kind", ["detector", "generator", "pipeline"])
def test_starters_audit_their_kind(kind: str) -> None:
    assert parse_policy(starter(kind)).subject.kind == kind


@pytest.mark.parametrize("kind", ["detector", "generator", "pipeline"])
def test_a_starter_runs_as_it_is_printed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From an empty folder: every check is measured, whatever it finds. The small detector saves time."""
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "init", kind]) == 0
    text = capsys.readouterr().out
    small = {
        '"default" ': '"gan" ',
        "count = 200": "count = 60",
        "count = 12": "count = 4",
        '"auto"': '"dct"',
        ', "resize:0.5", "crop:0.75"]': "]",
    }
    for old, new in small.items():
        text = text.replace(old, new)
    Path("policy.toml").write_text(text)
    assert run(["audit", "policy.toml", "--json"]) in (0, 1)
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["outcome"] for check in checks} <= {"pass", "fail", "inconclusive"}
    assert kind != "pipeline" or {check["outcome"] for check in checks} == {"pass"}


def small_pipeline(folder: Path) -> Path:
    return edited("pipeline.toml", folder, ("count = 4", "count = 2"), ("least = 4", "least = 2"))


def test_pipeline_passes_and_unsigned_outputs_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_pipeline(tmp_path)
    assert audit(policy).exit_code == 0
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "another"))  # whose repository knows nothing

    def copy(source: Path, destination: Path, generator: str) -> None:
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(source.read_bytes())

    report = audit(policy, rooms=Rooms(sign=copy))
    assert report.exit_code == 1
    assert failed(report) == [
        f"pipeline.{name}" for name in ("signed", "trusted", "source-type", "marked", "recoverable")
    ]


def test_pipeline_without_watermark_fails_by_mark_and_recovery(tmp_path: Path) -> None:
    def unmarked(source: Path, destination: Path, generator: str) -> None:
        from countermark.app.sign import sign

        sign(source, destination, generator=generator, watermark=False, record=False)

    report = audit(small_pipeline(tmp_path), rooms=Rooms(sign=unmarked))
    assert failed(report) == ["pipeline.marked", "pipeline.recoverable"]


def broken_detector(folder: Path) -> Path:
    """The shipped detector with a bias that calls everything synthetic, saved with a card that fits it."""
    from countermark.detectors.library import WEIGHTS

    tensors, card = load_weights(WEIGHTS / "default.safetensors")
    assert "head.bias" in tensors
    heads = {**tensors, "head.bias": tensors["head.bias"] + 1000}
    return save_weights(folder, heads, card.model_copy(update={"name": "broken"}))


def test_a_detector_that_calls_everything_synthetic_fails_by_its_fpr(tmp_path: Path) -> None:
    broken_detector(tmp_path)
    small = (("count = 24", "count = 12"), ("real = 20, synthetic = 20", "real = 10, synthetic = 10"))
    broken = edited("detector.toml", tmp_path, *small, ('name = "default"', 'name = "./broken.safetensors"'))
    report = audit(broken)
    assert report.exit_code == 1 and "detector.fpr" in failed(report)
    assert not {i for i in failed(report) if i.startswith("weights.")}


def test_detector_weights_that_were_touched_fail_by_their_checksum(tmp_path: Path) -> None:
    path = broken_detector(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    broken = edited("detector.toml", tmp_path, ('name = "default"', 'name = "./broken.safetensors"'))
    report = audit(broken)
    assert report.exit_code == 2 and failed(report) == ["weights.checksum"]


QUALITY = ("generator.kid", "generator.precision", "generator.coverage")


def quality_only(folder: Path) -> Path:
    """The generator policy without the checks that mark and sign, which have tests of their own."""
    text = (POLICIES / "generator.toml").read_text()
    head, *checks = text.split("[[checks]]")
    kept = [c for c in checks if "generator.mark" not in c and "generator.signed" not in c]
    (folder / "generator.toml").write_text(
        "[[checks]]".join([head, *kept]).replace("count = 300", "count = 100")
    )
    return folder / "generator.toml"


def test_generator_passes(tmp_path: Path) -> None:
    report = audit(quality_only(tmp_path))
    assert report.exit_code == 0, failed(report)
    assert not failed(report)


def test_a_generator_of_noise_fails_by_its_quality(tmp_path: Path) -> None:
    from countermark.generators.library import load_generator
    from countermark.generators.measuring.evaluation import evaluate_generator

    class Noise(SimpleNamespace):
        def sample(self, count, seed=0, condition=None):
            return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)

    real = load_generator("digits-32")
    broken = Noise(name="digits-32", sha256=real.sha256, size=real.size, card=real.card)

    def evaluate(name, data, count, extractor, seed):
        return evaluate_generator(broken, data, count=count, extractor=extractor, seed=seed)

    report = audit(quality_only(tmp_path), rooms=Rooms(evaluate=evaluate))
    assert report.exit_code == 1 and set(QUALITY) <= set(failed(report))
