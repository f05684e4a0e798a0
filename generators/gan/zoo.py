"""A zoo of fingerprints: many small generators that differ in every part that leaves a trace.

Detectors that have seen one generator recognise that one. This sampler draws a recipe for each
*species*: upsampler, kernel, normalisation, width, tail, loss, average or raw weights, seed and
stage of training; trains it for a moment (or not at all); and writes its images into one corpus,
every row tagged with the recipe, so that data can be split by architecture.

>>> species = draw_species(3, seed=1)
>>> [s.seed for s in species] == [s.seed for s in draw_species(3, seed=1)]
True
>>> sorted(species[0].tags)[:3]
['averaged', 'family', 'loss']
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import ConfigError, OutputError, TrainingError
from countermark.core.files import atomic_write, sha256_bytes
from countermark.core.images import encode_image
from countermark.core.seeds import derive, rng, torch_rng, torch_seeded
from countermark.generators.base import to_pixels
from countermark.generators.data.pictures import Pictures, load_pictures
from countermark.generators.families import FAMILIES
from countermark.generators.gan.fitting import fit, make_fabric
from countermark.generators.gan.training import finish
from countermark.generators.recipes.schema import OptimiserConfig, Recipe, RegulariserConfig

#: What is drawn, and from what.
CHOICES: dict[str, tuple[Any, ...]] = {
    "family": ("dcgan", "dcgan", "dcgan", "stylegan-lite", "fastgan", "wgan-gp", "r3gan"),
    "upsample": ("nearest", "bilinear", "transposed"),
    "kernel": (3, 5),
    "norm": ("batch", "instance", "pixel", "none"),
    "tail": ("tanh", "sigmoid"),
    "width": (8, 16, 24),
    "loss": ("hinge", "non-saturating", "wasserstein", "least-squares", "relativistic"),
    "averaged": (True, False),
    "stage": (0.0, 0.1, 0.3, 1.0),
}


@dataclass(frozen=True)
class Species:
    """One recipe of the zoo; ``tags`` says how it was drawn, ``recipe`` how it is trained."""

    name: str
    seed: int
    recipe: Recipe
    stage: float
    averaged: bool
    tags: dict[str, str]

    @property
    def architecture(self) -> str:
        """What to split by: family and the parts that leave the strongest traces."""
        return "/".join(self.tags[key] for key in ("family", "upsample", "norm") if key in self.tags)


def draw_species(count: int, *, size: int = 64, seed: int = 0, channels: int = 3) -> list[Species]:
    """Draws recipes; the first ``n`` are the same for any larger ``count``."""
    return [_draw(index, size, channels, seed) for index in range(count)]


def _draw(index: int, size: int, channels: int, seed: int) -> Species:
    generator = rng(seed, "species", index)
    pick = {key: values[int(generator.integers(len(values)))] for key, values in CHOICES.items()}
    width = int(pick["width"])
    network: dict[str, Any] = {
        "size": size,
        "channels": channels,
        "latent": 64,
        "width": width,
        "max_width": width * 4,
        "critic_width": 16,
        "critic_max_width": 64,
    }
    keys = ["family", "width", "loss", "averaged", "stage"]
    if pick["family"] == "dcgan":
        network |= {key: pick[key] for key in ("upsample", "kernel", "norm", "tail")}
        keys += ["upsample", "kernel", "norm", "tail"]
    if pick["family"] in ("wgan-gp", "r3gan"):
        # Their critics have no spectral normalisation and need a gradient regulariser.
        regulariser = RegulariserConfig(r1=0.5, interval=8)
    else:
        regulariser = RegulariserConfig()
    recipe = Recipe(
        name=f"zoo-{index:03d}",
        family=pick["family"],
        network=network,
        loss=pick["loss"],
        regulariser=regulariser,
        optimiser=OptimiserConfig(generator_rate=1e-3, critic_rate=1e-3, decay_after=1.0, batch=16),
        preview_images=10**12,
        checkpoint_minutes=10**6,
    )
    return Species(
        name=f"zoo-{seed}-{index:03d}",
        seed=derive(seed, "species", index) % 2**31,
        recipe=recipe,
        stage=float(pick["stage"]),
        averaged=bool(pick["averaged"]),
        tags={key: str(pick[key]) for key in keys},
    )


def sample_species(species: Species, pictures: Pictures, count: int, *, images: int = 4000) -> np.ndarray:
    """Trains one species for ``stage`` of ``images`` and samples it: uint8 [count, size, size, 3].

    Raises:
        TrainingError: the species diverged.
    """
    family = FAMILIES.get(species.recipe.family)
    config = family.parse(species.recipe.network)
    with torch_seeded(species.seed):
        network, critic = family.build_generator(config), family.build_critic(config)
    budget = int(images * species.stage)
    plain = Pictures(
        pictures.name, pictures.images, None, (), pictures.heldout, None
    )  # classes are of no use here
    if budget:
        recipe = species.recipe.model_copy(update={"images": budget})
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(
                network, critic, plain, recipe, Path(folder),
                latent=config.latent, seed=species.seed, progress=False, fabric=make_fabric(recipe),
            )  # fmt: skip
        network = fitted.average if species.averaged else fitted.generator
    network = network.float().to(memory_format=torch.contiguous_format)
    finish(network, plain, config.latent, species.seed, count=512)
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, count, 32):
            source = torch_rng(species.seed, "zoo", start)
            z = torch.randn(32, config.latent, generator=source)
            parts.append(to_pixels(network(z, None)))
    return np.concatenate(parts)[:count]


def write_zoo(
    data: Path | str,
    out: Path | str,
    *,
    species: int | Sequence[Species] = 16,
    per_species: int = 50,
    size: int = 64,
    images: int = 4000,
    seed: int = 0,
    on_species: Callable[[Species, int], None] | None = None,
) -> Corpus:
    """Writes a corpus of many generators' images under ``out``.

    Args:
        data: What they are trained on; see ``data.pictures``.
        species: How many to draw, or the species themselves.
        images: Images shown in a full training; a species stops at its own stage of that.
        on_species: Called after each with the species and the images written.

    A species that diverges is left out; ``on_species`` is then told 0 images.
    Every row has ``architecture``, ``recipe`` (the drawn choices) and ``weights_seed``; ``generator``
    is the species' name.

    Raises:
        OutputError: ``out`` already holds a corpus.
        ConfigError: no species.
    """
    root = Path(out)
    if (root / METADATA).exists():
        raise OutputError(
            f"{root} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    chosen = draw_species(species, size=size, seed=seed) if isinstance(species, int) else list(species)
    if not chosen:
        raise ConfigError("A zoo needs at least one species.")
    first = FAMILIES.get(chosen[0].recipe.family).parse(chosen[0].recipe.network)
    pictures = load_pictures(data, size=first.size, channels=first.channels, seed=seed)
    rows: list[CorpusRow] = []
    for one in chosen:
        try:
            pixels = sample_species(one, pictures, per_species, images=images)
        except TrainingError as error:
            if error.code != "training.diverged":
                raise
            pixels = np.zeros((0, first.size, first.size, 3), np.uint8)
        for index, picture in enumerate(pixels):
            encoded = encode_image(picture, "png")
            name = f"{one.name}/{index:05d}.png"
            atomic_write(root / name, encoded)
            rows.append(_row(one, name, index, sha256_bytes(encoded)))
        if on_species is not None:
            on_species(one, len(pixels))
    if not rows:
        raise TrainingError("Every species of the zoo diverged.", hint="Draw more of them, or another seed.")
    return write_metadata(root, rows)


def _row(species: Species, name: str, index: int, digest: str) -> CorpusRow:
    drawn = ";".join(f"{key}={value}" for key, value in sorted(species.tags.items()))
    return CorpusRow(
        file_name=name,
        label="synthetic",
        generator=species.name,
        source="countermark-zoo",
        seed=str(index),
        sha256=digest,
        extra={
            "architecture": species.architecture,
            "recipe": drawn,
            "weights_seed": str(species.seed),
        },
    )
