"""From a data source to a finished generator: ``train_generator``.

>>> train_generator("flowers/", "runs/flowers", recipe="dcgan-64", minutes=10)  # doctest: +SKIP
PosixPath('runs/flowers/flowers.safetensors')
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from countermark.core.files import atomic_write
from countermark.core.seeds import derive, torch_rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.data.pictures import Pictures, load_pictures
from countermark.generators.data.selflabels import label_pictures
from countermark.generators.families import FAMILIES
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.gan.fitting import Fitted, fit, make_fabric
from countermark.generators.gan.latent import fit_stages, take
from countermark.generators.gan.losses import LOSSES
from countermark.generators.latents.autoencoder import digest
from countermark.generators.library import save_generator
from countermark.generators.recipes.schema import Recipe, load_recipe
from countermark.generators.training.checkpoints import Progress, refuse_used_folder
from countermark.generators.training.ema import refresh_batch_norm


def train_generator(
    data: Path | str,
    out: Path | str,
    *,
    recipe: str | Path | Recipe = "dcgan-64",
    name: str | None = None,
    images: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    devices: int | str = 1,
    licence: str = "Apache-2.0",
) -> Path:
    """Trains a generator on ``data`` and returns the path of its weights, with a card beside them.

    Args:
        data: Folder, zip archive, ``torchvision:NAME`` or ``digits``; see ``data.pictures``.
        out: Folder for checkpoints, sample grids, weights and card.
        recipe: Name, path of a TOML file, or a ``Recipe``.
        name: Of the model; by default the name of the data.
        images, minutes: Budget; replaces the recipe's. Training ends with whichever comes first.
        resume: Go on from the checkpoint in ``out``.
        devices: Number of devices, or ``auto`` for all.
        licence: Of the weights, for the card.

    Raises:
        ConfigError, CorpusError, TrainingError, WeightsError, OutputError.
    """
    chosen = load_recipe(recipe)
    update = {"images": images, "minutes": minutes}
    chosen = chosen.model_copy(update={k: v for k, v in update.items() if v is not None})
    if minutes is not None and images is None:
        chosen = chosen.model_copy(update={"images": 10**12})
    config = FAMILIES.get(chosen.family).parse(chosen.network)
    refuse_used_folder(Path(out), resume=resume)
    pictures = load_pictures(data, size=config.size, channels=config.channels, options=chosen.data, seed=seed)
    return train_pictures(
        pictures, out, recipe=chosen, name=name, seed=seed, resume=resume, progress=progress,
        devices=devices, licence=licence,
    )  # fmt: skip


def train_pictures(
    pictures: Pictures,
    out: Path | str,
    *,
    recipe: Recipe,
    name: str | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    devices: int | str = 1,
    licence: str = "Apache-2.0",
) -> Path:
    """``train_generator`` for pictures that are in memory already, of the size that the recipe names."""
    family = FAMILIES.get(recipe.family)
    LOSSES.get(recipe.loss)
    config = family.parse(recipe.network)
    folder = Path(out)
    refuse_used_folder(folder, resume=resume)
    more: dict[str, Any] = {}
    if recipe.data.self_labels:
        extractor = recipe.data.self_label_features
        pictures, found = label_pictures(pictures, recipe.data.self_labels, extractor=extractor, seed=seed)
        more["self_labels"] = found.as_dict()
    config = config.model_copy(update={"classes": len(pictures.classes)})
    fabric = make_fabric(recipe, devices)
    with torch_seeded(derive(seed, "initialise")):
        generator, critic = family.build_generator(config), family.build_critic(config)
    if fabric.is_global_zero:
        atomic_write(folder / "recipe.json", recipe.model_dump_json(indent=2) + "\n", overwrite=True)
    fitted, whole = trained_networks(
        generator, critic, pictures, recipe, folder,
        latent=config.latent, seed=seed, resume=resume, progress=progress, fabric=fabric,
    )  # fmt: skip
    card = make_card(
        name or Path(pictures.name).stem, family.name, config.model_dump(), pictures, recipe,
        fitted.progress, seed, licence=licence,
    )  # fmt: skip
    card = card.model_copy(update={"trained": {**card.trained, **more}})
    if fabric.is_global_zero:
        save_generator(folder, whole, card)
    fabric.barrier()
    return folder / f"{card.name}.safetensors"


def trained_networks(
    generator: nn.Module,
    critic: nn.Module,
    pictures: Pictures,
    recipe: Recipe,
    folder: Path,
    *,
    latent: int,
    seed: int,
    **options: Any,
) -> tuple[Fitted, nn.Module]:
    """``fit`` on the pictures, or on their latents where the generator draws those.

    Args:
        options: Of ``fit``.

    Returns:
        What was fitted, and the averaged generator, ready to be used.
    """
    if not isinstance(generator, LatentGenerator):
        fitted = fit(generator, critic, pictures, recipe, folder, latent=latent, seed=seed, **options)
        finish(fitted.average, pictures, latent, seed)
        return fitted, fitted.average
    detail, layouts = fit_stages(generator, critic, pictures, recipe, folder, seed=seed, **options)
    finish(layouts.average, pictures, latent, seed)
    whole = take(generator, detail.average, layouts.average)
    seconds = detail.progress.seconds + layouts.progress.seconds
    steps = detail.progress.step + layouts.progress.step
    progress = Progress(steps, detail.progress.images, seconds)
    return Fitted(detail.average, detail.generator, detail.critic, progress), whole


def finish(network: nn.Module, pictures: Pictures, latent: int, seed: int, count: int = 2048) -> None:
    """Measures the averaged generator's batch-normalisation statistics, in place."""
    device = next(network.parameters()).device
    batches: list[tuple[Tensor, Tensor | None]] = []
    for start in range(0, count, 64):
        source = torch_rng(seed, "statistics", start)
        z = torch.randn(64, latent, generator=source).to(device)
        labels = None
        if pictures.classes:
            labels = torch.randint(len(pictures.classes), (64,), generator=source).to(device)
        batches.append((z, labels))
    refresh_batch_norm(network, batches)


def make_card(
    name: str,
    family: str,
    config: dict[str, Any],
    pictures: Pictures,
    recipe: Recipe,
    progress: Progress,
    seed: int,
    *,
    licence: str = "Apache-2.0",
) -> WeightsCard:
    """The card of a trained generator, without figures."""
    preprocessing: dict[str, Any] = {"range": [-1, 1], "colour": "RGB", "latent": "standard normal"}
    if pictures.classes:
        preprocessing["classes"] = list(pictures.classes)
    if family == "latent":
        preprocessing["decoder"] = digest("decoder")
    return WeightsCard(
        name=name,
        kind="generator",
        family=family,
        summary=recipe.summary,
        licence=licence,
        config=config,
        preprocessing=preprocessing,
        training_data=[f"{pictures.name}: {len(pictures)} images, {len(pictures.heldout)} held out"],
        trained={
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "images_seen": progress.images,
            "minutes": round(progress.seconds / 60, 1),
            "images_per_second": round(progress.images / max(progress.seconds, 1e-9), 1),
            "skipped_files": len(pictures.skipped),
        },
    )
