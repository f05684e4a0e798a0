"""The training loop: one for every family, and for networks that no family builds.

``fit`` takes any pair of networks that follow ``countermark.generators.families.base``;
``gan.train`` wraps it for users. Devices, precision and processes come from
lightning-fabric; gradients are averaged over processes by hand, because a GAN steps through one
network while it trains the other. Each step is seeded by (seed, step, process), so a resumed run
goes on exactly as one that was never stopped, as long as its budget is counted in images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from countermark.core.errors import OutputError, TrainingError
from countermark.core.images import write_image
from countermark.core.seeds import derive, torch_rng
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.data.pictures import Pictures
from countermark.generators.families.base import SelfSupervised
from countermark.generators.gan.diffaugment import augment, roll
from countermark.generators.gan.losses import LOSSES
from countermark.generators.gan.regularisers import gradient_penalty, zero_centred
from countermark.generators.grids import sheet
from countermark.generators.recipes.schema import Recipe
from countermark.generators.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from countermark.generators.training.ema import Ema
from countermark.generators.training.progress import StopSignal, TrainingBar
from countermark.generators.training.steps import all_finite, diverged, stopped

PREVIEW = 36


@dataclass
class Fitted:
    """What ``fit`` returns: the averaged generator, both trained networks, and how far it came."""

    average: nn.Module
    generator: nn.Module
    critic: nn.Module
    progress: Progress
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    generator: nn.Module,
    critic: nn.Module,
    pictures: Pictures,
    recipe: Recipe,
    out: Path,
    *,
    latent: int,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    fabric: Fabric | None = None,
    on_preview: Callable[[nn.Module, Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fitted:
    """Trains ``generator`` against ``critic`` until the recipe's images or minutes are used up.

    Writes ``checkpoint.safetensors`` and ``samples-IMAGES.png`` into ``out``.

    Args:
        latent: Length of z.
        on_preview: Called with the averaged generator whenever a sample grid is due.
        clock: Seconds that count for the budget; ``time.process_time`` counts CPU time.

    Raises:
        TrainingError: ``training.diverged`` (says what to lower; the last good checkpoint stays),
            ``training.disk``, ``training.stopped`` (by a signal).
        WeightsError: ``resume`` with a checkpoint of another recipe, network or seed.
    """
    fabric = fabric or make_fabric(recipe)
    settings, loss, device = recipe.optimiser, LOSSES.get(recipe.loss), fabric.device
    generator, critic = (_place(n, device) for n in (generator, critic))
    ema = Ema(generator, recipe.ema_images, recipe.ema_ramp)
    betas = (settings.beta1, settings.beta2)
    optimisers: dict[str, torch.optim.Optimizer] = {
        "optimiser-g": torch.optim.Adam(generator.parameters(), settings.generator_rate, betas=betas),
        "optimiser-d": torch.optim.Adam(critic.parameters(), settings.critic_rate, betas=betas),
    }
    modules = {"generator": generator, "critic": critic, "average": ema.network}
    identity = {"family": recipe.family, "network": recipe.network, "loss": recipe.loss, "seed": seed}
    identity["classes"] = list(pictures.classes)
    at = load_checkpoint(out, modules, optimisers, identity) if resume else Progress()
    labels = None if pictures.labels is None else torch.from_numpy(pictures.labels)
    history: list[dict[str, float]] = []
    begun, before, first_images = clock(), at.seconds, at.images
    saved, previewed = at.seconds, at.images // recipe.preview_images
    batch = settings.batch * fabric.world_size

    def draw(step: int, part: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Real images, their labels and z for one critic or generator step."""
        source = torch_rng(seed, "batch", step, part, fabric.global_rank)
        index = torch.randint(len(pictures), (settings.batch,), generator=source)
        pixels = pictures.images[index.numpy()]
        if recipe.data.mirror:
            flipped = torch.rand(settings.batch, generator=source).numpy() < 0.5
            pixels = np.where(flipped[:, None, None, None], pixels[:, :, ::-1], pixels)
        real = to_tensor(pixels).to(device).contiguous(memory_format=torch.channels_last)
        chosen = None if labels is None else labels[index].to(device)
        return real, chosen, torch.randn(settings.batch, latent, generator=source).to(device)

    def seen(images: Tensor, *, real: bool = False) -> Tensor:
        """Images as the critic sees them."""
        if recipe.tiles == "both" or (recipe.tiles == "generated" and not real):
            images = roll(images)
        return augment(images, recipe.augment)

    def critic_loss(real: Tensor, fake: Tensor, classes: Tensor | None, count: int) -> Tensor:
        with fabric.autocast():
            seen_real, seen_fake = seen(real, real=True), seen(fake.detach())
            value = loss.critic(critic(seen_real, classes).float(), critic(seen_fake, classes).float())
            if isinstance(critic, SelfSupervised):
                value = value + critic.extra_loss(seen_real)
        weights = recipe.regulariser
        if count % weights.interval == 0:
            if weights.r1:
                value = value + weights.interval * weights.r1 * zero_centred(critic, seen_real, classes)
            if weights.r2:
                value = value + weights.interval * weights.r2 * zero_centred(critic, seen_fake, classes)
            if weights.gradient_penalty:
                penalty = gradient_penalty(critic, seen_real, seen_fake.float(), classes)
                value = value + weights.interval * weights.gradient_penalty * penalty
        return value

    def generator_loss(real: Tensor, fake: Tensor, classes: Tensor | None) -> Tensor:
        with fabric.autocast():
            judged = critic(seen(fake), classes).float()
            paired = critic(seen(real, real=True), classes).float() if loss.paired else None
            return loss.generator(judged, paired)

    def checkpoint() -> None:
        # A loss can be finite and its gradient not: such weights never replace a good checkpoint.
        if not all_finite(generator, critic):
            raise _diverged(recipe, at, out, "A weight")
        if fabric.is_global_zero:
            save_checkpoint(out, modules, optimisers, at, identity)

    title = f"{recipe.name} on {pictures.name}"
    with TrainingBar(title, enabled=progress and fabric.is_global_zero) as bar, StopSignal() as stop:
        share = _share(recipe, at)
        while share < 1:
            _set_rates(optimisers, settings, share)
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(derive(seed, "step", at.step, fabric.global_rank))
                for turn in range(settings.critic_steps):
                    real, classes, z = draw(at.step, turn)
                    with fabric.autocast():
                        fake = generator(z, classes)
                    value_d = critic_loss(real, fake, classes, at.step * settings.critic_steps + turn)
                    _step(fabric, optimisers["optimiser-d"], critic, value_d)
                critic.requires_grad_(False)
                value_g = generator_loss(real, fake, classes)
                _step(fabric, optimisers["optimiser-g"], generator, value_g)
                critic.requires_grad_(True)
            losses = _together(fabric, value_d, value_g)
            if not all(map(math.isfinite, losses)):
                raise _diverged(recipe, at, out)
            at.step += 1
            at.images += batch * settings.critic_steps
            ema.update(generator, batch * settings.critic_steps, at.images)
            # Every process must see the same time and the same wish to stop, or they wait forever.
            at.seconds, asked = fabric.broadcast((before + clock() - begun, stop.asked))
            share = _share(recipe, at)
            if at.step % 10 == 0 or share >= 1:
                rate = (at.images - first_images) / max(at.seconds - before, 1e-9)
                left = at.seconds * (1 - share) / max(share, 1e-9)
                bar.show(share, rate, left, losses)
                history.append({"images": at.images, "critic": losses[0], "generator": losses[1]})
            if at.images // recipe.preview_images > previewed or share >= 1:
                previewed = at.images // recipe.preview_images
                if fabric.is_global_zero:
                    _preview(ema.network, pictures, latent, out, at, device)
                    if on_preview is not None:
                        on_preview(ema.network, at)
            if at.seconds - saved > recipe.checkpoint_minutes * 60:
                checkpoint()
                saved = at.seconds
            if asked:
                checkpoint()
                raise stopped(at, out)
    checkpoint()
    return Fitted(ema.network, generator, critic, at, history)


