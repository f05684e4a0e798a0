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

from countermark.core.images import Pixels
from countermark.core.networks import count_parameters
from countermark.core.perturb import perturb
from countermark.core.seeds import rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.base import to_tensor
from countermark.generators.data.photographs import read_photographs
from countermark.generators.gan.losses import LOSSES
from countermark.generators.library import save_generator
from countermark.generators.superres.network import DetailCritic, SuperresConfig, SuperResolver
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates

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
        CorpusError, OutputError (``output.exists``), TrainingError (see ``steps.StepLoop``).
    """
    config, settings, out = config or SuperresConfig(), settings or SuperresSettings(), Path(out)
    loop = StepLoop(
        out, settings.batch, images, settings.rate, minutes=minutes, resume=resume, counted="crops",
        checkpoint_minutes=settings.checkpoint_minutes, seed=settings.seed, clock=clock,
    )  # fmt: skip
    loop.check(f"{name}.safetensors")
    found = read_photographs(data, least=settings.patch, seed=settings.seed)
    run = _Run(config, settings, found.train)
    modules = {"network": run.network, "critic": run.critic, "average": run.average.network}
    optimisers: dict[str, torch.optim.Optimizer] = {
        "network_optimiser": run.opt_g,
        "critic_optimiser": run.opt_d,
    }
    identity = {"family": "superres", "network": config.model_dump(), "seed": settings.seed}
    progress = loop.run(run.step, modules, optimisers, identity)
    card = WeightsCard(
        name=name,
        kind="generator",
        family="superres",
        summary=f"Twice or four times the side; {count_parameters(run.network):,} parameters.",
        config=config.model_dump(),
        preprocessing={"condition": "image", "range": "[-1, 1]", "order": "RGB"},
        training_data=[
            f"{Path(data).name}: {len(found.train)} photographs, {len(found.heldout)} held out, "
            f"{found.skipped} skipped"
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
    return save_generator(out, run.average.network, card)


class _Run:
    """The networks and optimisers of one run, and one step of it."""

    def __init__(self, config: SuperresConfig, settings: SuperresSettings, photographs: list[Pixels]) -> None:
        self.settings, self.photographs = settings, photographs
        with torch_seeded(settings.seed):
            self.network, self.critic = SuperResolver(config), DetailCritic(config)
        self.network.to(memory_format=torch.channels_last)
        self.average = Ema(self.network, half_life=2000)
        self.opt_g = torch.optim.Adam(self.network.parameters(), settings.rate, (0.9, 0.99))
        self.opt_d = torch.optim.Adam(self.critic.parameters(), settings.rate, (0.5, 0.99))
        self.loss = LOSSES.get("hinge")

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Small crops [N, 3, P/2, P/2] and large ones [N, 3, P, P]."""
        patch, jpeg = self.settings.patch, self.settings.jpeg
        draw = rng(self.settings.seed, "batch", step)
        large = []
        for pick in draw.integers(len(self.photographs), size=self.settings.batch):
            photograph = self.photographs[int(pick)]
            top = int(draw.integers(photograph.shape[0] - patch + 1))
            left = int(draw.integers(photograph.shape[1] - patch + 1))
            crop = photograph[top : top + patch, left : left + patch]
            large.append(crop[:, ::-1] if draw.random() < 0.5 else crop)
        small = [degrade(np.ascontiguousarray(crop), draw, jpeg) for crop in large]
        return to_tensor(np.stack(small)), to_tensor(np.stack(large))

    def step(self, progress: Progress, share: float) -> Losses:
        """One step of both networks; the network's rate falls linearly over the last 40 %."""
        s = self.settings
        small, large = self.batch(progress.step)
        set_rates([(self.opt_g, s.rate)], share, last=0.4)
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            made = self.network(small)
        value = F.l1_loss(made.float(), large)
        critical = torch.zeros(())
        if s.adversarial and share >= s.warm:
            with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
                judged = self.critic(large).float(), self.critic(made.detach()).float()
                critical = self.loss.critic(*judged)
            self.opt_d.zero_grad(set_to_none=True)
            critical.backward()
            self.opt_d.step()
            self.critic.requires_grad_(False)
            with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
                value = value + s.adversarial * self.loss.generator(self.critic(made).float(), None)
        self.opt_g.zero_grad(set_to_none=True)
        value.backward()
        self.opt_g.step()
        self.critic.requires_grad_(True)
        self.average.update(self.network, s.batch, progress.images + s.batch)
        return {"critic": float(critical.detach()), "generator": float(value.detach())}
