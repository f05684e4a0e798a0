"""Training of ``sketch-latent`` on any folder of photographs; doodles are made on the way, latents once.

>>> train_latent_sketch("photos", "runs/mine", minutes=30)                 # doctest: +SKIP

Loss of the generator: hinge against both critics, L1 to the photograph's latents (which ties strokes to
layout; only the nearer of two drawings must match) and the mode-seeking term (Mao et al. 2019), which
rewards two codes z for giving two drawings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.networks import count_parameters
from countermark.core.seeds import rng, torch_rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.gan.diffaugment import augment
from countermark.generators.gan.latent import latent_pictures
from countermark.generators.gan.losses import LOSSES
from countermark.generators.latents.autoencoder import digest
from countermark.generators.latents.config import LatentConfig
from countermark.generators.library import save_generator
from countermark.generators.sketch.edges import doodle
from countermark.generators.sketch.hed import hed_is_installed, load_hed
from countermark.generators.sketch.latent import NAME, LatentSketch, LatentSketchConfig, PairCritic
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates


@dataclass(frozen=True)
class LatentSketchSettings:
    """How it is trained.

    Attributes:
        batch: Doodles a step; each is drawn with two codes.
        pair_weight: Of the critic that sees doodle and drawing together.
        pixel_weight: Of the L1 distance to the photograph's latents.
        seek_weight, seek: Of the mode-seeking term, and the distance of two drawings over that of their
            codes above which it asks for no more.
        edges: As for ``sketch.training``.
        seed: Of weights, doodles and codes.
    """

    batch: int = 16
    rate: float = 4e-4
    pair_weight: float = 1.0
    pixel_weight: float = 3.0
    seek_weight: float = 2.0
    seek: float = 0.6
    checkpoint_minutes: float = 2.0
    edges: Literal["auto", "hed", "soft"] = "auto"
    seed: int = 0
    bf16: bool = True


def train_latent_sketch(
    data: Path | str,
    out: Path | str,
    *,
    name: str = NAME,
    config: LatentSketchConfig | None = None,
    settings: LatentSketchSettings | None = None,
    minutes: float | None = None,
    images: int = 200_000,
    resume: bool = False,
    holdout: float = 0.15,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains and returns the path of the weights; card, checkpoint and latents lie beside them.

    Args:
        data: Folder or zip archive of photographs.
        minutes: By ``clock``, without the encoding; None trains for ``images`` photographs.
        resume: Go on from the checkpoint in ``out``.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.

    Raises:
        CorpusError: under two readable photographs; ``latents.foreign``: latents of another set in ``out``.
        OutputError: ``out`` holds a run already and ``resume`` is not set.
        MissingExtraError: the network behind the critic, or ``edges="hed"``, without its package.
        TrainingError: ``training.diverged`` (the last good checkpoint stays), ``training.disk`` or
            ``training.stopped`` (by a signal).
    """
    config, settings, out = config or LatentSketchConfig(), settings or LatentSketchSettings(), Path(out)
    loop = StepLoop(
        out, settings.batch, images, settings.rate, minutes=minutes, resume=resume, counted="doodles",
        checkpoint_minutes=settings.checkpoint_minutes, seed=settings.seed, clock=clock,
    )  # fmt: skip
    loop.check(f"{name}.safetensors")
    pictures = load_pictures(data, size=config.size, options=DataConfig(holdout=holdout), seed=settings.seed)
    run = _Run(config, settings, pictures, out / "latents")
    identity = {"family": NAME, "network": config.model_dump(), "seed": settings.seed, "edges": run.edges}
    modules = {
        "generator": run.generator, "critic": run.critic, "pair": run.pair, "average": run.average.network,
    }  # fmt: skip
    optimisers: dict[str, torch.optim.Optimizer] = {
        "generator_optimiser": run.opt_g,
        "critic_optimiser": run.opt_d,
    }
    progress = loop.run(run.step, modules, optimisers, identity)
    network = LatentSketch(config)
    network.drawing.load_state_dict(run.average.network.state_dict())
    network.space.load_state_dict(run.real.space.state_dict())
    return save_generator(out, network, _card(name, config, settings, pictures, progress, run, holdout))


