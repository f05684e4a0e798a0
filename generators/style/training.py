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

from countermark.core.errors import ConfigError, CorpusError, ImageError, TrainingError
from countermark.core.images import Pixels, iter_image_paths, read_image
from countermark.core.networks import count_parameters
from countermark.core.seeds import derive, rng
from countermark.core.weights import WeightsCard, save_weights
from countermark.generators.checkpoints import Progress, load_checkpoint, refuse_used_folder, save_checkpoint
from countermark.generators.ema import Ema
from countermark.generators.models import to_tensor
from countermark.generators.style.adain import STEP, AdainConfig, AdainDecoder, adapt, distance, measure
from countermark.generators.style.encoder import Encoder, load_encoder


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


def load_pictures(folder: Path | str, side: int, limit: int, seed: int = 0) -> tuple[list[Pixels], int]:
    """Pictures shrunk to a short side of 2.5 ``side``, and how many were skipped.

    One picture in ten is left out, for figures; see ``held_out``.

    Raises:
        CorpusError: ``corpus.missing`` or ``corpus.too-small`` (under two).
    """
    root = Path(folder)
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder of pictures.", code="corpus.missing")
    pictures: list[Pixels] = []
    skipped = 0
    for path in iter_image_paths([root]):
        if held_out(path.relative_to(root), seed):
            continue
        try:
            pixels = read_image(path).pixels
        except ImageError:
            skipped += 1
            continue
        short = min(pixels.shape[:2])
        if short < side:
            skipped += 1
            continue
        scale = 2.5 * side / short
        if scale < 1:
            shape = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
            pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
        pictures.append(pixels)
        if len(pictures) >= limit:
            break
    if len(pictures) < 2:
        raise CorpusError(
            f"{root} holds {len(pictures)} pictures of {side} pixels or more to train on.",
            code="corpus.too-small",
            hint=f"Give at least some dozens; {skipped} were unreadable or too small.",
        )
    return pictures, skipped


def held_out(path: Path, seed: int = 0) -> bool:
    """Whether a picture, by its path inside its folder, is kept out of the training: one in ten."""
    return derive(seed, "holdout", path.as_posix()) / 2**63 < 0.1


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
        TrainingError: ``training.diverged`` or ``training.disk``.
    """
    settings, out = settings or StyleTraining(), Path(out)
    settings.check()
    if images < 1 or (minutes is not None and minutes <= 0):
        raise ConfigError("Training needs at least one image and more than no minutes.")
    refuse_used_folder(out, resume=resume, weights=f"{name}.safetensors")
    config = config or AdainConfig()
    encoder = load_encoder(config.encoder).requires_grad_(False)
    photographs, skipped = load_pictures(content, settings.side, settings.limit, settings.seed)
    paintings, skipped_styles = load_pictures(styles, settings.side, settings.limit, settings.seed)
    torch.manual_seed(settings.seed)
    network = AdainDecoder(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    calibrate(network, encoder, _crops(photographs, 16, settings.side, rng(settings.seed, "calibrate")))
    average = Ema(network, half_life=1500)
    optimiser = torch.optim.Adam(network.parameters(), settings.rate, (0.9, 0.99))
    modules = {"network": network, "average": average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {"optimiser": optimiser}
    identity = {"family": "adain", "network": config.model_dump(mode="json"), "seed": settings.seed}
    progress = load_checkpoint(out, modules, optimisers, identity) if resume else Progress()
    began, saved = clock() - progress.seconds, clock()
    out.mkdir(parents=True, exist_ok=True)
    losses = [0.0, 0.0]
    while progress.images < images and (minutes is None or progress.seconds < minutes * 60):
        share = progress.images / images if minutes is None else progress.seconds / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (1 - min(share, 1.0)) / 0.5 + 0.02)
        draw = rng(settings.seed, "batch", progress.step)
        pictures = _crops(photographs, settings.batch, settings.side, draw)
        looks = _crops(paintings, settings.batch, settings.side, draw)
        looks[-1] = pictures[-1]
        parts = style_losses(network, encoder, pictures, looks, bf16=settings.bf16)
        value = (
            parts["content"]
            + settings.style_weight * parts["style"]
            + settings.same_weight * parts["same"]
            + settings.smooth_weight * parts["smooth"]
        )
        if not bool(torch.isfinite(value)):
            raise TrainingError(
                f"The loss is not a number at step {progress.step}.",
                code="training.diverged",
                hint="Resume from the last checkpoint with a lower rate.",
            )
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        average.update(network, settings.batch, progress.images + settings.batch)
        losses = [0.99 * old + 0.01 * float(parts[k].detach()) for old, k in zip(losses, parts, strict=False)]
        progress.step += 1
        progress.images += settings.batch
        progress.seconds = clock() - began
        if clock() - saved > settings.checkpoint_minutes * 60:
            save_checkpoint(out, modules, optimisers, progress, identity)
            saved = clock()
    save_checkpoint(out, modules, optimisers, progress, identity)
    card = WeightsCard(
        name=name,
        kind="generator",
        family="adain",
        summary=f"Style transfer in one pass (AdaIN); {count_parameters(network):,} parameters.",
        config=config.model_dump(mode="json"),
        preprocessing={"condition": "image", "range": "[-1, 1]", "order": "RGB"},
        training_data=[
            f"content: {Path(content).name}, {len(photographs)} pictures, {skipped} skipped",
            f"styles: {Path(styles).name}, {len(paintings)} pictures, {skipped_styles} skipped",
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
            "last_losses": {"content": round(losses[0], 4), "style": round(losses[1], 4)},
            "encoder_sha256": encoder.sha256,
            "command": "countermark train style CONTENT STYLES --out DIR",
        },
        limits=["The result shows the content image: a composite, not a new picture."],
    )
    tensors = {k: v.half() for k, v in average.network.state_dict().items()}
    return save_weights(out, tensors, card)


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
