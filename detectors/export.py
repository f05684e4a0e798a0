"""Detectors as ONNX files: the whole scoring network on prepared views, with its calibration.

    from countermark.detectors import load_detector
    found = export_onnx(load_detector("lite"), "lite.onnx")
    found.opset, found.parity           # 17, largest difference of a logit

Input ``views``: uint8 [images, views, 3, side, side], RGB, as ``scoring.views.make_views``
makes them. Outputs: ``logit`` and ``probability``, float32 [images]. How views are made, the
thresholds, the opset and the digest of the weights stand in the file's metadata as
``countermark.*``. The extra ``onnx`` is needed; nothing else of Countermark is needed to run a file.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.errors import CountermarkError, MissingExtraError, OutputError
from countermark.core.files import atomic_path
from countermark.core.seeds import rng
from countermark.core.version import VERSION
from countermark.detectors.base import Detector
from countermark.detectors.families.convolutional import PatchDetector
from countermark.detectors.families.modules import HeadModule
from countermark.detectors.families.probe import ProbeDetector
from countermark.detectors.scoring.calibration import FLOOR, Calibrator
from countermark.detectors.scoring.inference import for_scoring
from countermark.detectors.scoring.views import (
    LARGEST_ASPECT,
    LARGEST_SHORT_SIDE,
    MIDDLE,
    SIDE,
    ViewPlan,
    make_views,
)

OPSET = 17
#: Largest difference of a logit, relative to 1 + its size, that an fp32 export may have.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        parity: Largest difference between the file's logits and those of PyTorch in float32, as a
            share of 1 + the logit's size, over a few random pictures.
    """

    path: str
    opset: int
    bytes: int
    parity: float
    int8: bool


class ScoringGraph(nn.Module):
    """Views in, logit and probability out; ``per_image`` gives logits of [N, V, 3, S, S] uint8."""

    def __init__(self, per_image: nn.Module, calibrator: Calibrator) -> None:
        super().__init__()
        self.per_image = per_image
        self.calibrator = calibrator

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        logit = self.per_image(views)
        return logit, calibrate(self.calibrator, logit)


def calibrate(calibrator: Calibrator, logit: Tensor) -> Tensor:
    """The calibrator's formula on a tensor; the same as calling it on an array."""
    v = calibrator.values
    if calibrator.kind == "platt":
        p = torch.sigmoid(v[0] * logit + v[1])
    elif calibrator.kind == "beta":
        log_p = nn.functional.logsigmoid(logit)
        p = torch.sigmoid(v[0] * log_p - v[1] * nn.functional.logsigmoid(-logit) + v[2])
    else:
        p = torch.full_like(logit, v[0])
        for left, right, low, high in zip(calibrator.knots, calibrator.knots[1:], v, v[1:], strict=False):
            p = p + ((logit - left) / (right - left)).clamp(0, 1) * (high - low)
    return p.clamp(FLOOR, 1 - FLOOR)


class _Probe(nn.Module):
    def __init__(self, network: ProbeDetector) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(network.trunk).float().cpu()
        self.blocks, self.pools = list(network.blocks), list(network.pools)
        self.counts = [n for n in (network.plan.whole, network.plan.middle, network.plan.native) if n]
        self.head = HeadModule(network.head)

    def forward(self, views: Tensor) -> Tensor:
        found = self.trunk(views.flatten(0, 1), self.blocks)[:, :, self.pools]
        by_kind = found.unflatten(0, views.shape[:2]).split(self.counts, dim=1)
        logits: Tensor = self.head(torch.stack([part.mean(dim=1) for part in by_kind], dim=1).flatten(1))
        return logits


class _Patches(nn.Module):
    def __init__(self, network: PatchDetector) -> None:
        super().__init__()
        self.model = for_scoring(network.model).cpu().to(memory_format=torch.contiguous_format)

    def forward(self, views: Tensor) -> Tensor:
        local = self.model(views.flatten(0, 1).float() / 127.5 - 1)
        return local.mean(dim=(1, 2, 3)).unflatten(0, views.shape[:2]).mean(dim=1)


_GRAPHS: list[tuple[Any, Callable[[Any], nn.Module]]] = [
    (ProbeDetector, _Probe),
    (PatchDetector, _Patches),
]


def scoring_graph(detector: Detector) -> ScoringGraph:
    """The detector as one float32 module from views to logit and probability.

    Raises:
        CountermarkError: ``export.family``: this family has no graph.
    """
    for family, make in _GRAPHS:
        if isinstance(detector.network, family):
            return ScoringGraph(make(detector.network), detector.calibrator).eval().requires_grad_(False)
    raise CountermarkError(
        f"A detector of the family {detector.card.family!r} cannot be exported.", code="export.family"
    )