class _Run:
    """The networks and optimisers of one run, and one step of it."""

    def __init__(
        self, config: LatentSketchConfig, settings: LatentSketchSettings, pictures: Pictures, folder: Path
    ) -> None:
        self.config, self.settings, self.pictures = config, settings, pictures
        self.real = latent_pictures(pictures, folder, mirror=True)
        eyes = LatentConfig(size=config.size, critic_width=config.critic_width)
        with torch_seeded(settings.seed):
            self.generator = LatentSketch(config).drawing
            self.critic, self.pair = ProjectedCritic(eyes), PairCritic(config)
        self.critic.space.load_state_dict(self.real.space.state_dict())
        for network in (self.generator, self.critic, self.pair):
            network.to(memory_format=torch.channels_last)
        self.average = Ema(self.generator, half_life=4000)
        self.opt_g = torch.optim.Adam(self.generator.parameters(), settings.rate, (0.0, 0.99))
        judges = [p for c in (self.critic, self.pair) for p in c.parameters() if p.requires_grad]
        self.opt_d = torch.optim.Adam(judges, settings.rate, (0.0, 0.99))
        self.loss = LOSSES.get("hinge")
        self.edges = settings.edges
        if settings.edges == "auto":
            self.edges = "hed" if hed_is_installed() else "soft"
        self.outlines = load_hed().outlines(pictures.images) if self.edges == "hed" else None

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Standardised latents [N, 32, s, s] of photographs, and their conditions [N, 5, S, S]."""
        draw = rng(self.settings.seed, "batch", step)
        picks = draw.integers(len(self.pictures), size=self.settings.batch)
        flips = draw.random(len(picks)) < 0.5
        conditions = []
        for pick, flip in zip(picks, flips, strict=True):
            image = self.pictures.images[pick]
            outline = None if self.outlines is None else self.outlines[pick]
            if flip:
                image = np.ascontiguousarray(image[:, ::-1])
                outline = None if outline is None else np.ascontiguousarray(outline[:, ::-1])
            conditions.append(doodle(image, draw, outline=outline))
        real = self.real.tensors(torch.from_numpy(picks), torch.from_numpy(flips))
        return real, torch.from_numpy(np.stack(conditions)).permute(0, 3, 1, 2).contiguous()

    def step(self, progress: Progress, share: float) -> Losses:
        """One step of all networks; rates fall linearly over the last 40 %."""
        s = self.settings
        set_rates([(self.opt_g, s.rate), (self.opt_d, s.rate)], share, last=0.4)
        real, condition = self.batch(progress.step)
        z = torch.randn(2 * len(real), self.config.latent, generator=torch_rng(s.seed, "z", progress.step))
        twice = torch.cat([condition, condition]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            fake = self.generator(z, twice)
            loss_d = self._judge(real, fake[: len(real)].detach(), condition)
        self.opt_d.zero_grad(set_to_none=True)
        loss_d.backward()
        self.opt_d.step()
        for judge in (self.critic, self.pair):
            judge.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            adversarial = self.loss.generator(self.critic(_seen(fake)).float(), None)
            paired = self.loss.generator(self.pair(fake, twice).float(), None)
        one, two = fake.float().chunk(2)
        # Only the nearer of the two must match: the other may be another garment in the same outline.
        misses = torch.stack([(part - real).abs().mean(dim=(1, 2, 3)) for part in (one, two)])
        pixel = misses.min(dim=0).values.mean() + 0.25 * misses.mean()
        apart = (one - two).abs().mean(dim=(1, 2, 3))
        codes = (z[: len(real)] - z[len(real) :]).abs().mean(dim=1)
        seek = F.relu(s.seek - apart / codes).mean()
        loss_g = adversarial + s.pair_weight * paired + s.pixel_weight * pixel + s.seek_weight * seek
        self.opt_g.zero_grad(set_to_none=True)
        loss_g.backward()
        self.opt_g.step()
        self.critic.requires_grad_(True)
        self.pair.requires_grad_(True)
        self.average.update(self.generator, len(real), progress.images + len(real))
        return {"critic": float(loss_d.detach()), "generator": float(loss_g.detach())}

    def _judge(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """Loss of both critics."""
        value = self.loss.critic(self.critic(_seen(real)).float(), self.critic(_seen(fake)).float())
        matched, drawn = self.pair(real, condition).float(), self.pair(fake, condition).float()
        return value + self.loss.critic(matched, drawn)


def _seen(latents: Tensor) -> Tensor:
    """As the unconditional critic sees latents; the one that compares places sees them unmoved."""
    return augment(latents, ("translation", "cutout"))


def _card(
    name: str,
    config: LatentSketchConfig,
    settings: LatentSketchSettings,
    pictures: Pictures,
    progress: Progress,
    run: _Run,
    holdout: float,
) -> WeightsCard:
    return WeightsCard(
        name=name,
        kind="generator",
        family=NAME,
        summary=f"Doodle to image at {config.size} px in the latent space; "
        f"{count_parameters(run.generator):,} parameters.",
        config=config.model_dump(),
        preprocessing={
            "condition": "doodle", "range": "[-1, 1]", "order": "RGB", "decoder": digest("decoder"),
        },
        training_data=[f"{pictures.name}: {len(pictures)} photographs, {len(pictures.heldout)} held out"],
        trained={
            "seed": settings.seed,
            "doodles": progress.images,
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 2),
            "batch": settings.batch,
            "pair_weight": settings.pair_weight,
            "pixel_weight": settings.pixel_weight,
            "seek_weight": settings.seek_weight,
            "edges": run.edges,
            "holdout": holdout,
            "command": f"countermark train sketch-latent DATA --out DIR --size {config.size}",
        },
        limits=["Draws only what it was trained on; a doodle of anything else is filled in the same way."],
    )  # fmt: skip
