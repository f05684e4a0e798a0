"""Adversarial training of any generator against any critic: ``fit``.

Both follow ``countermark.generators.families.base``; what is real comes from a ``RealSet``, whose
tensors may be pixels or anything else that a critic can look at and that can be painted for people.
``gan.training`` wraps it for users. Devices, precision and processes come from lightning-fabric;
gradients are averaged over processes by hand, because a GAN steps through one network while it trains
the other. A resumed run goes on exactly as one that was never stopped, as long as its budget is counted
in images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.errors import MissingExtraError
from countermark.core.seeds import torch_rng
from countermark.generators.families.base import Guided, Looking, SelfSupervised
from countermark.generators.gan.diffaugment import augment, roll
from countermark.generators.gan.looking import Remembered
from countermark.generators.gan.losses import LOSSES
from countermark.generators.gan.regularisers import gradient_penalty, zero_centred
from countermark.generators.recipes.schema import Recipe
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.ema import Ema
from countermark.generators.training.previews import PREVIEW, write_preview
from countermark.generators.training.steps import Losses, StepLoop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Network = TypeVar("Network", bound=nn.Module)
#: What a critic with a frozen first part sees of real and of generated tensors.
_Looked = tuple[list[Tensor], list[Tensor]]


class RealSet(Protocol):
    """What is real, as tensors of one shape, and how tensors of that shape are shown to people.

    Attributes:
        labels: int64 [N], or None without classes.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def tensors(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float [B, C, S, S] of the items ``index`` [B], those ``mirrored`` (bool [B]) left-right."""
        ...

    def painted(self, tensors: Tensor) -> np.ndarray:
        """uint8 RGB [B, H, W, 3] of such tensors, real or generated."""
        ...


@runtime_checkable
class GuidingSet(RealSet, Protocol):
    """A ``RealSet`` that tells a ``families.base.Guided`` generator something of each item."""

    def guides(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float [B, ...] of the items ``index`` [B], mirrored as their tensors are."""
        ...


class _Drawn(NamedTuple):
    """Real tensors of one step of the critic, their labels, z, numbers that name the tensors, guides."""

    real: Tensor
    classes: Tensor | None
    z: Tensor
    keys: list[int]
    guides: Tensor | None


@dataclass
class Fitted:
    """What ``fit`` returns: the averaged generator, both trained networks, and how far it came.

    A flow has no critic.
    """

    average: nn.Module
    generator: nn.Module
    critic: nn.Module | None
    progress: Progress


def fit(
    generator: nn.Module,
    critic: nn.Module,
    real: RealSet,
    recipe: Recipe,
    out: Path,
    *,
    latent: int,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    fabric: Fabric | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fitted:
    """Trains ``generator`` against ``critic`` until the recipe's images or minutes are used up.

    Writes ``checkpoint.safetensors`` and ``samples-IMAGES.png`` into ``out``.

    Args:
        latent: Length of z.
        clock: Seconds that count for the budget; ``time.process_time`` counts CPU time.

    Raises:
        TrainingError: ``training.diverged`` (says what to lower; the last good checkpoint stays),
            ``training.disk``, ``training.stopped`` (by a signal).
        WeightsError: ``resume`` with a checkpoint of another recipe, network or seed.
    """
    fabric = fabric or make_fabric(recipe)
    run = _Run(generator, critic, real, recipe, out, latent, seed, fabric)
    settings = recipe.optimiser
    loop = StepLoop(
        out,
        batch=run.shown,
        images=recipe.images,
        minutes=recipe.minutes,
        rate=max(settings.generator_rate, settings.critic_rate),
        resume=resume,
        checkpoint_minutes=recipe.checkpoint_minutes,
        advice="or use fp32, spectral normalisation or a stronger r1",
        seed=seed,
        title=f"{recipe.name} on {real.name}" if progress else "",
        fabric=fabric,
        clock=clock,
    )
    identity = {"family": recipe.family, "network": recipe.network, "loss": recipe.loss, "seed": seed}
    identity["classes"] = list(real.classes)
    modules = {"generator": run.generator, "critic": run.critic, "average": run.average.network}
    optimisers = {"optimiser-g": run.opt_g, "optimiser-d": run.opt_d}
    done = loop.run(run.step, modules, optimisers, identity, after=run.after)
    return Fitted(run.average.network, run.generator, run.critic, done)


class _Run:
    """The networks and optimisers of one run, one step of it, and the sample grids between steps."""

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        real: RealSet,
        recipe: Recipe,
        out: Path,
        latent: int,
        seed: int,
        fabric: Fabric,
    ) -> None:
        self.real, self.recipe, self.out, self.latent, self.seed = real, recipe, out, latent, seed
        self.fabric = fabric
        self.generator, self.critic = (on_device(n, fabric.device) for n in (generator, critic))
        self.average = Ema(self.generator, recipe.ema_images, recipe.ema_ramp)
        settings = recipe.optimiser
        betas = (settings.beta1, settings.beta2)
        self.opt_g: torch.optim.Optimizer = torch.optim.Adam(
            self.generator.parameters(), settings.generator_rate, betas=betas
        )
        self.opt_d: torch.optim.Optimizer = torch.optim.Adam(
            self.critic.parameters(), settings.critic_rate, betas=betas
        )
        self.loss = LOSSES.get(recipe.loss)
        self.labels = None if real.labels is None else torch.from_numpy(real.labels)
        self.remembered = Remembered(self.critic) if isinstance(self.critic, Looking) else None
        guided = isinstance(self.generator, Guided) and isinstance(real, GuidingSet)
        self.guiding = real if guided and isinstance(real, GuidingSet) else None
        #: Real images that the critics of all processes see in one step.
        self.shown = settings.batch * fabric.world_size * settings.critic_steps

    def step(self, at: Progress, share: float) -> Losses:
        """The critic's steps and then one of the generator; losses are the mean over processes."""
        turns = self.recipe.optimiser.critic_steps
        self._set_rates(share)
        warm = isinstance(self.generator, Guided) and at.images < self.recipe.warm_images
        value_d: Tensor | None = None
        for turn in range(turns):
            drawn = self._draw(at.step, turn)
            with self.fabric.autocast():
                fake = self._drawing(self.generator, drawn.z, drawn.classes, drawn.guides)
                looked = self._look(drawn.real, fake, drawn.keys)
            if warm:
                break
            if looked is None:
                value_d = self._critic_loss(drawn.real, fake, drawn.classes, at.step * turns + turn)
            else:
                value_d = self._looking_loss(*looked, drawn.classes)
            step_of(self.fabric, self.opt_d, self.critic, value_d)
        self.critic.requires_grad_(False)
        value_g = torch.zeros(()) if warm else self._generator_loss(drawn.real, fake, drawn.classes, looked)
        if isinstance(self.generator, Guided) and drawn.guides is not None:
            own = self.generator.own_loss(fake, drawn.real, drawn.guides, looked, warm=warm)
            value_g = self.recipe.adversarial * value_g + own
        step_of(self.fabric, self.opt_g, self.generator, value_g)
        self.critic.requires_grad_(True)
        self.average.update(self.generator, self.shown, at.images + self.shown)
        critic, generator = together(self.fabric, value_g if value_d is None else value_d, value_g)
        return {"generator": generator} if warm else {"critic": critic, "generator": generator}

    def _drawing(
        self, network: nn.Module, z: Tensor, classes: Tensor | None, guides: Tensor | None
    ) -> Tensor:
        drawn: Tensor = network(z, classes) if guides is None else network(z, classes, guides)
        return drawn

    def after(self, at: Progress, share: float, losses: Losses) -> bool:
        """A sample grid, if one is due."""
        every = self.recipe.preview_images
        due = at.images // every > (at.images - self.shown) // every or share >= 1
        if due and self.fabric.is_global_zero:
            self._preview(at)
        return False

    def _draw(self, step: int, part: int) -> _Drawn:
        source = torch_rng(self.seed, "batch", step, part, self.fabric.global_rank)
        batch, device = self.recipe.optimiser.batch, self.fabric.device
        index = torch.randint(len(self.real), (batch,), generator=source)
        mirrored = torch.rand(batch, generator=source) < 0.5 if self.recipe.data.mirror else None
        real = self.real.tensors(index, mirrored).to(device).contiguous(memory_format=torch.channels_last)
        chosen = None if self.labels is None else self.labels[index].to(device)
        views = torch.zeros_like(index) if mirrored is None else mirrored.long()
        keys: list[int] = (2 * index + views).tolist()
        z = torch.randn(batch, self.latent, generator=source).to(device)
        guides = None
        if self.guiding is not None:
            guides = self.guiding.guides(index, mirrored).to(device)
        return _Drawn(real, chosen, z, keys, guides)

    def _seen(self, images: Tensor, *, real: bool = False) -> Tensor:
        """Images as the critic sees them; float32, or it would know generated ones by their rounding."""
        images = images.float()
        if self.recipe.tiles == "both" or (self.recipe.tiles == "generated" and not real):
            images = roll(images)
        return augment(images, self.recipe.augment)

    def _look(self, real: Tensor, fake: Tensor, keys: list[int]) -> _Looked | None:
        """What a critic with a frozen first part sees of both; None where its gradients are asked for."""
        critic, weights = self.critic, self.recipe.regulariser
        if not isinstance(critic, Looking) or weights.r1 or weights.r2 or weights.gradient_penalty:
            return None
        seen_fake = critic.look(self._seen(fake))
        if self.recipe.augment or self.recipe.tiles == "both":
            with torch.no_grad():
                return critic.look(self._seen(real, real=True)), seen_fake
        assert self.remembered is not None
        return self.remembered.look(real, keys), seen_fake

    def _looking_loss(self, real: list[Tensor], fake: list[Tensor], classes: Tensor | None) -> Tensor:
        """The critic's loss, of what it sees."""
        assert isinstance(self.critic, Looking)
        judge = self.critic.judge
        with self.fabric.autocast():
            judged = judge([part.detach() for part in fake], classes).float()
            return self.loss.critic(judge(real, classes).float(), judged)

    def _critic_loss(self, real: Tensor, fake: Tensor, classes: Tensor | None, count: int) -> Tensor:
        critic, weights = self.critic, self.recipe.regulariser
        with self.fabric.autocast():
            seen_real, seen_fake = self._seen(real, real=True), self._seen(fake.detach())
            value = self.loss.critic(critic(seen_real, classes).float(), critic(seen_fake, classes).float())
            if isinstance(critic, SelfSupervised):
                value = value + critic.extra_loss(seen_real)
        if count % weights.interval == 0:
            if weights.r1:
                value = value + weights.interval * weights.r1 * zero_centred(critic, seen_real, classes)
            if weights.r2:
                value = value + weights.interval * weights.r2 * zero_centred(critic, seen_fake, classes)
            if weights.gradient_penalty:
                penalty = gradient_penalty(critic, seen_real, seen_fake.float(), classes)
                value = value + weights.interval * weights.gradient_penalty * penalty
        return value

    def _generator_loss(
        self, real: Tensor, fake: Tensor, classes: Tensor | None, looked: _Looked | None
    ) -> Tensor:
        with self.fabric.autocast():
            paired = None
            if looked is not None and isinstance(self.critic, Looking):
                judged = self.critic.judge(looked[1], classes).float()
                if self.loss.paired:
                    paired = self.critic.judge(looked[0], classes).float()
            else:
                judged = self.critic(self._seen(fake), classes).float()
                if self.loss.paired:
                    paired = self.critic(self._seen(real, real=True), classes).float()
            return self.loss.generator(judged, paired)

    def _set_rates(self, share: float) -> None:
        settings = self.recipe.optimiser
        factor = settings.decayed(share)
        pairs = (self.opt_g, settings.generator_rate), (self.opt_d, settings.critic_rate)
        for optimiser, rate in pairs:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor

    def _preview(self, at: Progress) -> None:
        z = torch.randn(PREVIEW, self.latent, generator=torch_rng(0, "preview")).to(self.fabric.device)
        labels, guides = None, None
        if self.real.classes:
            labels = torch.arange(PREVIEW, device=self.fabric.device) % len(self.real.classes)
        if self.guiding is not None:
            index = torch.linspace(0, len(self.real) - 1, PREVIEW).round().long()
            guides = self.guiding.guides(index, None).to(self.fabric.device)
            labels = None if self.labels is None else self.labels[index].to(self.fabric.device)
        with torch.no_grad():
            pixels = self.real.painted(self._drawing(self.average.network, z, labels, guides))
        write_preview(self.out, at.images, pixels)


def make_fabric(recipe: Recipe, devices: int | str = 1, accelerator: str = "auto") -> Fabric:
    """Devices and precision for a run; ``devices`` above 1 starts that many processes.

    Raises:
        MissingExtraError: lightning-fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtraError("lightning-fabric", "train") from error
    precision = "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def on_device(network: Network, device: torch.device) -> Network:
    """The network there, ready to be trained."""
    return network.to(device).to(memory_format=torch.channels_last).train()


def step_of(
    fabric: Fabric,
    optimiser: torch.optim.Optimizer,
    network: nn.Module,
    value: Tensor,
    *,
    longest: float | None = None,
) -> None:
    """One step of ``optimiser`` down ``value``, by the mean gradient of all processes.

    Args:
        longest: Norm to which the gradient is shortened.
    """
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    if fabric.world_size > 1:
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad = fabric.all_reduce(parameter.grad, reduce_op="mean")  # type: ignore[assignment]
    if longest is not None:
        nn.utils.clip_grad_norm_(network.parameters(), longest)
    optimiser.step()


def together(fabric: Fabric, *values: Tensor) -> tuple[float, ...]:
    """Losses averaged over processes, so that all of them stop at one that is not a number."""
    stacked = torch.stack([value.detach() for value in values])
    if fabric.world_size > 1:
        stacked = fabric.all_reduce(stacked, reduce_op="mean")  # type: ignore[assignment]
    return tuple(stacked.tolist())
