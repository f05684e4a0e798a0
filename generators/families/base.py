"""What a family of adversarially trained networks is: a typed config, a generator and its critic.

A generator network is called ``network(z, labels)`` with ``z`` float [N, latent] and ``labels``
int64 [N] or None, and returns float [N, C, size, size] in [-1, 1]. A critic is called
``critic(x, labels)`` and returns logits [N], higher meaning more real. A line in
``countermark.generators.families`` is all it takes for the trainer, the sampler and the command line
to know a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from countermark.generators.base import Family

#: Of convolutions; ``circular`` where what they make must tile.
Padding = Literal["zeros", "circular"]


class NetworkConfig(BaseModel):
    """Settings that every family has.

    Attributes:
        size: Side of the square image in pixels.
        channels: 3 (RGB) or 1 (grey).
        latent: Length of z.
        classes: Number of classes; 0 for an unconditional network.
        critic_width: Channels of the critic after its first level.
        critic_max_width: Most channels of the critic at any level.
        padding: Of the generator; ``circular`` makes images that tile.
        critic_padding: ``circular`` only where real images tile too; it would see the seams of others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal[16, 32, 64, 128, 256] = 64
    channels: Literal[1, 3] = 3
    latent: int = Field(default=128, ge=2, le=2048)
    classes: int = Field(default=0, ge=0, le=10_000)
    critic_width: int = Field(default=32, ge=4, le=512)
    critic_max_width: int = Field(default=256, ge=8, le=2048)
    padding: Padding = "zeros"
    critic_padding: Padding = "zeros"

    @property
    def levels(self) -> int:
        """Number of doublings from 4 x 4 to the image."""
        return self.size.bit_length() - 3


@dataclass(frozen=True)
class GanFamily(Family):
    """A family that starts from noise and is trained against a critic.

    Attributes:
        build_critic: From the same config to an untrained critic.
        summary: One sentence for people.
    """

    config: type[NetworkConfig]
    build_critic: Callable[[Any], nn.Module] = field(kw_only=True)
    summary: str = field(kw_only=True)

    def parse(self, values: Mapping[str, Any]) -> NetworkConfig:
        """The typed config; ConfigError names what is wrong with ``values``."""
        config: NetworkConfig = super().parse(values)
        return config


@runtime_checkable
class SelfSupervised(Protocol):
    """A critic with a loss of its own on real images, added to the adversarial one."""

    def extra_loss(self, real: Tensor) -> Tensor: ...


@runtime_checkable
class Looking(Protocol):
    """A critic whose first part is frozen: what it sees of a picture need be found once only."""

    def look(self, x: Tensor) -> list[Tensor]: ...

    def judge(self, seen: list[Tensor], labels: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Guided(Protocol):
    """A generator that is told something of each real image, and has losses of its own on what it draws.

    Called ``network(z, labels, guides)``.
    """

    def own_loss(
        self,
        drawn: Tensor,
        real: Tensor,
        guides: Tensor,
        seen: tuple[list[Tensor], list[Tensor]] | None,
        *,
        warm: bool,
    ) -> Tensor:
        """What is lost beside the critic's judgement, and alone while ``warm`` (``Recipe.warm_images``).

        Args:
            seen: Real and drawn tensors as a ``Looking`` critic sees them.
        """
        ...
