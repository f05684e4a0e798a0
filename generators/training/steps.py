"""The one loop of steps: budget, checkpoints, signals, several processes, losses gone wrong.

>>> loop = StepLoop(Path("runs/mine"), batch=8, images=200_000, minutes=30, rate=1e-3)
>>> loop.check("superres.safetensors")                                     # doctest: +SKIP
>>> progress = loop.run(step, modules, optimisers, identity)               # doctest: +SKIP

``step`` does one step of its networks and returns its losses by name. Every training of this room runs
in it: what differs between them is the step, and what is done after one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from countermark.core.errors import ConfigError, TrainingError
from countermark.core.seeds import derive, torch_seeded
from countermark.generators.training.checkpoints import (
    FILE,
    Progress,
    load_checkpoint,
    refuse_used_folder,
    save_checkpoint,
)
from countermark.generators.training.progress import StopSignal, TrainingBar

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Learning rates end at this share of what they were.
FLOOR = 0.02
#: Steps between two changes of the progress bar.
SHOWN = 10

Losses = Mapping[str, float]
#: One step, of the progress so far and the used share of the budget.
Step = Callable[[Progress, float], Losses]
#: What follows a step, of the progress, the share and the losses; True ends the training.
After = Callable[[Progress, float, Losses], bool]


@dataclass(frozen=True)
class StepLoop:
    """How long a training goes on, and what it does on the way.

    Attributes:
        out: Folder of the checkpoint; None keeps nothing.
        batch: Images a step, of all processes together.
        images, minutes: Budget; the first that is used up ends it.
        rate: Highest learning rate, for the hint when a loss is not a number.
        resume: Go on from the checkpoint in ``out``.
        counted: What ``images`` are called in messages.
        advice: What else helps against losses that are not numbers.
        title: Of the progress bar; '' shows none.
        seed: Every step is seeded by it, the step's number and the process, so that a resumed training
            goes on as one that was never stopped, and torch's global generator is left as it was; None
            lets steps draw from that one.
        fabric: Of a training in several processes, which then see the same time and the same signals;
            the first of them writes checkpoints and shows the bar.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.
    """

    out: Path | None
    batch: int
    images: int
    rate: float
    minutes: float | None = None
    resume: bool = False
    counted: str = "images"
    checkpoint_minutes: float = 2.0
    advice: str = "or train without bf16"
    title: str = ""
    seed: int | None = None
    fabric: Fabric | None = None
    clock: Callable[[], float] = time.monotonic

    def check(self, weights: str) -> None:
        """Refuses a budget that is none, and a folder that holds a run or the file ``weights``.

        Raises:
            ConfigError, OutputError (``output.exists``).
        """
        if self.images < 1 or (self.minutes is not None and self.minutes <= 0):
            raise ConfigError("Training needs at least one image and more than no minutes.")
        if self.out is not None:
            refuse_used_folder(self.out, resume=self.resume, weights=weights)

    def run(
        self,
        step: Step,
        modules: Mapping[str, nn.Module] | None = None,
        optimisers: Mapping[str, torch.optim.Optimizer] | None = None,
        identity: Mapping[str, Any] | None = None,
        *,
        after: After | None = None,
    ) -> Progress:
        """Calls ``step`` and ``after`` until the budget is used up or ``after`` says so.

        Args:
            modules, optimisers: What a checkpoint holds.
            identity: What a checkpoint must have been made with to be resumed.

        Raises:
            TrainingError: ``training.diverged`` (the last good checkpoint stays), ``training.disk`` or
                ``training.stopped`` (by a signal; the checkpoint holds all of it).
            WeightsError: ``resume`` with a checkpoint of another network or seed, or with none.
        """
        modules, optimisers, identity = dict(modules or {}), dict(optimisers or {}), dict(identity or {})
        at = Progress()
        if self.resume and self.out is not None:
            at = load_checkpoint(self.out, modules, optimisers, identity)
        first = self.fabric is None or self.fabric.is_global_zero
        begun, saved, started = Progress(at.step, at.images, at.seconds), at.seconds, self.clock()

        def checkpoint() -> None:
            # A loss can be finite and its gradient not: such weights never replace a good checkpoint.
            if not all_finite(*modules.values()):
                raise self._diverged(at, "A weight")
            if first and self.out is not None:
                save_checkpoint(self.out, modules, optimisers, at, identity)

        shown = bool(self.title) and first
        with TrainingBar(self.title, enabled=shown) as bar, StopSignal() as stop:
            while (share := self.share(at)) < 1:
                with self._seeded(at):
                    losses = step(at, share)
                if not all(map(math.isfinite, losses.values())):
                    raise self._diverged(at, "The loss")
                at.step += 1
                at.images += self.batch
                at.seconds, asked = self._agreed(begun.seconds + self.clock() - started, stop.asked)
                share = self.share(at)
                if shown and (at.step % SHOWN == 0 or share >= 1):
                    bar.show(share, at, begun, losses)
                ended = after is not None and after(at, share, losses)
                if at.seconds - saved > self.checkpoint_minutes * 60:
                    checkpoint()
                    saved = at.seconds
                if asked:
                    checkpoint()
                    raise self._stopped(at)
                if ended:
                    break
        checkpoint()
        return at

    def share(self, at: Progress) -> float:
        """Used share of the budget, by images or by minutes, whichever is further; 1 or more ends it."""
        by_images = 1.0 if at.images >= self.images else at.images / self.images
        return by_images if self.minutes is None else max(by_images, at.seconds / (self.minutes * 60))

    def _seeded(self, at: Progress) -> AbstractContextManager[None]:
        if self.seed is None:
            return nullcontext()
        device, rank = None, 0
        if self.fabric is not None:
            device, rank = self.fabric.device, self.fabric.global_rank
        return torch_seeded(derive(self.seed, "step", at.step, rank), device)

    def _agreed(self, seconds: float, asked: bool) -> tuple[float, bool]:
        """Every process must see the same time and the same wish to stop, or they wait forever."""
        if self.fabric is None:
            return seconds, asked
        seconds, asked = self.fabric.broadcast((seconds, asked))
        return seconds, asked

    def _diverged(self, at: Progress, what: str) -> TrainingError:
        """What to lower, and which checkpoint is good."""
        kept = "No checkpoint was written yet. "
        if self.out is None:
            kept = ""
        elif (self.out / FILE).exists():
            kept = f"The last good checkpoint is {self.out / FILE}. "
        rates = f"Lower the learning rates (now {self.rate:g}; try {self.rate / 3:.1g})"
        return TrainingError(
            f"{what} is not a number after {at.images:,} {self.counted} (step {at.step}).",
            code="training.diverged",
            hint=f"{kept}{rates}, {self.advice}.",
        )

    def _stopped(self, at: Progress) -> TrainingError:
        kept = "Nothing was kept."
        if self.out is not None:
            kept = f"{self.out / FILE} holds all of it; resume to go on."
        return TrainingError(
            f"Training was stopped after {at.images:,} {self.counted}.", code="training.stopped", hint=kept
        )


def all_finite(*networks: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(p.isfinite().all()) for n in networks for p in n.parameters())


def set_rates(rates: Iterable[tuple[torch.optim.Optimizer, float]], share: float, *, last: float) -> None:
    """Sets learning rates that are full until the ``last`` share of the budget and fall linearly then."""
    for optimiser, rate in rates:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (1 - share) / last + FLOOR)
