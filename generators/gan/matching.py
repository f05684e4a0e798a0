"""Training of a flow on layouts: ``fit_flow``, with the budget, checkpoints and grids of ``fitting.fit``.

No critic takes part: each layout is mixed with noise, and the network learns which way the noise is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from countermark.core.seeds import torch_rng
from countermark.generators.families.flow import LayoutFlow, shares_of_time, straight
from countermark.generators.gan.fitting import Fitted, RealSet, make_fabric, on_device, step_of, together
from countermark.generators.recipes.schema import OptimiserConfig, Recipe
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.previews import PREVIEW, write_preview
from countermark.generators.training.steps import Losses, StepLoop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: What flows are trained with unless a recipe says otherwise.
OPTIMISER = OptimiserConfig(
    generator_rate=8e-4, beta1=0.9, beta2=0.99, batch=64, decay_after=0.5, final_rate=0.02
)
#: Share of the pictures whose class is not told, so that the flow learns what every class has in common.
UNTOLD = 0.1
#: Steps in which the rate rises from nothing, and the longest gradient that is followed.
_RISE, _LONGEST = 200, 1.0


def fit_flow(
    flow: LayoutFlow,
    real: RealSet,
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    fabric: Fabric | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fitted:
    """Trains ``flow`` on ``real``, whose tensors are layouts; arguments, files and errors as ``fitting.fit``.

    Centre and spread must have been measured before.
    """
    fabric = fabric or make_fabric(recipe)
    run = _Run(flow, real, recipe, out, seed, fabric)
    loop = StepLoop(
        out,
        batch=run.shown,
        images=recipe.images,
        minutes=recipe.minutes,
        rate=recipe.optimiser.generator_rate,
        resume=resume,
        counted="layouts",
        checkpoint_minutes=recipe.checkpoint_minutes,
        seed=seed,
        title=f"{recipe.name} on {real.name}" if progress else "",
        fabric=fabric,
        clock=clock,
    )
    identity = {"family": "layout-flow", "network": recipe.network, "seed": seed}
    identity["classes"] = list(real.classes)
    modules = {"flow": run.flow, "average": run.average.network}
    done = loop.run(run.step, modules, {"optimiser": run.optimiser}, identity, after=run.after)
    return Fitted(run.average.network, run.flow, None, done)


class _Run:
    """The network and optimiser of one run, one step of it, and the sample grids between steps."""

    def __init__(
        self, flow: LayoutFlow, real: RealSet, recipe: Recipe, out: Path, seed: int, fabric: Fabric
    ) -> None:
        self.real, self.recipe, self.out, self.seed, self.fabric = real, recipe, out, seed, fabric
        self.flow = on_device(flow, fabric.device)
        self.average = Ema(self.flow, recipe.ema_images, recipe.ema_ramp)
        settings = recipe.optimiser
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.flow.parameters(),
            settings.generator_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=0.01,
        )
        self.labels = None if real.labels is None else torch.from_numpy(real.labels)
        self.shown = settings.batch * fabric.world_size

    def step(self, at: Progress, share: float) -> Losses:
        """One batch of layouts at random times."""
        settings = self.recipe.optimiser
        rate = settings.generator_rate * settings.decayed(share) * min((at.step + 1) / _RISE, 1)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        place, moment, labels, wanted = self._draw(at.step)
        with self.fabric.autocast():
            found = self.flow.velocity(place, moment, labels)
        value = (found - wanted).square().mean()
        step_of(self.fabric, self.optimiser, self.flow, value, longest=_LONGEST)
        self.average.update(self.flow, self.shown, at.images + self.shown)
        return {"flow": together(self.fabric, value)[0]}

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Layouts mixed with noise, at what times, their classes, and the velocity there."""
        source = torch_rng(self.seed, "flow", step, self.fabric.global_rank)
        batch, device = self.recipe.optimiser.batch, self.fabric.device
        index = torch.randint(len(self.real), (batch,), generator=source)
        mirrored = torch.rand(batch, generator=source) < 0.5 if self.recipe.data.mirror else None
        layouts = self.flow.even(self.real.tensors(index, mirrored).to(device))
        moment = shares_of_time(batch, source)
        noise = torch.randn(layouts.shape, generator=source)
        labels = None
        if self.labels is not None:
            untold = torch.rand(batch, generator=source) < UNTOLD
            labels = self.labels[index].masked_fill(untold, self.flow.classes).to(device)
        place, wanted = straight(layouts, noise.to(device), moment.to(device))
        return place, moment.to(device), labels, wanted

    def after(self, at: Progress, share: float, losses: Losses) -> bool:
        """A sample grid, if one is due."""
        every = self.recipe.preview_images
        due = at.images // every > (at.images - self.shown) // every or share >= 1
        if due and self.fabric.is_global_zero:
            device, classes = self.fabric.device, len(self.real.classes)
            z = torch.randn((PREVIEW, self.flow.length), generator=torch_rng(0, "preview")).to(device)
            labels = torch.arange(PREVIEW, device=device) % classes if classes else None
            network: nn.Module = self.average.network
            with torch.no_grad():
                pixels = self.real.painted(network(z, labels))
            write_preview(self.out, at.images, pixels)
        return False
