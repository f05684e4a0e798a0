"""Tune: a generator's latents are chosen by a policy that learns from a reward.

>>> done = tune("digits-32", "digits", "tuned", class_name="8")     # doctest: +SKIP
>>> done.result.before.guard_accuracy, done.result.after.guard_accuracy  # doctest: +SKIP

``out`` receives the tuned generator with its card, ``before-after.png`` (the same latents without
and with the policy), ``tuning.json`` and ``tuning.md``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from countermark.core.errors import OutputError
from countermark.core.files import atomic_write
from countermark.core.images import write_image
from countermark.core.weights import WeightsCard, save_weights

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from countermark.generators.reward import TuningResult, TuningSettings

FIGURES = {
    "reward": "reward",
    "confidence": "class confidence (reward network)",
    "realism": "realism",
    "variety": "variety",
    "guard_confidence": "class confidence (held-out network)",
    "guard_accuracy": "right class (held-out network)",
    "recall": "recall",
    "precision": "precision",
    "kl": "divergence from the prior, nats",
}


@dataclass(frozen=True)
class Tuned:
    """What ``tune`` made."""

    weights: str
    grid: str
    result: TuningResult

    @property
    def sentence(self) -> str:
        """The outcome for people."""
        result, text = self.result, []
        if result.stopped:
            text.append(f"Stopped by the guard. {result.stopped}")
        if result.improved:
            low, high = result.before.guard_confidence, result.after.guard_confidence
            text.append(f"The held-out judge's confidence rose from {low:.3f} to {high:.3f}.")
        else:
            text.append("Tuning did not help: the held-out judge is no more confident than before.")
        text.append(f"Recall went from {result.before.recall:.3f} to {result.after.recall:.3f}.")
        return " ".join(text)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        result = self.result
        return {
            "schema": "countermark.tuning/1",
            "weights": self.weights,
            "grid": self.grid,
            "sentence": self.sentence,
            "improved": result.improved,
            **figures(result),
            "history": [reading.as_dict() for reading in result.history],
        }


def tune(
    model: str | Path,
    data: Path | str,
    out: Path | str,
    *,
    class_name: str | None = None,
    settings: TuningSettings | None = None,
    name: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tuned:
    """Tunes ``model`` towards pictures of ``class_name`` (or all classes) that the reward likes.

    Args:
        data: Labelled real images; the reward network learns from one half, its guard from the other.
        settings: See ``countermark.generators.reward.TuningSettings``.

    Raises:
        ConfigError, CorpusError, TrainingError, OutputError, UnknownNameError.
    """
    from countermark.generators.reward import tune_generator

    root = Path(out)
    if (root / "tuning.json").exists():
        raise OutputError(
            f"{root} already holds a tuning.", code="output.exists", hint="Choose another folder."
        )
    result = tune_generator(model, data, class_name=class_name, settings=settings, progress=progress)
    grid = write_image(root / "before-after.png", before_after(result))
    base = result.generator
    title = name or f"{base.name}-tuned" + (f"-{class_name}" if class_name else "")
    weights = save_tuned(
        root, "".join(c if c.isalnum() or c in "-_." else "_" for c in title), result, str(data)
    )
    done = Tuned(str(weights), str(grid), result)
    LOG.info("%s", done.sentence)
    atomic_write(root / "tuning.json", json.dumps(done.as_dict(), indent=2, ensure_ascii=False) + "\n")
    atomic_write(root / "tuning.md", as_markdown(done))
    return done


def figures(result: TuningResult) -> dict[str, Any]:
    """What a card keeps of a tuning."""
    return {
        "class": result.chosen,
        "before": result.before.as_dict(),
        "after": result.after.as_dict(),
        "stopped": result.stopped,
        "judges": {key: round(value, 4) for key, value in result.judges.items()},
        "extractor": result.extractor,
        "settings": asdict(result.settings),
    }


def save_tuned(folder: Path, name: str, result: TuningResult, data: str) -> Path:
    """Writes frozen generator and policy as one generator of the family ``tuned``."""
    base = result.generator
    own = {k: v for k, v in base.card.config.items() if k not in ("size", "channels", "latent", "classes")}
    config = {
        "size": base.size,
        "channels": base.card.config["channels"],
        "latent": 2 * base.latent,
        "classes": len(base.classes),
        "base_family": base.card.family,
        "base": own,
        "hidden": result.settings.hidden,
        "sigma": result.settings.sigma,
    }
    tensors = {f"generator.{key}": value.half() if value.is_floating_point() else value
               for key, value in base.network.state_dict().items()}  # fmt: skip
    tensors.update({f"policy.{key}": value for key, value in result.policy.state_dict().items()})
    towards = f"the class {result.chosen!r}" if result.chosen else "all its classes"
    card = WeightsCard(
        name=name,
        kind="generator",
        family="tuned",
        summary=f"{base.name} with latents chosen by a policy that was rewarded for {towards}.",
        licence=base.card.licence,
        config=config,
        preprocessing=base.card.preprocessing,
        training_data=[*base.card.training_data, f"Reward and guard: {Path(data).name}"],
        trained={"base": base.name, "base_sha256": base.sha256, "seed": result.settings.seed},
        metrics={"tuning": figures(result)},
        limits=[
            *base.card.limits,
            "Tuned on a reward: what the reward does not measure may have become worse.",
        ],
    )
    return save_weights(folder, tensors, card)


def before_after(result: TuningResult, count: int = 36) -> np.ndarray:
    """The same latents without (left) and with (right) the policy; uint8 RGB."""
    import torch

    from countermark.core.seeds import torch_rng
    from countermark.generators.grids import sheet

    base, side = result.generator, round(count**0.5)
    z, chance = torch.randn(2, side * side, base.latent, generator=torch_rng(0, "before-after"))
    labels = None
    if base.classes:
        number = torch.arange(side * side) // side % len(base.classes)
        chosen = result.classes.index(result.chosen) if result.chosen else None
        labels = number if chosen is None else torch.full((side * side,), chosen)
    with torch.no_grad():
        policy = result.policy
        plain = base.render(policy.keep * z + policy.sigma * chance, labels)
        tuned = base.render(policy(z, chance, labels), labels)
    left, right = sheet(plain, columns=side), sheet(tuned, columns=side)
    gap = np.full((left.shape[0], 12, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def as_markdown(done: Tuned) -> str:
    """The outcome and a table of before and after, as Markdown."""
    before, after = done.result.before.as_dict(), done.result.after.as_dict()
    rows = [f"| {title} | {before[key]:.3f} | {after[key]:.3f} |" for key, title in FIGURES.items()]
    accuracy = ", ".join(f"{key} {value:.1%}" for key, value in done.result.judges.items())
    table = "\n".join(rows)
    note = (
        f"{done.result.settings.readings} pictures each, from latents that chose nothing; step "
        f"{done.result.after.step} of {done.result.settings.steps}; recall and precision in "
        f"{done.result.extractor} features. Accuracy of the judges on held-out images: "
        f"{accuracy or 'unknown'}."
    )
    head = f"# Tuning of {done.result.generator.name}\n\n{done.sentence}"
    return f"{head}\n\n| | before | after |\n|---|---|---|\n{table}\n\n{note}\n"
