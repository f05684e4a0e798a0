"""Training of ``superres`` on any folder of photographs, with degradations that files really have.

>>> train_superres("photos", "runs/mine", minutes=30)                     # doctest: +SKIP

Random crops are halved with area, bilinear or bicubic filters, and most of them are saved as JPEG
(quality 60-95) before the network sees them, so that it does not sharpen blocks. Loss: L1, then L1
and hinge against a patch critic (as Ledig et al. 2017, without their VGG term, which needs weights).
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
from countermark.core.perturb import perturb
from countermark.core.seeds import derive, rng
from countermark.core.weights import WeightsCard, save_weights
from countermark.generators.checkpoints import Progress, load_checkpoint, refuse_used_folder, save_checkpoint
from countermark.generators.ema import Ema
from countermark.generators.losses import LOSSES
from countermark.generators.models import to_tensor
from countermark.generators.superres.network import DetailCritic, SuperresConfig, SuperResolver

FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


@dataclass(frozen=True)
class SuperresSettings:
    """How it is trained.

    Attributes:
        patch: Side of the large crops in pixels, even.
        adversarial: Weight of the critic; 0 gives the best PSNR and no invented detail.
        warm: Share of the training without the critic.
        jpeg: Share of crops that are compressed.
    """

    batch: int = 8
    patch: int = 64
    rate: float = 5e-4
    adversarial: float = 0.008
    warm: float = 0.5
    jpeg: float = 0.6
    checkpoint_minutes: float = 2.0
    seed: int = 0
    bf16: bool = True


def degrade(patch: Pixels, generator: np.random.Generator, jpeg: float = 0.6) -> Pixels:
    """Half the side by a random filter, then perhaps JPEG; uint8 [H, W, 3] to [H/2, W/2, 3]."""
    height, width = patch.shape[:2]
    kind = int(generator.choice(FILTERS))
    small = cv2.resize(patch, (width // 2, height // 2), interpolation=kind)
    if generator.random() < jpeg:
        small = perturb(f"jpeg:{int(generator.integers(60, 96))}", small)
    return small


def load_photographs(
    data: Path | str, patch: int, *, holdout: float = 0.1, seed: int = 0, limit: int = 2000
) -> tuple[list[Pixels], list[Pixels], int]:
    """Photographs of at least ``patch`` pixels a side: training, held out, and how many were skipped.

    Raises:
        CorpusError: ``corpus.missing`` or ``corpus.too-small``.
    """
    root = Path(data)
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder of photographs.", code="corpus.missing")
    train: list[Pixels] = []
    held: list[Pixels] = []
    skipped = 0
    for path in iter_image_paths([root]):
        try:
            pixels = read_image(path).pixels
        except ImageError:
            skipped += 1
            continue
        if min(pixels.shape[:2]) < patch:
            skipped += 1
            continue
        hold = derive(seed, "holdout", path.relative_to(root).as_posix()) / 2**63 < holdout
        (held if hold else train).append(pixels)
        if len(train) >= limit:
            break
    if len(train) < 2:
        raise CorpusError(
            f"{root} holds {len(train)} photographs of {patch} pixels or more to train on.",
            code="corpus.too-small",
            hint=f"Give at least some dozens; {skipped} were unreadable or too small.",
        )
    return train, held, skipped


def train_superres(
    data: Path | str,
    out: Path | str,
    *,
    name: str = "superres",
    config: SuperresConfig | None = None,
    settings: SuperresSettings | None = None,
    minutes: float | None = None,
    images: int = 200_000,
    resume: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains and returns the path of the weights; card and checkpoint lie beside them.

    Raises:
        CorpusError, OutputError (``output.exists``), TrainingError (``training.diverged``).
    """
    config, settings, out = config or SuperresConfig(), settings or SuperresSettings(), Path(out)
    if images < 1 or (minutes is not None and minutes <= 0):
        raise ConfigError("Training needs at least one image and more than no minutes.")
    refuse_used_folder(out, resume=resume, weights=f"{name}.safetensors")
    photographs, held, skipped = load_photographs(data, settings.patch, seed=settings.seed)
    torch.manual_seed(settings.seed)
    network, critic = SuperResolver(config), DetailCritic(config)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Ema(network, half_life=2000)
    opt_g = torch.optim.Adam(network.parameters(), settings.rate, (0.9, 0.99))
    opt_d = torch.optim.Adam(critic.parameters(), settings.rate, (0.5, 0.99))
    modules = {"network": network, "critic": critic, "average": average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {"network_optimiser": opt_g, "critic_optimiser": opt_d}
    identity = {"family": "superres", "network": config.model_dump(), "seed": settings.seed}
    progress = load_checkpoint(out, modules, optimisers, identity) if resume else Progress()
    began, saved = clock() - progress.seconds, clock()
    out.mkdir(parents=True, exist_ok=True)
    loss = LOSSES.get("hinge")
    while progress.images < images and (minutes is None or progress.seconds < minutes * 60):
        share = progress.images / images if minutes is None else progress.seconds / (minutes * 60)
        small, large = _batch(photographs, settings, progress.step)
        for group in opt_g.param_groups:
            group["lr"] = settings.rate * min(1.0, (1 - share) / 0.4 + 0.02)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            made = network(small)
        value = F.l1_loss(made.float(), large)
        if settings.adversarial and share >= settings.warm:
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
                critical = loss.critic(critic(large).float(), critic(made.detach()).float())
            opt_d.zero_grad(set_to_none=True)
            critical.backward()
            opt_d.step()
            critic.requires_grad_(False)
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
                value = value + settings.adversarial * loss.generator(critic(made).float(), None)
        if not bool(torch.isfinite(value)):
            raise TrainingError(
                f"The loss is not a number at step {progress.step}.",
                code="training.diverged",
                hint="Resume from the last checkpoint with a lower rate.",
            )
        opt_g.zero_grad(set_to_none=True)
        value.backward()
        opt_g.step()
        critic.requires_grad_(True)
        average.update(network, settings.batch, progress.images + settings.batch)
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
        family="superres",
        summary=f"Twice or four times the side; {count_parameters(network):,} parameters.",
        config=config.model_dump(),
        preprocessing={"condition": "image", "range": "[-1, 1]", "order": "RGB"},
        training_data=[
            f"{Path(data).name}: {len(photographs)} photographs, {len(held)} held out, {skipped} skipped"
        ],
        trained={
            "seed": settings.seed,
            "crops": progress.images,
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 2),
            "adversarial": settings.adversarial,
            "jpeg": settings.jpeg,
            "command": "countermark train superres DATA --out DIR",
        },
        limits=["Fine detail is invented, not recovered: not for evidence, faces or text."],
    )
    tensors = {k: v.half() for k, v in average.network.state_dict().items()}
    return save_weights(out, tensors, card)


def _batch(photographs: list[Pixels], settings: SuperresSettings, step: int) -> tuple[Tensor, Tensor]:
    """Small crops [N, 3, P/2, P/2] and large ones [N, 3, P, P]."""
    draw = rng(settings.seed, "batch", step)
    large = []
    for pick in draw.integers(len(photographs), size=settings.batch):
        photograph = photographs[int(pick)]
        top = int(draw.integers(photograph.shape[0] - settings.patch + 1))
        left = int(draw.integers(photograph.shape[1] - settings.patch + 1))
        crop = photograph[top : top + settings.patch, left : left + settings.patch]
        large.append(crop[:, ::-1] if draw.random() < 0.5 else crop)
    small = [degrade(np.ascontiguousarray(crop), draw, settings.jpeg) for crop in large]
    return to_tensor(np.stack(small)), to_tensor(np.stack(large))
