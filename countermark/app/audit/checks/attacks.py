"""Attacks within a small bound on every pixel: with gradients (PGD) and without (square attack).

Both start from synthetic images that the detector finds and try to bring their score below its
threshold. What is reported is the share that stays found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field

from countermark.app.adversaries.gradients import differentiable
from countermark.app.audit.checks.base import Check, Context, Measured, register
from countermark.app.audit.checks.robust import ROBUST
from countermark.app.audit.samples import Item
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import Pixels, read_image
from countermark.core.perturb import resize_to
from countermark.core.results import Outcome
from countermark.core.seeds import rng


class AttackOptions(CheckEntry):
    """Options.

    Attributes:
        epsilon: Largest change of a channel value, in grey levels of 255.
        steps: Gradient steps, or queries of the square attack.
        images: Synthetic images that are attacked.
        max_fpr: Sets the threshold that has to be undercut.
    """

    epsilon: float = Field(default=4, gt=0, le=64)
    steps: int = Field(default=10, ge=1, le=10_000)
    images: int = Field(default=20, ge=5, le=10_000)
    max_fpr: float = Field(default=0.01, gt=0, le=0.5)
    side: int = Field(default=224, ge=32, le=1024)


def square_view(pixels: Pixels, side: int) -> Pixels:
    """The centre square, resized to ``side``: uint8 [side, side, 3]."""
    short = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - short) // 2, (pixels.shape[1] - short) // 2
    return np.ascontiguousarray(resize_to(pixels[top : top + short, left : left + short], side, side))


class AttackCheck(Check):
    """Base: attacks the synthetic images that are found, counts those that stay found."""

    Options = AttackOptions
    claims = ROBUST

    def victims(self, entry: Any, context: Context, side: int) -> tuple[list[Item], list[Pixels]]:
        library = context.library
        items = [i for i in library.images(entry.evidence).items if i.label == 1]
        chosen = library.draw(items, entry.images, "attack")
        return chosen, [square_view(read_image(i.path).pixels, side) for i in chosen]

    def run(
        self, entry: Any, context: Context, attack: Callable[[list[Pixels]], list[Pixels]], side: int
    ) -> Measured:
        detector = context.library.detector()
        likely = float(detector.thresholds(entry.max_fpr).likely)
        items, pictures = self.victims(entry, context, side)
        if not pictures:
            return Measured(outcome=Outcome.SKIPPED, sentence="There are no synthetic images to attack.")
        before = np.asarray(detector.score(pictures))
        found = before >= likely
        if not found.any():
            sentence = "The detector finds none of these images even without an attack."
            return Measured(
                outcome=Outcome.INCONCLUSIVE, sentence=sentence, detail={"attacked": len(pictures)}
            )
        changed = attack([p for p, ok in zip(pictures, found, strict=True) if ok])
        after = np.asarray(detector.score(changed))
        clusters = np.array([i.cluster for i, ok in zip(items, found, strict=True) if ok])
        detail = {
            "attacked": int(found.sum()),
            "not_found_before": int((~found).sum()),
            "mean_before": float(before[found].mean()),
            "mean_after": float(after.mean()),
            "epsilon": entry.epsilon,
            "steps": entry.steps,
        }
        return Measured(context.proportion(after >= likely, clusters), detail=detail)


@register
class Pgd(AttackCheck):
    id = "detector.pgd"
    title = "Still finds synthetic images after an attack with its gradients"
    formula = "share of found images that stay found after PGD within ±epsilon grey levels"
    source = "Madry et al. 2018; sign steps of 2.5 epsilon / steps, no random start, at the view's own size"

    def measure(self, entry: Any, context: Context) -> Measured:
        side, logits = differentiable(context.library.detector())
        return self.run(
            entry, context, lambda pictures: pgd(pictures, logits, entry.epsilon, entry.steps), side
        )


def pgd(pictures: list[Pixels], logits: Any, epsilon: float, steps: int, batch: int = 8) -> list[Pixels]:
    """Projected gradient descent on the logit; results are rounded to uint8 inside the bound."""
    import torch

    results: list[Pixels] = []
    for start in range(0, len(pictures), batch):
        clean = torch.from_numpy(np.stack(pictures[start : start + batch])).permute(0, 3, 1, 2).float() / 255
        bound, current = epsilon / 255, clean.clone()
        for _ in range(steps):
            current.requires_grad_(True)
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(logits(current).sum(), current)
            moved = current.detach() - 2.5 * bound / steps * gradient.sign()
            current = (clean + (moved - clean).clamp(-bound, bound)).clamp(0, 1)
        # Rounded towards the clean picture: levels are whole, so that the bound still holds.
        offset = torch.trunc((current - clean) * 255)
        levels = (clean * 255 + offset).round().clamp(0, 255).to(torch.uint8)
        results += list(levels.permute(0, 2, 3, 1).numpy())
    return results


@register
class Square(AttackCheck):
    id = "detector.square"
    title = "Still finds synthetic images after a black-box attack"
    formula = "share of found images that stay found after 'steps' queries of the square attack"
    source = "Andriushchenko et al. 2020, L-infinity variant: vertical stripes, then random squares"

    def measure(self, entry: Any, context: Context) -> Measured:
        detector, seed = context.library.detector(), context.policy.statistics.seed

        def attack(pictures: list[Pixels]) -> list[Pixels]:
            return square_attack(pictures, detector.score, entry.epsilon, entry.steps, seed)

        return self.run(entry, context, attack, entry.side)


def square_attack(
    pictures: list[Pixels],
    score: Any,
    epsilon: float,
    steps: int,
    seed: int,
    start: float = 0.8,
    until: float = -np.inf,
) -> list[Pixels]:
    """Random search over squares of full-bound noise; a change is kept if the score goes down.

    Args:
        steps: Scores that may be asked for each picture.
        until: Pictures below this score are left as they are: they are hidden.
    """
    generators = [rng(seed, "square", number) for number in range(len(pictures))]
    bound = int(epsilon)
    best, values = [], []
    for picture, generator in zip(pictures, generators, strict=True):
        stripes = generator.choice([-bound, bound], size=(1, picture.shape[1], 3))
        best.append(_shift(picture, np.broadcast_to(stripes, picture.shape)))
    values = list(np.asarray(score(best)))
    for step in range(steps - 1):
        trial = []
        share = start * 0.5 ** (8 * step / max(steps, 1))
        live = [number for number, value in enumerate(values) if value >= until]
        for number in live:
            picture, current, generator = pictures[number], best[number], generators[number]
            side = max(
                1, min(picture.shape[:2]) if share >= 1 else round(np.sqrt(share) * min(picture.shape[:2]))
            )
            top = int(generator.integers(picture.shape[0] - side + 1))
            left = int(generator.integers(picture.shape[1] - side + 1))
            offset = current.astype(np.int16) - picture
            offset[top : top + side, left : left + side] = generator.choice([-bound, bound], size=3)
            trial.append(_shift(picture, offset))
        for number, changed, value in zip(live, trial, score(trial) if trial else (), strict=True):
            if value < values[number]:
                best[number], values[number] = changed, value
    return best


def _shift(picture: Pixels, offset: np.ndarray) -> Pixels:
    return np.clip(picture.astype(np.int16) + offset, 0, 255).astype(np.uint8)
