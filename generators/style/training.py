"""Training of a feed-forward style network on a folder of content and a folder of styles.

>>> train_style("photos", "paintings", "runs/mine", minutes=30)             # doctest: +SKIP

Loss, as Huang & Belongie (2017): distance of the result's coarsest features to the adapted ones
(content), and of its channel statistics to the style's (style). Beyond the paper: a share of the
pairs has the content as its own style and must give the content back, and a little smoothness.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.networks import count_parameters
from countermark.core.seeds import rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.base import to_tensor
from countermark.generators.data.photographs import Photographs, read_photographs
from countermark.generators.library import save_generator
from countermark.generators.style.adain import STEP, AdainConfig, AdainDecoder, adapt, distance, measure
from countermark.generators.style.encoder import Encoder, load_encoder
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates


@dataclass(frozen=True)
class StyleTraining:
    """How it is trained.

    Attributes:
        batch: Pairs of content and style a step; the last one has its content as its style.
        side: Of the crops in pixels, a multiple of 8.
        style_weight: Of the style loss; that of content is 1.
        same_weight: Of the L1 distance where content and style are one picture.
        smooth_weight: Of the mean difference of neighbouring pixels.
        limit: Most pictures read of each folder.
    """

    batch: int = 4
    side: int = 96
    rate: float = 1e-3
    style_weight: float = 6.0
    same_weight: float = 4.0
    smooth_weight: float = 0.1
    limit: int = 1500
    checkpoint_minutes: float = 2.0
    seed: int = 0
    bf16: bool = True

    def check(self) -> None:
        """ConfigError ``style.training`` for values that mean nothing."""
        if not (self.batch >= 2 and 32 <= self.side <= 512 and self.side % STEP == 0):
            raise ConfigError(
                "The settings of the style training are out of range.",
                code="style.training",
                hint=f"At least 2 pairs a step; crops of 32 to 512 pixels, a multiple of {STEP}.",
            )


def train_style(
    content: Path | str,
    styles: Path | str,
    out: Path | str,
    *,
    name: str = "style-adain",
    config: AdainConfig | None = None,
    settings: StyleTraining | None = None,
    minutes: float | None = None,
    images: int = 200_000,
    resume: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains and returns the path of the weights; card and checkpoint lie beside them.

    Args:
        content, styles: Folders of pictures.
        minutes: By ``clock``; None trains for ``images`` pairs.
        resume: Go on from the checkpoint in ``out``.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.

    Raises:
        CorpusError: under two readable pictures in a folder.
        MissingExtraError: the encoder's package is not installed.
        OutputError: ``out`` holds a run already and ``resume`` is not set.
        TrainingError: ``training.diverged``, ``training.disk`` or ``training.stopped``.
    """
    settings, out = settings or StyleTraining(), Path(out)
    settings.check()
    loop = StepLoop(
        out, settings.batch, images, settings.rate, minutes=minutes, resume=resume, counted="pairs",
        checkpoint_minutes=settings.checkpoint_minutes, seed=settings.seed, clock=clock,
    )  # fmt: skip
    loop.check(f"{name}.safetensors")
    config = config or AdainConfig()
    encoder = load_encoder(config.encoder).requires_grad_(False)
    photographs, paintings = (_read(folder, settings) for folder in (content, styles))
    run = _Run(config, settings, encoder, photographs.train, paintings.train)
    modules = {"network": run.network, "average": run.average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {"optimiser": run.optimiser}
    identity = {"family": "adain", "network": config.model_dump(mode="json"), "seed": settings.seed}
    progress = loop.run(run.step, modules, optimisers, identity)
    card = WeightsCard(
        name=name,
        kind="generator",
        family="adain",
        summary=f"Style transfer in one pass (AdaIN); {count_parameters(run.network):,} parameters.",
        config=config.model_dump(mode="json"),
        preprocessing={"condition": "image", "range": "[-1, 1]", "order": "RGB"},
        training_data=[
            f"{kind}: {Path(folder).name}, {len(found.train)} pictures, {found.skipped} skipped"
            for kind, folder, found in (("content", content, photographs), ("styles", styles, paintings))
        ],
        trained={
            "seed": settings.seed,
            "pairs": progress.images,
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 2),
            "batch": settings.batch,
            "side": settings.side,
            "style_weight": settings.style_weight,
            "same_weight": settings.same_weight,
            "smooth_weight": settings.smooth_weight,
            "last_losses": {key: round(value, 4) for key, value in run.recent.items()},
            "encoder_sha256": encoder.sha256,
            "command": "countermark train style CONTENT STYLES --out DIR",
        },
        limits=["The result shows the content image: a composite, not a new picture."],
    )
    return save_generator(out, run.average.network, card)


