"""Gradient regularisers of the critic: R1, R2 and the gradient penalty of WGAN-GP.

Each returns one number to be added to the critic's loss. All of them differentiate twice, which
costs about four times a plain step; ``interval`` in a recipe applies them every k-th step only,
k times as strong (Karras et al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gradient_norms(critic: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Squared L2 norm [N] of the critic's gradient at ``images``, differentiable."""
    images = images.detach().float().requires_grad_(True)
    logits = critic(images, labels)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def zero_centred(critic: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Half the mean squared gradient norm: R1 on real images, R2 on generated ones (Mescheder 2018)."""
    return 0.5 * gradient_norms(critic, images, labels).mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean squared distance of the gradient norm from 1 between real and fake (Gulrajani 2017)."""
    mix = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = mix * real.detach() + (1 - mix) * fake.detach()
    norms = (gradient_norms(critic, between, labels) + 1e-12).sqrt()
    return (norms - 1).square().mean()
