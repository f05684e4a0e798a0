"""Generators side by side: same images, same CPU time, one run; writes ``docs/benchmark-generators.md``.

    python benchmarks/generators.py --data FOLDER --minutes 10

Each system trains in a process of its own on one thread until its CPU time (not the clock on the
wall) is used up, then makes as many images as are held out of training (at most 500). Peers are
trained by this project's loop with the published settings:

- SNGAN as in mimicry (Lee & Town 2020): residual networks of 256 and 128 channels, hinge loss,
  five critic steps, batch 64, Adam 2e-4 (0, 0.9), float32, no weight average in the original.
- lightweight-gan: skip-layer excitation at up to 512 channels with a self-supervised critic,
  Adam 2e-4 (0.5, 0.9), batch 10 x 4 accumulated (here 40), float32.
- WGAN-GP (Gulrajani et al. 2017): penalty 10, five critic steps, batch 64, Adam 1e-4 (0, 0.9).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.networks import maybe_spectral
from countermark.generators.config import DataConfig, Recipe, parse_recipe
from countermark.generators.data import load_pictures
from countermark.generators.evaluation import evaluate_images
from countermark.generators.families import FAMILIES
from countermark.generators.models import to_pixels
from countermark.generators.trainer import finish
from countermark.generators.training import fit

LONG = {"images": 10**9, "preview_images": 10**9, "checkpoint_minutes": 10**6}
ADAM = {"beta1": 0.0, "beta2": 0.9, "decay_after": 0.0, "final_rate": 0.0}
SYSTEMS: dict[str, dict[str, Any]] = {
    "countermark dcgan": {
        "family": "dcgan",
        "network": {"width": 24, "max_width": 192},
        "loss": "hinge",
        "optimiser": {"generator_rate": 5e-4, "critic_rate": 5e-4},
    },
    "SNGAN, mimicry's settings": {
        "family": "wgan-gp",
        "network": {"width": 256, "max_width": 256},
        "loss": "hinge",
        "precision": "fp32",
        "optimiser": {"generator_rate": 2e-4, "critic_rate": 2e-4, "batch": 64, "critic_steps": 5, **ADAM},
    },
    "lightweight-gan's settings": {
        "family": "fastgan",
        "network": {"width": 64, "max_width": 512, "critic_width": 64, "critic_max_width": 512},
        "loss": "hinge",
        "precision": "fp32",
        "augment": ["translation", "cutout"],
        "optimiser": {
            "generator_rate": 2e-4, "critic_rate": 2e-4, "beta1": 0.5, "beta2": 0.9, "batch": 40,
            "decay_after": 1.0,
        },
    },
    "WGAN-GP, the paper's settings": {
        "family": "wgan-gp",
        "network": {"width": 128, "max_width": 128, "critic_width": 256, "critic_max_width": 128},
        "loss": "wasserstein",
        "precision": "fp32",
        "regulariser": {"gradient_penalty": 10},
        "optimiser": {"generator_rate": 1e-4, "critic_rate": 1e-4, "batch": 64, "critic_steps": 5, **ADAM},
    },
}  # fmt: skip


class SNCritic(nn.Module):
    """SNGAN's critic for small images: four residual blocks of 128 channels, sum pooling."""

    def __init__(self, channels: int, levels: int, width: int = 128) -> None:
        super().__init__()
        sides = [True] * (levels - 1) + [False, False]
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                maybe_spectral(layer, True)
                for layer in (
                    nn.Conv2d(channels if i == 0 else width, width, 3, padding=1),
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.Conv2d(channels if i == 0 else width, width, 1),
                )
            )
            for i in range(len(sides))
        )
        self.halve = sides
        self.out = maybe_spectral(nn.Linear(width, 1), True)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        for index, (block, halve) in enumerate(zip(self.blocks, self.halve, strict=True)):
            first, second, skip = block
            h = second(F.relu(first(x if index == 0 else F.relu(x))))
            x = h + skip(x)
            if halve:
                x = F.avg_pool2d(x, 2)
        return self.out(F.relu(x).sum(dim=(2, 3))).squeeze(1)


def recipe_of(name: str, size: int, channels: int, minutes: float) -> Recipe:
    values = {"name": name, **SYSTEMS[name], **LONG, "minutes": minutes}
    values["network"] = {**values["network"], "size": size, "channels": channels}
    return parse_recipe(values)


def measure(name: str, data: str, size: int, minutes: float, seed: int, extractor: str) -> dict[str, Any]:
    """Trains and measures one system in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pictures = load_pictures(data, size=size, options=DataConfig(), seed=seed)
    recipe = recipe_of(name, size, 3, minutes)
    family = FAMILIES.get(recipe.family)
    config = family.parse(recipe.network)
    generator = family.build_generator(config)
    critic = SNCritic(3, config.levels) if name.startswith("SNGAN") else family.build_critic(config)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(
            generator, critic, pictures, recipe, Path(folder),
            latent=config.latent, seed=seed, progress=False, clock=time.process_time,
        )  # fmt: skip
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network = fitted.average
    finish(network, pictures, config.latent, seed)
    count = max(min(len(pictures.heldout), 500), 50)
    with torch.no_grad():
        z = torch.randn(count, config.latent, generator=torch.Generator().manual_seed(seed))
        images = to_pixels(torch.cat([network(part, None) for part in z.split(50)]))
    report = evaluate_images(images, pictures, extractor=extractor, name=name, seed=seed, max_train=500)
    return {
        "system": name,
        "parameters_m": round(sum(p.numel() for p in generator.parameters()) / 1e6, 2),
        "images_seen": fitted.progress.images,
        "images_per_cpu_second": round(fitted.progress.images / fitted.progress.seconds, 1),
        "peak_mib": round(memory),
        **report.as_dict(),
    }


def table(results: list[dict[str, Any]], minutes: float, data: str, size: int) -> str:
    first = results[0]
    lines = [
        "# Generators side by side\n",
        f"{minutes:g} CPU-minutes each on one thread, {data} at {size} px, "
        f"{first['count_generated']} generated against {first['count_real']} {first['reference']} images; "
        f"extractor {first['extractor']}. Intervals: middle 95 % of random halves.\n",
        "| system | KID | recall | precision | C_T | images seen | images/CPU-s | peak MiB | params (M) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(results, key=lambda r: r["kid"]["value"]):
        kid, recall, precision = (
            f"{r[k]['value']:.3f} ({r[k]['low']:.3f}–{r[k]['high']:.3f})"
            for k in ("kid", "recall", "precision")
        )
        c_t = f"{r['copying']['c_t']:.1f}" if r["copying"] else "-"
        lines.append(
            f"| {r['system']} | {kid} | {recall} | {precision} | {c_t} | {r['images_seen']:,} "
            f"| {r['images_per_cpu_second']} | {r['peak_mib']} | {r['parameters_m']} |"
        )
    note = (__doc__ or "").partition("Peers are")[2]
    return "\n".join(lines) + "\n\nPeers are" + note.rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder, zip or torchvision:NAME")
    parser.add_argument("--label", default="", help="what the table calls the data")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extractor", default="auto")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmark-generators.md"))
    options = parser.parse_args()
    results = []
    context = multiprocessing.get_context("spawn")
    for name in options.systems:
        with context.Pool(1) as pool:
            arguments = (name, options.data, options.size, options.minutes, options.seed, options.extractor)
            results.append(pool.apply(measure, arguments))
        print(json.dumps(results[-1]), flush=True)
    label = options.label or Path(options.data).name
    options.out.write_text(table(results, options.minutes, label, options.size), "utf-8")


if __name__ == "__main__":
    main()
