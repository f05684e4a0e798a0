"""Tuning: REINFORCE or PPO on a latent policy in front of a frozen generator.

>>> result = tune_generator("digits-32", "digits", class_name="8")       # doctest: +SKIP
>>> result.before.guard_accuracy, result.after.guard_accuracy            # doctest: +SKIP

The gradient of the reward is estimated from samples alone (Williams 1992; baseline: the mean of the
other samples of the batch and class); PPO reuses each batch with clipped ratios (Schulman et al.
2017). The KL term is exact and is differentiated directly. The policy that the guard liked best is
kept, which may be the untrained one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from countermark.core.errors import ConfigError, CorpusError, TrainingError
from countermark.core.features import load_extractor
from countermark.core.seeds import derive, rng, torch_rng, torch_seeded
from countermark.generators.base import LoadedGenerator
from countermark.generators.data.pictures import Pictures, load_pictures
from countermark.generators.families.tuned import LatentPolicy
from countermark.generators.library import load_generator
from countermark.generators.measuring.classifier import train_classifier
from countermark.generators.measuring.evaluation import card_options
from countermark.generators.reward.guard import Guard, GuardLimits, GuardReading
from countermark.generators.reward.rewards import Rewards
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.steps import Losses, StepLoop

#: What helps when the policy's loss is not a number.
ADVICE = "or give the reward network more real images"


@dataclass(frozen=True)
class TuningSettings:
    """How to tune.

    Attributes:
        method: ``reinforce`` or ``ppo``.
        steps: Batches of pictures that are made and judged.
        kl: Weight of the divergence from the prior, in reward a nat.
        sigma: Share of chance in the policy's choice.
        weights: Of class confidence, realism and variety.
        every: Steps between readings of the guard.
        readings: Pictures for each reading.
        classifier_steps: Of both judges.
    """

    method: Literal["reinforce", "ppo"] = "ppo"
    steps: int = 200
    batch: int = 64
    rate: float = 1e-3
    kl: float = 0.02
    sigma: float = 0.5
    hidden: int = 128
    weights: tuple[float, float, float] = (1.0, 1.0, 0.5)
    every: int = 20
    readings: int = 400
    classifier_steps: int = 400
    extractor: str = "auto"
    limits: GuardLimits = field(default_factory=GuardLimits)
    seed: int = 0


@dataclass(frozen=True)
class TuningResult:
    """The kept policy, and how it came about.

    Attributes:
        before, after: Readings of the untrained and of the kept policy, on latents of their own that
            chose neither.
        history: Readings while tuning, on other latents.
        stopped: Why the guard stopped it, or ''.
        judges: Accuracy of ``reward`` and ``guard`` judges on images that neither saw.
    """

    policy: LatentPolicy
    generator: LoadedGenerator
    classes: tuple[str, ...]
    chosen: str | None
    before: GuardReading
    after: GuardReading
    history: tuple[GuardReading, ...]
    stopped: str
    judges: dict[str, float]
    extractor: str
    settings: TuningSettings

    @property
    def improved(self) -> bool:
        """Whether the held-out judge is more confident after than before."""
        return self.after.step > 0 and self.after.guard_confidence > self.before.guard_confidence


def tune_generator(
    generator: str | Path | LoadedGenerator,
    data: Path | str,
    *,
    class_name: str | None = None,
    settings: TuningSettings | None = None,
    progress: Callable[[int], None] | None = None,
    reward: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> TuningResult:
    """Tunes how latents are chosen so that pictures earn more reward.

    Args:
        data: Labelled real images: a source of ``data.pictures`` with classes.
        class_name: The class that is wanted; an unconditional generator needs one. None tunes all
            classes of a conditional generator together.
        reward: A reward of your own, uint8 [N, H, W, 3] and classes [N] to float [N]; it replaces
            the built-in one, and the guard stays.

    Raises:
        ConfigError: no such class, a tuned generator, or an unconditional one without ``class_name``.
        CorpusError: the data have no classes, too few images, or lack those of the generator.
        TrainingError: ``training.reward``: a reward that is not a finite number.
    """
    settings = settings or TuningSettings()
    loaded = load_generator(generator) if isinstance(generator, str | Path) else generator
    if loaded.card.family == "tuned":
        raise ConfigError(f"{loaded.name} is tuned already; tune the generator it was made from.")
    pictures = _labelled(loaded, data)
    classes = loaded.classes or pictures.classes
    wanted = _wanted(loaded, classes, class_name)
    first, second = _halves(pictures, settings.seed)
    number = len(classes)
    judge = train_classifier(
        *first, number, steps=settings.classifier_steps, seed=settings.seed, augment=True
    )
    other = train_classifier(
        *second, number, steps=settings.classifier_steps, seed=settings.seed + 1, augment=True, width=16
    )
    judged = Rewards(judge, *first, settings.weights)
    extractor = load_extractor(settings.extractor)
    guard = Guard(other, *second, extractor, settings.limits)
    with torch_seeded(derive(settings.seed, "policy")):
        policy = LatentPolicy(loaded.latent, len(loaded.classes), settings.hidden, settings.sigma)
    run = _Run(loaded, policy, judged, guard, wanted, settings, reward)
    history, kept, stopped = run.train(progress)
    final = derive(settings.seed, "final") % 2**31
    before = run.read(0, final, LatentPolicy(loaded.latent, len(loaded.classes), 1, settings.sigma))
    after = run.read(history[kept].step, final, policy)
    judges = {}
    if pictures.heldout_labels is not None and len(pictures.heldout) >= number:
        held = (pictures.heldout, pictures.heldout_labels)
        judges = {"reward": judge.accuracy(*held), "guard": other.accuracy(*held)}
    return TuningResult(
        policy, loaded, classes, class_name, before, after, tuple(history), stopped, judges,
        extractor.name, settings,
    )  # fmt: skip


class _Run:
    def __init__(
        self,
        loaded: LoadedGenerator,
        policy: LatentPolicy,
        judged: Rewards,
        guard: Guard,
        wanted: np.ndarray,
        settings: TuningSettings,
        reward: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    ) -> None:
        self.loaded, self.policy, self.judged, self.guard = loaded, policy, judged, guard
        self.wanted, self.settings, self.reward = wanted, settings, reward

    def draw(self, count: int, *labels: object) -> tuple[Tensor, Tensor, np.ndarray, Tensor | None]:
        """Start, chance, wanted classes, and the generator's labels."""
        source = torch_rng(self.settings.seed, *labels)
        z, chance = torch.randn(2, count, self.loaded.latent, generator=source)
        picks = torch.randint(len(self.wanted), (count,), generator=source).numpy()
        classes = self.wanted[picks]
        return z, chance, classes, torch.from_numpy(classes) if self.loaded.classes else None

    def worth(self, images: np.ndarray, classes: np.ndarray, step: int) -> np.ndarray:
        value = self.judged(images, classes).total if self.reward is None else self.reward(images, classes)
        value = np.asarray(value, np.float64)
        if value.shape != (len(images),) or not np.isfinite(value).all():
            raise TrainingError(
                f"The reward of step {step} is not one finite number for each picture.",
                code="training.reward",
                hint="Check the reward network: lower its learning rate, or give it more real images.",
            )
        return value

    def train(self, progress: Callable[[int], None] | None) -> tuple[list[GuardReading], int, str]:
        """Readings, the index of the kept one, and why it was stopped; the kept policy is in place."""
        settings, policy = self.settings, self.policy
        optimiser = torch.optim.Adam(policy.parameters(), settings.rate)
        watch = derive(settings.seed, "watch") % 2**31
        history, stopped = [self.read(0, watch, policy)], ""
        kept, state = 0, _copy(policy)

        def after(at: Progress, share: float, losses: Losses) -> bool:
            nonlocal kept, state, stopped
            if progress is not None:
                progress(1)
            if at.step % settings.every and at.step < settings.steps:
                return False
            reading = self.read(at.step, watch, policy)
            history.append(reading)
            stopped = self.guard.verdict(history[0], history[kept], reading)
            if not stopped and reading.guard_confidence > history[kept].guard_confidence:
                kept, state = len(history) - 1, _copy(policy)
            return bool(stopped)

        def step(at: Progress, share: float) -> Losses:
            return {"policy": self._step(optimiser, at.step + 1)}

        images = settings.steps * settings.batch
        loop = StepLoop(None, settings.batch, images, settings.rate, counted="pictures", advice=ADVICE)
        loop.run(step, after=after)
        policy.load_state_dict(state)
        return history, kept, stopped

    def _step(self, optimiser: torch.optim.Optimizer, step: int) -> float:
        """One batch of pictures, made, judged and learnt from; the policy's last loss."""
        settings, policy = self.settings, self.policy
        z, chance, classes, labels = self.draw(settings.batch, "tune", step)
        with torch.no_grad():
            action = policy(z, chance, labels)
            old = policy.log_density(action, z, policy.shift(z, labels))
        value = self.worth(self.loaded.render(action, labels), classes, step)
        advantage = torch.from_numpy(leave_one_out(value, classes)).float()
        advantage = advantage / (advantage.std() + 1e-6)
        for _ in range(4 if settings.method == "ppo" else 1):
            shift = policy.shift(z, labels)
            density = policy.log_density(action, z, shift)
            if settings.method == "ppo":
                ratio = torch.exp(density - old)
                gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            else:
                gain = (density * advantage).mean()
            # The advantage is in standard deviations of the reward, and so must the KL term be.
            loss = settings.kl / (value.std() + 1e-6) * policy.kl(shift).mean() - gain
            if not math.isfinite(loss.item()):
                break  # which the loop reports; the policy is not touched
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimiser.step()
        return loss.item()

    @torch.no_grad()
    def read(self, step: int, seed: int, policy: LatentPolicy) -> GuardReading:
        """Judges ``readings`` pictures of a policy from latents of ``seed``."""
        z, chance, classes, labels = self.draw(self.settings.readings, "read", seed)
        images = self.loaded.render(policy(z, chance, labels), labels)
        terms = self.judged(images, classes)
        return GuardReading(
            step=step,
            reward=float(self.worth(images, classes, step).mean()),
            confidence=float(terms.confidence.mean()),
            realism=float(terms.realism.mean()),
            variety=float(terms.variety.mean()),
            kl=float(policy.kl(policy.shift(z, labels)).mean()),
            **self.guard.measure(images, classes),
        )


