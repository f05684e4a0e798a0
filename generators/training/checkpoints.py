"""Checkpoints of a training run: one safetensors file with tensors and a JSON state inside it.

Networks, their averages and optimisers are flattened to named tensors; step, images seen, seconds
and the recipe ride in the file's metadata, so that both change together or not at all. No random
state is stored: every step draws from a generator seeded by the run's seed and the step's number.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from countermark.core.errors import OutputError, TrainingError, WeightsError
from countermark.core.files import atomic_write

FILE = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a run is: optimiser steps, images shown to the critic, seconds of training."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0


def refuse_used_folder(folder: Path, *, resume: bool, weights: str | None = None) -> None:
    """Refuses a folder that holds a run, or finished ``weights``, unless the run is resumed.

    Raises:
        OutputError: ``output.exists``.
    """
    names = [FILE] if weights is None else [FILE, weights]
    if not resume and any((folder / name).exists() for name in names):
        raise OutputError(
            f"{folder} already holds a training run.",
            code="output.exists",
            hint="Go on with --resume (resume=True), or choose another folder.",
        )


def save_checkpoint(
    folder: Path,
    modules: dict[str, nn.Module],
    optimisers: dict[str, Optimizer],
    progress: Progress,
    identity: dict[str, Any],
) -> Path:
    """Writes ``folder/checkpoint.safetensors`` whole, or leaves the one before in place.

    Raises:
        TrainingError: ``training.disk``, with where the last good checkpoint is.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"{name}/{key}"] = value
    for name, optimiser in optimisers.items():
        for index, parameter in enumerate(_parameters(optimiser)):
            for key, value in optimiser.state.get(parameter, {}).items():
                tensors[f"{name}/{index}/{key}"] = torch.as_tensor(value)
    state = {"progress": asdict(progress), "identity": identity}
    path = folder / FILE
    try:
        data = save(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
            {"state": json.dumps(state)},
        )
        return atomic_write(path, data, overwrite=True)
    except OutputError as error:
        kept = f"The last good checkpoint is {path}. " if path.exists() else "There is no checkpoint yet. "
        raise TrainingError(
            f"The checkpoint could not be written: {error.message}",
            code="training.disk",
            hint=kept + "Free some space and resume.",
        ) from error


def load_checkpoint(
    folder: Path,
    modules: dict[str, nn.Module],
    optimisers: dict[str, Optimizer],
    identity: dict[str, Any],
) -> Progress:
    """Fills modules and optimisers in place and returns how far the run was.

    Raises:
        WeightsError: ``weights.missing``, ``weights.family`` (another family, network or seed than
            this run's) or ``weights.invalid``.
    """
    path = folder / FILE
    if not path.is_file():
        raise WeightsError(
            f"{folder} holds no checkpoint to resume.", code="weights.missing", hint="Train without resume."
        )
    try:
        with safe_open(str(path), framework="pt") as stream:
            state = json.loads((stream.metadata() or {})["state"])
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        found, progress = state["identity"], Progress(**state["progress"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a checkpoint: {error}.") from error
    for key, value in identity.items():
        if found.get(key) != value:
            raise WeightsError(
                f"{path} is a checkpoint of {key} {found.get(key)!r}, this run has {value!r}.",
                code="weights.family",
                hint="Resume with the recipe and seed it was begun with, or use another folder.",
            )
    try:
        for name, module in modules.items():
            head = f"{name}/"
            module.load_state_dict({k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)})
        for name, optimiser in optimisers.items():
            _fill_optimiser(name, optimiser, tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} does not fit the networks: {error}.") from error
    return progress


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _fill_optimiser(name: str, optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    state = optimiser.state_dict()
    head = f"{name}/"
    state["state"] = {}
    for key, value in tensors.items():
        if key.startswith(head):
            index, _, field = key[len(head) :].partition("/")
            state["state"].setdefault(int(index), {})[field] = value
    optimiser.load_state_dict(state)
