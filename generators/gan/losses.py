"""Adversarial losses that any family can take, from logits to one number to be minimised.

>>> hinge = LOSSES.get("hinge")
>>> float(hinge.critic(torch.tensor([2.0]), torch.tensor([-2.0])))
0.0

``critic(real, fake)`` and ``generator(fake, real)`` take logits float [N]. Only a ``paired`` loss
looks at ``real`` in the generator's step; the others are given None there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.registry import Registry


@dataclass(frozen=True)
class Loss:
    """One adversarial loss; ``paired`` means that the generator's step needs real logits too."""

    name: str
    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor | None], Tensor]
    paired: bool = False


LOSSES: Registry[Loss] = Registry("loss")


def _hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _saturating_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def _relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake - real).mean()


def _minus_mean(fake: Tensor, real: Tensor | None) -> Tensor:
    return -fake.mean()


def _non_saturating(fake: Tensor, real: Tensor | None) -> Tensor:
    return F.softplus(-fake).mean()


def _least_squares(fake: Tensor, real: Tensor | None) -> Tensor:
    return 0.5 * (fake - 1).square().mean()


def _relativistic(fake: Tensor, real: Tensor | None) -> Tensor:
    return F.softplus((real if real is not None else torch.zeros_like(fake)) - fake).mean()


#: Lim & Ye 2017.
LOSSES.register("hinge", Loss("hinge", _hinge_critic, _minus_mean))
#: Goodfellow et al. 2014, the form that does not saturate.
LOSSES.register("non-saturating", Loss("non-saturating", _saturating_critic, _non_saturating))
#: Arjovsky et al. 2017; needs a gradient penalty or spectral normalisation.
LOSSES.register("wasserstein", Loss("wasserstein", _wasserstein_critic, _minus_mean))
#: Mao et al. 2017.
LOSSES.register("least-squares", Loss("least-squares", _least_squares_critic, _least_squares))
#: Jolicoeur-Martineau 2018, paired; with R1 and R2 the loss of Huang et al. 2024 (R3GAN).
LOSSES.register("relativistic", Loss("relativistic", _relativistic_critic, _relativistic, paired=True))
