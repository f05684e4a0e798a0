"""Growing a trained generator: a stage for two or four times its side, learnt on larger pictures.

>>> grow_generator("runs/textures-64", "textures:256", "runs/large", factor=4, minutes=15)  # doctest: +SKIP

The small generator stays as it is. Half of each batch are real pictures made small, whose large
version is known: L1 and critic. The other half are the generator's own small images, for which
only the critic and the small image itself speak (the result made small must be that image). The
critic judges patches, given the class where there are classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.errors import ConfigError
from countermark.core.networks import count_parameters
from countermark.core.seeds import rng, torch_rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.base import LoadedGenerator, to_tensor
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.families.grown import (
    WRAPPERS,
    GrownConfig,
    GrownGenerator,
    GrowthStage,
    build_critic,
)
from countermark.generators.gan.losses import LOSSES
from countermark.generators.library import load_generator, save_generator
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates

#: Small pixels cut off around a crop, where the padding of the network is seen.
TRIM = 4


@dataclass(frozen=True)
class GrowthSettings:
    """How the stage is trained.

    Attributes:
        batch: Crops a step, half of them real, half generated; even.
        crop: Side of the crops in small pixels.
        adversarial, pixel, keep: Weights of the critic, of L1 to the real picture, and of L1 between
            the result made small and the generated small image.
        warm: Share of the training without the critic.
        width, blocks: Of the stage.
    """

    batch: int = 8
    crop: int = 16
    rate: float = 1e-3
    critic_rate: float = 1e-3
    adversarial: float = 0.1
    pixel: float = 1.0
    keep: float = 0.1
    warm: float = 0.12
    width: int = 48
    blocks: int = 4
    critic_width: int = 24
    checkpoint_minutes: float = 2.0
    seed: int = 0
    bf16: bool = True


def grow_generator(
    base: str | Path,
    data: Path | str,
    out: Path | str,
    *,
    factor: int = 4,
    name: str | None = None,
    settings: GrowthSettings | None = None,
    minutes: float | None = None,
    images: int = 200_000,
    resume: bool = False,
    max_images: int = 100_000,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains the stage and returns the path of the grown generator's weights.

    Args:
        base: Name or path of the small generator.
        data: Source of pictures as for training a generator, see ``data.pictures``; its classes
            must be the small generator's.
        factor: 2 or 4; the result has at most 256 px.
        max_images: Most pictures that are read.

    Raises:
        ConfigError: ``growth.base`` or ``growth.classes``.
        CorpusError, OutputError, TrainingError (see ``steps.StepLoop``).
    """
    settings, out = settings or GrowthSettings(), Path(out)
    small = load_generator(base)
    config = grown_config(small, factor, settings)
    name = name or f"{small.name}-x{factor}"
    loop = StepLoop(
        out, settings.batch, images, max(settings.rate, settings.critic_rate), minutes=minutes,
        resume=resume, counted="crops", checkpoint_minutes=settings.checkpoint_minutes, seed=settings.seed,
        clock=clock,
    )  # fmt: skip
    loop.check(f"{name}.safetensors")
    options = DataConfig(classes=bool(small.classes), max_images=max_images)
    pictures = load_pictures(
        data, size=config.size, channels=config.channels, options=options, seed=settings.seed
    )
    run = _Run(config, settings, small, pictures)
    identity = {"family": "grown", "network": config.model_dump(mode="json"), "seed": settings.seed}
    modules = {"stage": run.stage, "critic": run.critic, "average": run.average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {
        "stage_optimiser": run.opt_g,
        "critic_optimiser": run.opt_d,
    }
    progress = loop.run(run.step, modules, optimisers, identity)
    with torch_seeded(settings.seed):
        network = GrownGenerator(config)
    network.base.load_state_dict(small.network.state_dict())
    network.stage.load_state_dict(run.average.network.state_dict())
    return save_generator(out, network, _card(name, config, settings, small, pictures, progress, run))


def grown_config(small: LoadedGenerator, factor: int, settings: GrowthSettings) -> GrownConfig:
    """The grown network's config; ConfigError ``growth.base`` for a generator that cannot be grown."""
    given = small.card.config
    if small.card.family in WRAPPERS or "size" not in given or small.card.preprocessing.get("condition"):
        raise ConfigError(
            f"{small.name} cannot be grown.",
            code="growth.base",
            hint="Grow a generator that starts from noise.",
        )
    if factor not in (2, 4) or small.size * factor not in (32, 64, 128, 256):
        raise ConfigError(
            f"{small.name} of {small.size} px cannot be grown {factor} times.",
            code="growth.base",
            hint="Use 2 or 4, up to 256 px.",
        )
    shared = ("channels", "latent", "classes", "padding")
    own = {key: value for key, value in given.items() if key not in (*shared, "size")}
    return GrownConfig(
        **{key: given[key] for key in shared if key in given},
        size=small.size * factor,  # type: ignore[arg-type]
        base_family=small.card.family,
        base=own,
        factor=factor,  # type: ignore[arg-type]
        stage_width=settings.width,
        stage_blocks=settings.blocks,
        critic_width=settings.critic_width,
    )


class _Run:
    """The networks and optimisers of one run, and one step of it."""

    def __init__(
        self, config: GrownConfig, settings: GrowthSettings, small: LoadedGenerator, pictures: Pictures
    ) -> None:
        if set(pictures.classes) != set(small.classes):
            raise ConfigError(
                f"{small.name} has {len(small.classes)} classes, the pictures {len(pictures.classes)}.",
                code="growth.classes",
                hint=f"Known: {', '.join(small.classes) or 'none'}.",
            )
        self.config, self.settings, self.small, self.pictures = config, settings, small, pictures
        self.numbers = np.array([small.classes.index(c) for c in pictures.classes], np.int64)
        with torch_seeded(settings.seed):
            stage, critic = GrowthStage(config), build_critic(config)
        self.stage = stage.to(memory_format=torch.channels_last)
        self.critic = critic.to(memory_format=torch.channels_last)
        self.average = Ema(self.stage, half_life=3000)
        self.opt_g = torch.optim.Adam(self.stage.parameters(), settings.rate, (0.5, 0.99))
        self.opt_d = torch.optim.Adam(self.critic.parameters(), settings.critic_rate, (0.0, 0.99))
        self.loss = LOSSES.get("hinge")

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Small crops, the real halves first; the large real ones, trimmed; labels of all."""
        s, factor = self.settings, self.config.factor
        draw, half = rng(s.seed, "batch", step), s.batch // 2
        edge = min(s.crop + 2 * TRIM, self.small.size)
        picks = draw.integers(len(self.pictures.images), size=half)
        large = to_tensor(self.pictures.images[picks])
        z = torch.randn(half, self.small.latent, generator=torch_rng(s.seed, "z", step))
        labels = None
        if self.pictures.labels is not None:
            real = torch.from_numpy(self.numbers[self.pictures.labels[picks]])
            labels = torch.cat([real, torch.from_numpy(draw.integers(len(self.numbers), size=half))])
        with torch.no_grad():
            made = self.small.network(z, None if labels is None else labels[half:]).float()
        small = torch.cat([F.avg_pool2d(large, factor), made])
        top, left = (int(v) for v in draw.integers(self.small.size - edge + 1, size=2))
        small = small[:, :, top : top + edge, left : left + edge]
        first, last = TRIM * factor, (edge - TRIM) * factor
        large = large[:, :, top * factor :, left * factor :][:, :, first:last, first:last]
        if draw.random() < 0.5:
            small, large = small.flip(3), large.flip(3)
        return small.contiguous(memory_format=torch.channels_last), large, labels

    def step(self, progress: Progress, share: float) -> Losses:
        """One step of both networks; rates fall linearly over the last half."""
        s, factor, half = self.settings, self.config.factor, self.settings.batch // 2
        set_rates([(self.opt_g, s.rate), (self.opt_d, s.critic_rate)], share, last=0.5)
        small, large, labels = self.batch(progress.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            made = self.stage(small, labels)
        cut = TRIM * factor
        made = made.float()[:, :, cut:-cut, cut:-cut]
        kept = F.avg_pool2d(made[half:], factor) - small[half:, :, TRIM:-TRIM, TRIM:-TRIM]
        value = s.pixel * F.l1_loss(made[:half], large) + s.keep * kept.abs().mean()
        critical = torch.zeros(())
        if s.adversarial and share >= s.warm:
            real = None if labels is None else labels[:half]
            with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
                logits = self.critic.patches(large, real), self.critic.patches(made.detach(), labels)  # type: ignore[operator]
            critical = self.loss.critic(logits[0].float(), logits[1].float())
            self.opt_d.zero_grad(set_to_none=True)
            critical.backward()
            self.opt_d.step()
            self.critic.requires_grad_(False)
            with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
                judged = self.critic.patches(made, labels).float()  # type: ignore[operator]
            value = value + s.adversarial * self.loss.generator(judged, None)
        self.opt_g.zero_grad(set_to_none=True)
        value.backward()
        self.opt_g.step()
        self.critic.requires_grad_(True)
        self.average.update(self.stage, s.batch, progress.images + s.batch)
        return {"critic": float(critical.detach()), "stage": float(value.detach())}


def _card(
    name: str,
    config: GrownConfig,
    settings: GrowthSettings,
    small: LoadedGenerator,
    pictures: Pictures,
    progress: Progress,
    run: _Run,
) -> WeightsCard:
    return WeightsCard(
        name=name,
        kind="generator",
        family="grown",
        summary=f"{small.name}, grown {config.factor} times to {config.size} px by a stage of "
        f"{count_parameters(run.stage):,} parameters.",
        config=config.model_dump(mode="json"),
        preprocessing=dict(small.card.preprocessing),
        training_data=[
            *small.card.training_data,
            f"stage: {pictures.name} at {config.size} px, {len(pictures)} images, "
            f"{len(pictures.heldout)} held out",
        ],
        trained={
            "seed": settings.seed,
            "base": small.name,
            "base_sha256": small.sha256,
            "images_seen": progress.images,
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 2),
            "batch": settings.batch,
            "adversarial": settings.adversarial,
            "pixel": settings.pixel,
            "keep": settings.keep,
            "command": f"countermark train grow {small.name} {pictures.name} -o DIR --factor {config.factor} "
            f"--max-images {len(pictures)}",
        },
        limits=[
            f"The layout is that of {small.name} at {small.size} px; the stage adds texture and edges only."
        ],
    )