def leave_one_out(value: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Reward minus the mean reward of the other samples of the same class; 0 for one alone."""
    result = np.zeros(len(value))
    for number in np.unique(classes):
        mine = np.flatnonzero(classes == number)
        if len(mine) > 1:
            mean = (value[mine].sum() - value[mine]) / (len(mine) - 1)
            result[mine] = value[mine] - mean
    return result


def _labelled(loaded: LoadedGenerator, data: Path | str) -> Pictures:
    options = card_options(loaded.card)
    if not options.class_pattern:
        options = options.model_copy(update={"classes": True})
    options = options.model_copy(update={"holdout": max(options.holdout, 0.1)})
    pictures = load_pictures(
        data, size=loaded.size, channels=int(loaded.card.config["channels"]), options=options,
        seed=int(loaded.card.trained.get("seed", 0)),
    )  # fmt: skip
    counts = np.bincount(pictures.labels if pictures.labels is not None else [0])
    if len(pictures.classes) < 2:
        raise CorpusError(
            f"{pictures.name} has images of one class only, so there is nothing to tell apart.",
            code="corpus.one-class",
            hint="Sort the images into one folder for each class.",
        )
    if counts.min() < 4:
        small = pictures.classes[int(counts.argmin())]
        raise CorpusError(
            f"The class {small!r} has {counts.min()} images; two judges need at least 4.",
            code="corpus.too-small",
        )
    if loaded.classes and loaded.classes != pictures.classes:
        raise CorpusError(
            f"{pictures.name} has the classes {', '.join(pictures.classes[:8])}, "
            f"but {loaded.name} makes {', '.join(loaded.classes[:8])}.",
            code="corpus.classes",
            hint="Give the images that it was trained on, or others in folders of the same names.",
        )
    return replace(pictures)


def _wanted(loaded: LoadedGenerator, classes: tuple[str, ...], name: str | None) -> np.ndarray:
    if name is None:
        if not loaded.classes:
            raise ConfigError(
                f"{loaded.name} has no classes: name the one to tune towards.",
                code="generator.condition",
                hint=f"Known: {', '.join(classes)}.",
            )
        return np.arange(len(classes))
    if name not in classes:
        raise ConfigError(
            f"There is no class {name!r}.",
            code="generator.condition",
            hint=f"Known: {', '.join(classes)}.",
        )
    return np.array([classes.index(name)])


def _halves(
    pictures: Pictures, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The training images in two halves, within every class."""
    assert pictures.labels is not None
    order = rng(seed, "halves").permutation(len(pictures))
    rank = np.zeros(len(order), np.int64)
    for number in range(len(pictures.classes)):
        mine = order[pictures.labels[order] == number]
        rank[mine] = np.arange(len(mine))
    parts = [np.flatnonzero(rank % 2 == side) for side in (0, 1)]
    (a, b) = ((pictures.images[part], pictures.labels[part]) for part in parts)
    return a, b


def _copy(policy: LatentPolicy) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in policy.state_dict().items()}