def _read(folder: Path | str, settings: StyleTraining) -> Photographs:
    """Pictures for training; what is held out, for figures, is not read."""
    return read_photographs(
        folder, least=settings.side, shrink_to=round(2.5 * settings.side), read_heldout=False,
        limit=settings.limit, seed=settings.seed,
    )  # fmt: skip


class _Run:
    """The network and optimiser of one run, and one step of it."""

    def __init__(
        self,
        config: AdainConfig,
        settings: StyleTraining,
        encoder: Encoder,
        photographs: list[Pixels],
        paintings: list[Pixels],
    ) -> None:
        self.settings, self.encoder = settings, encoder
        self.photographs, self.paintings = photographs, paintings
        with torch_seeded(settings.seed):
            network = AdainDecoder(config)
        self.network = network.to(memory_format=torch.channels_last)
        calibrate(network, encoder, _crops(photographs, 16, settings.side, rng(settings.seed, "calibrate")))
        self.average = Ema(network, half_life=1500)
        self.optimiser = torch.optim.Adam(network.parameters(), settings.rate, (0.9, 0.99))
        #: Losses of content and style, averaged over about the last hundred steps.
        self.recent = {"content": 0.0, "style": 0.0}

    def step(self, progress: Progress, share: float) -> Losses:
        """One step; the rate falls linearly over the last half."""
        s = self.settings
        set_rates([(self.optimiser, s.rate)], share, last=0.5)
        draw = rng(s.seed, "batch", progress.step)
        pictures = _crops(self.photographs, s.batch, s.side, draw)
        looks = _crops(self.paintings, s.batch, s.side, draw)
        looks[-1] = pictures[-1]
        parts = style_losses(self.network, self.encoder, pictures, looks, bf16=s.bf16)
        value = (
            parts["content"]
            + s.style_weight * parts["style"]
            + s.same_weight * parts["same"]
            + s.smooth_weight * parts["smooth"]
        )
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.average.update(self.network, s.batch, progress.images + s.batch)
        self.recent = {k: 0.99 * old + 0.01 * float(parts[k].detach()) for k, old in self.recent.items()}
        return {"loss": float(value.detach())}


def style_losses(
    network: AdainDecoder, encoder: Encoder, content: Tensor, style: Tensor, *, bf16: bool = False
) -> dict[str, Tensor]:
    """The four losses of a batch; ``content`` and ``style`` are RGB [N, 3, S, S] in [-1, 1].

    ``same`` is the distance of the last result to the last content, meant for an equal pair.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            maps = network.features(encoder, _last(torch.cat([content, style])))
            own, wanted = (
                measure([m[: len(content)] for m in maps]),
                measure([m[len(content) :] for m in maps]),
            )
            target = adapt([m[: len(content)] for m in maps], own, wanted)
        made = network([_last(t) for t in target])
        again = network.features(encoder, _last(made))
    made = made.float()
    rough = (made[..., 1:] - made[..., :-1]).abs().mean() + (
        made[..., 1:, :] - made[..., :-1, :]
    ).abs().mean()
    return {
        "content": F.mse_loss(again[-1].float(), target[-1].float()),
        "style": distance(measure(again), wanted),
        "same": F.l1_loss(made[-1], content[-1]),
        "smooth": rough + (made.abs() - 1).clamp_min(0).mean(),
    }


@torch.no_grad()
def calibrate(network: AdainDecoder, encoder: Encoder, pictures: Tensor) -> None:
    """Sets the scales so that every channel's mean is about 1; silent channels are not blown up."""
    for level, maps in enumerate(encoder(pictures)):
        means = maps.abs().mean(dim=(0, 2, 3))
        floor = 0.1 * means.median().clamp_min(1e-6)
        network.get_buffer(f"scale{level}").copy_(1 / means.clamp_min(float(floor)))


def _crops(pictures: list[Pixels], count: int, side: int, draw: np.random.Generator) -> Tensor:
    """Random squares of random pictures at random scale, half of them mirrored; [count, 3, side, side]."""
    crops = []
    for pick in draw.integers(len(pictures), size=count):
        picture = pictures[int(pick)]
        height, width = picture.shape[:2]
        edge = int(draw.integers(side, min(height, width) + 1))
        top, left = int(draw.integers(height - edge + 1)), int(draw.integers(width - edge + 1))
        crop = cv2.resize(
            picture[top : top + edge, left : left + edge], (side, side), interpolation=cv2.INTER_AREA
        )
        crops.append(crop[:, ::-1] if draw.random() < 0.5 else crop)
    return to_tensor(np.stack(crops))


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
