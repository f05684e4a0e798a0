"""The exported graph scores as the detector does, and says how its input is made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.errors import CountermarkError, MissingExtraError, OutputError
from countermark.core.weights import WeightsCard
from countermark.detectors.base import Detector
from countermark.detectors.export import OPSET, TOLERANCE, calibrate, export_onnx, scoring_graph, stack_views
from countermark.detectors.families.convolutional import BackboneDetector, CriticDetector
from countermark.detectors.families.probe import ProbeDetector
from countermark.detectors.fitting.quadratic import fit_quadratic
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.thresholds import ThresholdTable

CONFIGS = {
    ProbeDetector: {"trunk": "random", "depth": 2, "blocks": [1, 2], "views": {"whole": 1, "middle": 2}},
    CriticDetector: {"side": 48, "width": 8, "levels": 3, "max_width": 32},
    BackboneDetector: {"stage": 2, "side": 64},
}
CONVOLUTIONAL = "countermark.detectors.families.convolutional"
PLATT = Calibrator("platt", (1.5, -0.2))


def detector(kind: type, seed: int = 1) -> Detector:
    network = kind.create(CONFIGS[kind], seed)
    draw = torch.Generator().manual_seed(seed)
    if isinstance(network, ProbeDetector):
        width = network.head.dimensions
        features = torch.randn(60, width, generator=draw).numpy()
        network.set_head(fit_quadratic(features, np.arange(60) % 2, np.ones(60), rank=3))
    else:
        torch.nn.init.normal_(network.model.head.weight, generator=draw)
    if isinstance(network, ProbeDetector):
        network.trunk.float()
    card = WeightsCard(name="x", kind="detector", family=network.family, sha256="00", limits=["none"])
    return Detector(network, card, PLATT, ThresholdTable.fit([0.1, 0.2, 0.9], ["a"] * 3))


@pytest.fixture(autouse=True)
def scored_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parity is stated for float32; detectors score in bf16 where the CPU has it."""
    monkeypatch.setattr(f"{CONVOLUTIONAL}.best_dtype", lambda device="cpu": torch.float32)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    draw = np.random.default_rng(3)
    return [draw.integers(0, 256, shape).astype(np.uint8) for shape in ((250, 300, 3), (90, 120, 3))]


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_graph_is_the_detector(kind: type, pictures: list[np.ndarray]) -> None:
    mine = detector(kind)
    side = getattr(mine.network, "side", 224)
    views = stack_views(pictures, mine.network.plan, side)
    with torch.inference_mode():
        logit, probability = scoring_graph(mine)(torch.from_numpy(views))
    assert np.allclose(logit.numpy(), mine.logits(pictures), rtol=1e-3, atol=1e-4)
    assert np.allclose(probability.numpy(), mine.score(pictures), atol=1e-4)


@pytest.mark.parametrize("kind", [BackboneDetector])
def test_bf16_scores_stay_close(
    kind: type, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = detector(kind).logits(pictures)
    monkeypatch.setattr(f"{CONVOLUTIONAL}.best_dtype", lambda device="cpu": torch.bfloat16)
    rounded = detector(kind).logits(pictures)
    assert np.abs(rounded - exact).max() < 0.1 and not np.array_equal(rounded, exact)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_file_is_the_graph(kind: type, pictures: list[np.ndarray], tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    mine = detector(kind)
    found = export_onnx(mine, tmp_path / "x.onnx")
    assert found.parity <= TOLERANCE and found.opset == OPSET and found.bytes > 1000
    session = onnxruntime.InferenceSession(found.path)
    side = getattr(mine.network, "side", 224)
    logit, probability = session.run(None, {"views": stack_views(pictures, mine.network.plan, side)})
    assert np.allclose(logit, mine.logits(pictures), rtol=1e-3, atol=1e-4)
    assert np.allclose(probability, mine.score(pictures), atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert told["countermark.opset"] == str(OPSET) and told["countermark.sha256"] == "00"
    preprocessing = json.loads(told["countermark.preprocessing"])
    assert preprocessing["side"] == side and sum(preprocessing["views"].values()) == mine.network.plan.count
    assert 0 < json.loads(told["countermark.thresholds"])["likely"] <= 1


def test_int8_is_smaller_and_close(pictures: list[np.ndarray], tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    mine = detector(ProbeDetector)
    whole = export_onnx(mine, tmp_path / "a.onnx")
    small = export_onnx(mine, tmp_path / "b.onnx", int8=True)
    assert small.int8 and small.bytes < 0.4 * whole.bytes and TOLERANCE < small.parity < 0.5


@pytest.mark.parametrize(
    "calibrator",
    [
        PLATT,
        Calibrator("beta", (0.7, 1.4, 0.1)),
        Calibrator("isotonic", (0.05, 0.3, 0.3, 0.9), (-2.0, -0.5, 0.5, 3.0)),
    ],
)
def test_calibrators_carry_over(calibrator: Calibrator) -> None:
    logits = np.linspace(-30, 30, 301)
    found = calibrate(calibrator, torch.from_numpy(logits)).numpy()
    assert np.allclose(found, calibrator(logits), atol=1e-6)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = detector(CriticDetector)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtraError) as caught:
            export_onnx(mine, tmp_path / "x.onnx")
        assert "countermark[onnx]" in caught.value.hint
    mine.network = object()  # type: ignore[assignment]
    with pytest.raises(CountermarkError) as other:
        scoring_graph(mine)
    assert other.value.code == "export.family"
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    mine = detector(CriticDetector)
    with pytest.raises(OutputError, match=r"end in \.onnx"):
        export_onnx(mine, tmp_path / "x.bin")
    (tmp_path / "there.onnx").write_bytes(b"mine")
    with pytest.raises(OutputError, match="not overwritten"):
        export_onnx(mine, tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"
