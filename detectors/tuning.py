"""Fine-tuning of a small backbone on stored views, taught by a larger detector's held-out logits.

A recipe with a part ``[tune]`` goes three ways further than one with a frozen backbone. First the
backbone and its head learn on the sources of some folds only; the teacher's head is fitted on the
same sources, so that nothing about the others leaks through what it says. Then the others are scored:
those are the figures, and the scores for calibrator and thresholds. Then training goes on for a
shorter while with every source.

    done = tune(network, views, places, targets, chances, 500, settings, seed=7, checkpoint=path)

Batch norms are folded into the convolutions first, which halves the time of a step.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits

from countermark.core.files import atomic_path
from countermark.core.seeds import rng
from countermark.detectors.calibration import balanced_weights, fit_calibrator
from countermark.detectors.cnn_stages import StageDetector
from countermark.detectors.folds import HeldOut
from countermark.detectors.thresholds import ThresholdTable

STEP = "step"
EVERY = 50


class TunePart(BaseModel):
    """How a backbone is fine-tuned; no ``steps``: it stays frozen.

    Attributes:
        steps: Optimiser steps on the sources of the folds that are learnt from.
        more: Further steps on all sources afterwards.
        batch: Views a step, one of each item drawn.
        learning_rate: Peak of the backbone's; the head's is four times that.
        held: Folds (of those of the calibration) that are measured on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=0, ge=0)
    more: int = Field(default=0, ge=0)
    batch: int = Field(default=24, ge=2, le=512)
    learning_rate: float = Field(default=2e-4, gt=0)
    held: int = Field(default=2, ge=2)


def tune(
    network: StageDetector,
    views: np.ndarray,
    places: np.ndarray,
    targets: np.ndarray,
    chances: np.ndarray,
    steps: int,
    part: TunePart,
    *,
    seed: int,
    checkpoint: Path,
    minutes: float = 1e9,
) -> bool:
    """Trains in place; True when all ``steps`` are done, False when the minutes ran out first.

    Args:
        network: With a head (``set_head``) to begin with.
        views: uint8 [items, 3 kinds, side, side, 3], on disk or not.
        places: int [n], the items to learn from.
        targets: float [n] in [0, 1].
        chances: float [n], how often an item is drawn, in proportion.
        checkpoint: Where weights and step are kept; a later call goes on from there, with fresh
            moments of the optimiser.
    """
    network.fold()
    trunk, weight, bias = network.trunk, network.weight.clone(), network.bias.clone()
    trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = 0
    if checkpoint.exists():
        kept = load_file(checkpoint)
        first = int(kept[STEP])
        trunk.load_state_dict({k.removeprefix("trunk."): v for k, v in kept.items() if "trunk." in k})
        weight, bias = kept["weight"], kept["bias"]
    parameters = [*trunk.parameters()]
    for tensor in (*parameters, weight, bias):
        tensor.requires_grad_(True)
    rate = part.learning_rate
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": rate}, {"params": [weight, bias], "lr": 4 * rate}], weight_decay=1e-4
    )

    def save(step: int) -> None:
        state = {f"trunk.{k}": v.detach().contiguous() for k, v in trunk.state_dict().items()}
        state |= {"weight": weight.detach(), "bias": bias.detach().reshape(()), STEP: torch.tensor(step)}
        with atomic_path(checkpoint, overwrite=True) as temporary:
            save_file(state, temporary)

    stop = time.monotonic() + 60 * minutes
    odds = chances / chances.sum()
    step = first
    for step in range(first, steps):
        if time.monotonic() > stop:
            save(step)
            break
        draw = rng(seed, "tune", step)
        chosen = draw.choice(len(places), part.batch, p=odds)
        kinds = draw.integers(views.shape[1], size=part.batch)
        pixels = np.stack([views[places[c], k] for c, k in zip(chosen, kinds, strict=True)])
        turned = draw.random(part.batch) < 0.5
        pixels[turned] = pixels[turned, :, ::-1]
        for group, peak in zip(optimiser.param_groups, (rate, 4 * rate), strict=True):
            group["lr"] = peak * schedule(step / steps)
        logits = torch.cat([m.mean(dim=(2, 3)) for m in trunk(network.tensor(pixels))], dim=1) @ weight + bias
        aims = torch.from_numpy(targets[chosen]).float()
        loss = binary_cross_entropy_with_logits(logits, aims)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        if step % EVERY == EVERY - 1:
            save(step + 1)
    else:
        step = steps
    for tensor in parameters:
        tensor.requires_grad_(False)
    network.weight, network.bias = weight.detach(), bias.detach().reshape(())
    network.changed()
    return step >= steps


def schedule(progress: float) -> float:
    """Share of the peak rate: up in the first twentieth, then down along a cosine to a hundredth."""
    warm = min(1.0, 20 * progress + 0.05)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def cross_calibrate(
    logits: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    strata: np.ndarray,
    folds: np.ndarray,
    usable: np.ndarray,
    *,
    calibrator: str,
    max_fpr: float,
) -> HeldOut:
    """Probabilities and thresholds of every fold from the scores of the other folds (whole sources)."""
    probabilities, likely = np.zeros(len(logits)), np.zeros(len(logits))
    for fold in np.unique(folds):
        inside = folds == fold
        known = usable & ~inside
        weights = np.sqrt(balanced_weights(labels[known], groups[known]))
        fitted = fit_calibrator(calibrator, logits[known], labels[known], weights)
        probabilities[inside] = fitted(logits[inside])
        real = known & (labels == 0)
        table = ThresholdTable.fit(fitted(logits[real]), [str(s) for s in strata[real]])
        likely[inside] = table.thresholds(max_fpr).likely
    return HeldOut(logits, probabilities, likely)
