"""The loop of the trainings that start from pictures: budget, checkpoints, signals, losses gone wrong.

>>> loop = StepLoop(Path("runs/mine"), batch=8, images=200_000, minutes=30, rate=1e-3)
>>> loop.check("superres.safetensors")                                     # doctest: +SKIP
>>> progress = loop.run(step, modules, optimisers, identity)               # doctest: +SKIP

``step`` does one step of its networks and returns their losses. ``generators.training`` has a loop of
its own, for several devices and with previews, and takes the errors and the check of weights from here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from countermark.core.errors import ConfigError, TrainingError
from countermark.generators.training.checkpoints import (
    FILE,
    Progress,
    load_checkpoint,
    refuse_used_folder,
    save_checkpoint,
)
from countermark.generators.training.progress import StopSignal

#: Learning rates end at this share of what they were.
FLOOR = 0.02


@dataclass(frozen=True)
class StepLoop:
    """How long a training goes on, and what it does on the way.

    Attributes:
        out: Folder of the checkpoint.
        batch: Images a step.
        images, minutes: Budget; the first that is used up ends it. Rates fall with the minutes where
            they are given.
        resume: Go on from the checkpoint in ``out``.
        rate: Highest learning rate, for the hint when a loss is not a number.
        counted: What ``images`` are called in messages.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.
    """

    out: Path
    batch: int
    images: int
    rate: float
    minutes: float | None = None
    resume: bool = False
    counted: str = "images"
    checkpoint_minutes: float = 2.0
    clock: Callable[[], float] = time.monotonic

    def check(self, weights: str) -> None:
        """Refuses a budget that is none, and a folder that holds a run or the file ``weights``.

        Raises:
            ConfigError, OutputError (``output.exists``).
        """
        if self.images < 1 or (self.minutes is not None and self.minutes <= 0):
            raise ConfigError("Training needs at least one image and more than no minutes.")
        refuse_used_folder(self.out, resume=self.resume, weights=weights)

    def run(
        self,
        step: Callable[[Progress, float], Iterable[float]],
        modules: dict[str, nn.Module],
        optimisers: dict[str, torch.optim.Optimizer],
        identity: dict[str, Any],
    ) -> Progress:
        """Calls ``step`` with the progress and the used share of the budget until that is used up.

        Raises:
            TrainingError: ``training.diverged`` (the last good checkpoint stays), ``training.disk`` or
                ``training.stopped`` (by a signal; the checkpoint holds all of it).
            WeightsError: ``resume`` with a checkpoint of another network or seed, or with none.
        """
        at = load_checkpoint(self.out, modules, optimisers, identity) if self.resume else Progress()
        began, saved = self.clock() - at.seconds, self.clock()

        def checkpoint() -> None:
            # A loss can be finite and its gradient not: such weights never replace a good checkpoint.
            if not all_finite(*modules.values()):
                raise diverged(at, self.out, self.rate, counted=self.counted)
            save_checkpoint(self.out, modules, optimisers, at, identity)

        with StopSignal() as stop:
            while (share := self.share(at)) < 1:
                if not all(map(math.isfinite, step(at, share))):
                    raise diverged(at, self.out, self.rate, counted=self.counted)
                at.step += 1
                at.images += self.batch
                at.seconds = self.clock() - began
                if self.clock() - saved > self.checkpoint_minutes * 60:
                    checkpoint()
                    saved = self.clock()
                if stop.asked:
                    checkpoint()
                    raise stopped(at, self.out, self.counted)
        checkpoint()
        return at

    def share(self, at: Progress) -> float:
        """Used share of the budget: of the minutes where they are given, else of the images; 1 ends it."""
        if at.images >= self.images:
            return 1.0
        return at.images / self.images if self.minutes is None else at.seconds / (self.minutes * 60)


def all_finite(*networks: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(p.isfinite().all()) for n in networks for p in n.parameters())


def diverged(
    at: Progress,
    out: Path,
    rate: float,
    *,
    what: str = "A loss or a weight",
    counted: str = "images",
    advice: str = "or train without bf16",
) -> TrainingError:
    """The error of a training that went wrong: what to lower, and which checkpoint is good."""
    path = out / FILE
    kept = f"The last good checkpoint is {path}." if path.exists() else "No checkpoint was written yet."
    return TrainingError(
        f"{what} is not a number after {at.images:,} {counted} (step {at.step}).",
        code="training.diverged",
        hint=f"{kept} Lower the learning rates (now {rate:g}; try {rate / 3:.1g}), {advice}.",
    )


def stopped(at: Progress, out: Path, counted: str = "images") -> TrainingError:
    """The error of a training that a signal ended, after its checkpoint was written."""
    return TrainingError(
        f"Training was stopped after {at.images:,} {counted}.",
        code="training.stopped",
        hint=f"{out / FILE} holds all of it; resume to go on.",
    )


def set_rates(rates: Iterable[tuple[torch.optim.Optimizer, float]], share: float, *, last: float) -> None:
    """Sets learning rates that are full until the ``last`` share of the budget and fall linearly then."""
    for optimiser, rate in rates:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (1 - share) / last + FLOOR)