def make_fabric(recipe: Recipe, devices: int | str = 1, accelerator: str = "auto") -> Fabric:
    """Devices and precision for a run; ``devices`` above 1 starts that many processes."""
    precision = "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def _place(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def _share(recipe: Recipe, at: Progress) -> float:
    """Share of the budget that is used, by images or by minutes, whichever is further."""
    by_time = at.seconds / (recipe.minutes * 60) if recipe.minutes else 0.0
    return max(at.images / recipe.images, by_time)


def _set_rates(optimisers: dict[str, torch.optim.Optimizer], settings: Any, share: float) -> None:
    late = max(share - settings.decay_after, 0) / max(1 - settings.decay_after, 1e-9)
    factor = 1 - (1 - settings.final_rate) * min(late, 1)
    rates = {"optimiser-g": settings.generator_rate, "optimiser-d": settings.critic_rate}
    for key, optimiser in optimisers.items():
        for group in optimiser.param_groups:
            group["lr"] = rates[key] * factor


def _step(fabric: Fabric, optimiser: torch.optim.Optimizer, network: nn.Module, value: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    if fabric.world_size > 1:
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad = fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[assignment]
    optimiser.step()


def _together(fabric: Fabric, *values: Tensor) -> tuple[float, ...]:
    """Losses averaged over processes, so that all of them stop at one that is not a number."""
    stacked = torch.stack([value.detach() for value in values])
    if fabric.world_size > 1:
        stacked = fabric.all_reduce(stacked, reduce_op="mean")  # type: ignore[assignment]
    return tuple(stacked.tolist())


def _preview(
    network: nn.Module, pictures: Pictures, latent: int, out: Path, at: Progress, device: torch.device
) -> None:
    source = torch_rng(0, "preview")
    z = torch.randn(PREVIEW, latent, generator=source).to(device)
    labels = torch.arange(PREVIEW, device=device) % len(pictures.classes) if pictures.classes else None
    with torch.no_grad():
        pixels = to_pixels(network(z, labels))
    try:
        write_image(out / f"samples-{at.images:09d}.png", sheet(pixels), overwrite=True)
    except OutputError as error:
        raise TrainingError(
            error.message, code="training.disk", hint="Free some space and resume."
        ) from error


def _diverged(recipe: Recipe, at: Progress, out: Path, what: str = "The loss") -> TrainingError:
    rate = max(recipe.optimiser.generator_rate, recipe.optimiser.critic_rate)
    advice = "or use fp32, spectral normalisation or a stronger r1"
    return diverged(at, out, rate, what=what, advice=advice)
