"""Attacks within a small bound on every pixel: with gradients (PGD) and without (square attack).

Both start from pictures that a detector finds and try to bring their score below its threshold.
Gradients come from a differentiable view of the shipped families: images are float [N, 3, S, S] in
[0, 1]; at the side S of a family's view all its crops are the same picture, so that the logit computed
here is the logit that ``Detector.logits`` gives for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels
from countermark.core.perturb import resize_to
from countermark.core.seeds import rng

if TYPE_CHECKING:
    from torch import Tensor

Logits = Callable[["Tensor"], "Tensor"]
#: P(synthetic), float [N], of uint8 RGB pictures.
Score = Callable[[Sequence[Pixels]], np.ndarray]


def differentiable(detector: object) -> tuple[int, Logits]:
    """The side of the view and a function from images to logits float [N].

    Raises:
        CountermarkError: ``audit.no-gradient`` for a detector without a known network.
    """
    network = getattr(detector, "network", None)
    if network is not None and hasattr(network, "trunk") and hasattr(network.trunk, "tokens"):
        return 224, _probe(network)
    if network is not None and hasattr(network, "model") and hasattr(network, "side"):
        return int(network.side), lambda x: network.model(x * 2 - 1).float().mean(dim=(1, 2, 3))
    raise CountermarkError(
        "Gradients of this detector are not known.",
        code="audit.no-gradient",
        hint="Use detector.square, which needs scores only.",
    )


class _Probe(Protocol):
    """What is asked of the family ``clip-probe``: frozen blocks, and a head on some of them."""

    trunk: Callable[[Tensor, Sequence[int]], Tensor]
    blocks: Sequence[int]
    pools: Sequence[int]
    view_kinds: Sequence[int]

    def head_module(self) -> Callable[[Tensor], Tensor]: ...


def _probe(network: _Probe) -> Logits:
    head = network.head_module()

    def logits(x: Tensor) -> Tensor:
        parts = network.trunk(x * 255, network.blocks)[:, :, network.pools]
        return head(parts[:, None].expand(-1, len(network.view_kinds), -1, -1, -1).flatten(1))

    return logits


def square_view(pixels: Pixels, side: int) -> Pixels:
    """The centre square, resized to ``side``: uint8 [side, side, 3]."""
    short = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - short) // 2, (pixels.shape[1] - short) // 2
    return np.ascontiguousarray(resize_to(pixels[top : top + short, left : left + short], side, side))


def pgd(pictures: list[Pixels], logits: Logits, epsilon: float, steps: int, batch: int = 8) -> list[Pixels]:
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


def square_attack(
    pictures: list[Pixels],
    score: Score,
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
    moved: Pixels = np.clip(picture.astype(np.int16) + offset, 0, 255).astype(np.uint8)
    return moved