def export_onnx(
    detector: Detector,
    out: Path | str,
    *,
    int8: bool = False,
    opset: int = OPSET,
    overwrite: bool = False,
) -> Exported:
    """Writes the detector as ONNX and compares the file with PyTorch before it is kept.

    Args:
        detector: Of a family that has a graph: clip-probe, critic, timm.
        out: Ends in ``.onnx``.
        int8: Quantise the weights of matrix products dynamically; smaller and less exact.
        opset: Of ai.onnx, 17 or later.
        overwrite: Replace an existing file.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        OutputError: ``out`` exists, or does not end in ``.onnx``.
        CountermarkError: ``export.family``, or ``export.parity``: the file does not score alike.
    """
    onnx = _onnx()
    out = Path(out)
    if out.suffix != ".onnx":
        raise OutputError(f"{out.name} does not end in .onnx.", code="output.format", hint="Name it so.")
    graph, plan, side = scoring_graph(detector), view_plan(detector), view_side(detector)
    with atomic_path(out, overwrite=overwrite) as temporary:
        example = torch.zeros(2, plan.count, 3, side, side, dtype=torch.uint8)
        axes = {name: {0: "images"} for name in ("views", "logit", "probability")}
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                (example,),
                str(temporary),
                input_names=["views"],
                output_names=["logit", "probability"],
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                str(temporary), str(temporary), op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
            )
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, metadata(detector, opset, int8))
        model.producer_name, model.producer_version = "countermark", VERSION
        onnx.save(model, str(temporary))
        parity = compare(detector, temporary, plan, side)
        if not int8 and parity > TOLERANCE:
            raise CountermarkError(
                f"The exported file's logits differ by {parity:.2g}, more than {TOLERANCE:g}.",
                code="export.parity",
                hint="Try another opset, or another version of onnxruntime.",
            )
    return Exported(str(out), opset, out.stat().st_size, parity, int8)


def compare(detector: Detector, path: Path, plan: ViewPlan, side: int) -> float:
    """Largest relative difference of a logit between the file and PyTorch, over four pictures."""
    import onnxruntime

    draw = rng(0, "onnx")
    shapes = ((300, 400), (side, side), (500, 260), (64, 90))
    pictures = [draw.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in shapes]
    views = stack_views(pictures, plan, side)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(["logit"], {"views": views})[0]
    with torch.inference_mode():
        wanted = scoring_graph(detector)(torch.from_numpy(views))[0].numpy()
    return float(np.max(np.abs(found - wanted) / (1 + np.abs(wanted))))


def stack_views(pictures: Sequence[np.ndarray], plan: ViewPlan, side: int) -> np.ndarray:
    """The graph's input for some pictures: uint8 [N, V, 3, side, side]."""
    made = [np.stack(make_views(picture, plan, side)).transpose(0, 3, 1, 2) for picture in pictures]
    return np.ascontiguousarray(np.stack(made))


def view_plan(detector: Detector) -> ViewPlan:
    """How many views of each kind the detector takes."""
    return detector.network.plan  # type: ignore[attr-defined,no-any-return]


def view_side(detector: Detector) -> int:
    """The side of a view in pixels."""
    return int(getattr(detector.network, "side", SIDE))


def metadata(detector: Detector, opset: int, int8: bool) -> dict[str, str]:
    """What the file says about itself: keys ``countermark.*``, values text or JSON."""
    side = view_side(detector)
    bounds = detector.thresholds(0.01)
    preprocessing = {
        "input": "uint8 [images, views, 3, side, side], RGB, values 0-255; normalised inside the graph",
        "views": asdict(view_plan(detector)),
        "order": "whole, middle, native",
        "side": side,
        "first": f"apply EXIF orientation; reduce a short side above {LARGEST_SHORT_SIDE} px to that",
        "whole": f"cut to an aspect ratio of {LARGEST_ASPECT:g} about the middle; short side to {side}; "
        "centre square",
        "middle": f"cut likewise; short side to {MIDDLE} (never enlarged beyond its own, at least {side}); "
        "the squares with most texture (mean absolute Laplacian of the grey picture, capped at 24, on a "
        f"grid of {side // 4} px)",
        "native": f"no resizing unless the short side is below {side}; the squares with most texture",
        "resizing": "area average when shrinking, bicubic when growing",
    }
    return {
        "countermark.detector": detector.name,
        "countermark.family": detector.card.family,
        "countermark.sha256": detector.card.sha256,
        "countermark.licence": detector.card.licence,
        "countermark.version": VERSION,
        "countermark.opset": str(opset),
        "countermark.int8": str(int8).lower(),
        "countermark.preprocessing": json.dumps(preprocessing),
        "countermark.thresholds": json.dumps(
            {"likely": bounds.likely, "unsure": bounds.unsure, "max_fpr": 0.01}
        ),
        "countermark.limits": json.dumps(list(detector.card.limits)),
    }


def _onnx() -> Any:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(str(error.name or "onnx"), "onnx") from error
    return onnx
