"""A frozen generator behind a policy that chooses its latents: what ``countermark tune`` makes.

The first half of z is where the policy starts, the second half is its chance:
``a = sqrt(1 - sigma^2) z0 + shift(z0, class) + sigma e``. With a shift of zero ``a`` is standard
normal again, so an untrained policy samples exactly what the frozen generator samples.

>>> config = TunedConfig(size=16, latent=8, base={"width": 4, "max_width": 8})
>>> TunedGenerator(config)(torch.zeros(2, 8)).shape
torch.Size([2, 3, 16, 16])
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from countermark.core.errors import ConfigError
from countermark.generators.families import FAMILIES
from countermark.generators.families.base import GanFamily, NetworkConfig


class TunedConfig(NetworkConfig):
    """Settings of the family ``tuned``; ``latent`` is twice that of the frozen generator.

    Attributes:
        base_family, base: Family and further settings of the frozen generator.
        hidden: Units of the policy's one hidden layer.
        sigma: Share of chance in the policy's choice, in (0, 1).
    """

    base_family: str = "dcgan"
    base: dict[str, Any] = Field(default_factory=dict)
    hidden: int = Field(default=128, ge=1, le=4096)
    sigma: float = Field(default=0.5, gt=0, lt=1)

    def base_config(self) -> NetworkConfig:
        """The frozen generator's own config."""
        if self.base_family == "tuned":
            raise ConfigError("A tuned generator cannot be tuned again.", code="generator.tuned")
        if self.latent % 2:
            raise ConfigError(f"The latent length {self.latent} of a tuned generator must be even.")
        own = {"size": self.size, "channels": self.channels, "classes": self.classes}
        return FAMILIES.get(self.base_family).parse({**self.base, **own, "latent": self.latent // 2})


class LatentPolicy(nn.Module):
    """Gaussian policy over latents.

    The KL divergence of its choice given z0 from that of a policy without shift is
    ``|shift|^2 / (2 sigma^2)``; by the data-processing inequality its mean bounds the divergence of
    what is sampled from the prior.
    """

    def __init__(self, latent: int, classes: int = 0, hidden: int = 128, sigma: float = 0.5) -> None:
        super().__init__()
        self.sigma, self.keep = sigma, (1 - sigma**2) ** 0.5
        self.code = nn.Embedding(classes, hidden) if classes else None
        self.enter = nn.Linear(latent, hidden)
        self.leave = nn.Linear(hidden, latent)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def shift(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """How far the policy moves the centre: [N, latent]."""
        h = self.enter(z)
        if self.code is not None:
            if labels is None:
                raise ConfigError("A class-conditional policy needs labels.")
            h = h + self.code(labels)
        return self.leave(torch.relu(h))

    def kl(self, shift: Tensor) -> Tensor:
        """Nats per image, [N]."""
        return shift.square().sum(dim=1) / (2 * self.sigma**2)

    def log_density(self, action: Tensor, z: Tensor, shift: Tensor) -> Tensor:
        """Log density of an action up to a constant, [N]."""
        return -(action - self.keep * z - shift).square().sum(dim=1) / (2 * self.sigma**2)

    def forward(self, z: Tensor, chance: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.keep * z + self.shift(z, labels) + self.sigma * chance


class TunedGenerator(nn.Module):
    """z [N, 2 latent] (and labels) through the policy into the frozen generator."""

    def __init__(self, config: TunedConfig) -> None:
        super().__init__()
        base = config.base_config()
        self.policy = LatentPolicy(base.latent, config.classes, config.hidden, config.sigma)
        self.generator = FAMILIES.get(config.base_family).build_generator(base)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        start, chance = z.chunk(2, dim=1)
        return self.generator(self.policy(start, chance, labels), labels)


def build_critic(config: TunedConfig) -> nn.Module:
    return FAMILIES.get(config.base_family).build_critic(config.base_config())


FAMILY = GanFamily(
    name="tuned",
    summary="A frozen generator behind a latent policy that was tuned on a reward.",
    config=TunedConfig,
    build_generator=TunedGenerator,
    build_critic=build_critic,
)
