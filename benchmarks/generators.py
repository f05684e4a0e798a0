"""Generators side by side: same images, same CPU time, one run; writes ``docs/benchmark-generators.md``.

    PYTHONPATH=tools python benchmarks/generators.py --data FOLDER --minutes 10 --work runs/benchmark
    PYTHONPATH=tools python benchmarks/generators.py --data FLOWERS --size 128 --minutes 30 --jpeg 85 \
        --work runs/benchmark-128 --out docs/benchmark-generators-128.md

Each system trains in a process of its own on one thread until its CPU time (not the clock on the
wall) is used up, then makes as many images as are held out of training (at most 1,000). A run that
is stopped goes on where it was when the command is given again; systems that are done are not run
twice. All systems train in the same loop: bfloat16 where it helps, the same images in the same order,
a weight average for sampling. Peers keep their networks and settings:

- countermark latent (128 px): the recipe ``flowers-128``; encoding the pictures counts.
- countermark dcgan: at 32 px the recipe ``cifar-32`` with a learning rate of 5e-4 instead of 3e-4 (a paired
  relativistic loss was tried for 90 CPU-seconds on other held-out images, of the training part: it was
  no better than hinge); at 128 px the recipe ``flowers-64``, whose pictures are enlarged (bicubic).
- SNGAN: the networks of the package ``torch-mimicry`` 0.1.16 (Lee & Town 2020) for that side, hinge loss,
  five critic steps, batch 64, Adam 2e-4 (0, 0.9) decayed to 0.
- lightweight-gan: the networks of the package ``lightweight-gan`` 1.2.1 with its defaults: hinge loss
  on two outputs, a self-supervised critic, gradient penalty 10 every fourth step, Adam 2e-4
  (0.5, 0.9), batch 10 x 4 accumulated (here 40 at 32 px and 10 at 128 px, for memory), translation and
  cutout with the probability it chooses for the number of images.
- WGAN-GP (Gulrajani et al. 2017), settings of its residual networks for CIFAR-10: penalty 10, five
  critic steps, batch 64, Adam 2e-4 (0, 0.9) decayed to 0; with this project's residual networks.

The packages are needed for the first two only: ``pip install --no-deps torch-mimicry lightweight-gan``
and ``pip install einops kornia kornia-rs adabelief-pytorch colorama tabulate``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from alike import enlarged, resaved, saved_pictures
from torch import Tensor, nn

from countermark.core.errors import MissingExtraError, TrainingError
from countermark.core.features import Extractor, load_extractor
from countermark.core.networks import count_parameters
from countermark.generators.base import to_pixels
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.families import FAMILIES
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.gan.diffaugment import augment
from countermark.generators.gan.fitting import fit
from countermark.generators.gan.latent import DETAIL, LATENTS, fit_stages, latent_pictures, take
from countermark.generators.gan.training import finish
from countermark.generators.measuring.evaluation import evaluate_images
from countermark.generators.recipes.schema import Recipe, load_recipe, parse_recipe
from countermark.generators.training.checkpoints import FILE, Progress

OURS, LABELLED, LATENT = "countermark dcgan", "countermark dcgan, told the classes", "countermark latent"
SNGAN, LIGHTWEIGHT, WGAN = "SNGAN (mimicry)", "lightweight-gan", "WGAN-GP"
LONG = {"images": 10**9, "preview_images": 10**9, "checkpoint_minutes": 10**6}
DECAYED = {"beta1": 0.0, "beta2": 0.9, "decay_after": 0.0, "final_rate": 0.0}
RECIPE = load_recipe("cifar-32").model_dump(mode="json")
RECIPE["optimiser"] |= {"generator_rate": 5e-4, "critic_rate": 5e-4}
AT_32: dict[str, dict[str, Any]] = {
    OURS: {k: RECIPE[k] for k in ("family", "network", "loss", "optimiser")},
    LABELLED: {k: RECIPE[k] for k in ("family", "network", "loss", "optimiser")},
    SNGAN: {
        "optimiser": {
            "generator_rate": 2e-4, "critic_rate": 2e-4, "batch": 64, "critic_steps": 5, **DECAYED,
        },
    },
    LIGHTWEIGHT: {
        # Weight times interval is the package's weight of 10.
        "regulariser": {"gradient_penalty": 2.5, "interval": 4},
        "optimiser": {
            "generator_rate": 2e-4, "critic_rate": 2e-4, "beta1": 0.5, "beta2": 0.9, "batch": 40,
            "decay_after": 1.0,
        },
    },
    WGAN: {
        "family": "wgan-gp",
        "network": {"width": 128, "max_width": 128, "critic_width": 256, "critic_max_width": 128},
        "loss": "wasserstein",
        "regulariser": {"gradient_penalty": 10},
        "optimiser": {
            "generator_rate": 2e-4, "critic_rate": 2e-4, "batch": 64, "critic_steps": 5, **DECAYED,
        },
    },
}  # fmt: skip

AT_128: dict[str, dict[str, Any]] = {
    LATENT: load_recipe("flowers-128").model_dump(mode="json"),
    OURS: load_recipe("flowers-64").model_dump(mode="json"),
    SNGAN: AT_32[SNGAN],
    LIGHTWEIGHT: {
        **AT_32[LIGHTWEIGHT], "optimiser": {**AT_32[LIGHTWEIGHT]["optimiser"], "batch": 10},
    },
}  # fmt: skip
SYSTEMS = {32: AT_32, 128: AT_128}


class Unlabelled(nn.Module):
    """Gives a peer's generator or critic this project's call: labels are taken and not used."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.network(x)


class LightweightCritic(nn.Module):
    """lightweight-gan's critic: both outputs as one row of logits, its augmentation, its extra loss."""

    def __init__(self, network: nn.Module, images: int) -> None:
        super().__init__()
        self.network = network
        self.probability = min(0.5, (1e5 - images) * 3e-6) if images < 1e5 else 0.0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.training and float(torch.rand(())) < self.probability:
            x = augment(x, ["flip", "translation", "cutout"])
        large, small, _ = self.network(x)
        return torch.cat([large.flatten(1), small.flatten(1)], dim=1)

    def extra_loss(self, real: Tensor) -> Tensor:
        return self.network(real, calc_aux_loss=True)[2]


def bare_package(name: str) -> None:
    """Makes a package's modules importable without running its ``__init__``, which needs far more."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(name.replace("_", "-"), "a peer of this benchmark")
    package = types.ModuleType(name)
    package.__path__ = list(found.submodule_search_locations)
    sys.modules[name] = package


def networks(
    name: str, recipe: Recipe, classes: int, images: int, size: int
) -> tuple[nn.Module, nn.Module, int]:
    """Generator, critic and the length of z."""
    if name == SNGAN:
        bare_package("torch_mimicry")
        sngan = importlib.import_module(f"torch_mimicry.nets.sngan.sngan_{size}")
        generator, critic = (
            getattr(sngan, f"SNGAN{part}{size}")() for part in ("Generator", "Discriminator")
        )
        return Unlabelled(generator), Unlabelled(critic), 128
    if name == LIGHTWEIGHT:
        bare_package("lightweight_gan")
        with mock.patch("torch.cuda.is_available", lambda: True):  # its import insists on it
            peer = importlib.import_module("lightweight_gan.lightweight_gan")
        critic = peer.Discriminator(image_size=size, disc_output_size=1)
        generator = peer.Generator(image_size=size)
        for part in [*generator.modules(), *critic.modules()]:
            if type(part) in (nn.Conv2d, nn.Linear):
                nn.init.kaiming_normal_(part.weight, a=0, mode="fan_in", nonlinearity="leaky_relu")
        return Unlabelled(generator), LightweightCritic(critic, images), 256
    family = FAMILIES.get(recipe.family)
    config = family.parse({**recipe.network, "classes": classes})
    return family.build_generator(config), family.build_critic(config), config.latent


def extractor_of(name: str) -> Extractor:
    """Of ``core.features``, or ``tower``: the CLIP tower of the detectors (``tools/tower_extractor.py``)."""
    if name != "tower":
        return load_extractor(name)
    found: Extractor = importlib.import_module("tower_extractor").tower_extractor()
    return found


def train(
    name: str, pictures: Pictures, values: dict[str, Any], folder: Path, seed: int
) -> tuple[nn.Module, int, Progress, int]:
    """The averaged generator, the length of its z, how far it came, and its weights in all."""
    recipe = parse_recipe(values)
    network = networks(name, recipe, len(pictures.classes), len(pictures), pictures.images.shape[1])
    generator, critic, latent = network
    options: dict[str, Any] = {"seed": seed, "progress": False, "clock": time.process_time}
    if not isinstance(generator, LatentGenerator):
        fitted = fit(
            generator, critic, pictures, recipe, folder,
            latent=latent, resume=(folder / FILE).exists(), **options,
        )  # fmt: skip
        finish(fitted.average, pictures, latent, seed)
        return fitted.average, latent, fitted.progress, count_parameters(generator)
    begun, spent = time.process_time(), folder / "encoding.txt"
    latent_pictures(pictures, folder / LATENTS, mirror=recipe.data.mirror, padding=generator.padding)
    if not spent.exists():
        spent.write_text(str(time.process_time() - begun))
    encoding = float(spent.read_text())
    recipe = recipe.model_copy(update={"minutes": (recipe.minutes or 0) - encoding / 60})
    resume = (folder / DETAIL / FILE).exists()
    detail, drawn = fit_stages(generator, critic, pictures, recipe, folder, resume=resume, **options)
    whole = take(generator, detail.average, drawn.average)
    seconds = encoding + detail.progress.seconds + drawn.progress.seconds
    return whole, latent, Progress(0, detail.progress.images, seconds), count_parameters(whole)


def measure(name: str, options: argparse.Namespace) -> Path:
    """Trains and measures one system in this process; returns the path of its figures."""
    seed, size = options.seed, options.size
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    folder = options.work / name.replace(" ", "-").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    values = {"name": name, **SYSTEMS[size][name], **LONG, "minutes": options.minutes}
    side = values.get("network", {}).get("size", size)
    labelled = values.get("data", {}).get("classes", name == LABELLED)
    data = DataConfig(classes=labelled, holdout=0.15)
    pictures = load_pictures(options.data, size=side, options=data, seed=seed)
    values["data"] = data.model_dump()
    peak = folder / "peak.txt"
    try:
        network, latent, progress, parameters = train(name, pictures, values, folder, seed)
    finally:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        peak.write_text(str(round(max(memory, float(peak.read_text()) if peak.exists() else 0.0))))
    if side != size:
        pictures = load_pictures(options.data, size=size, options=data, seed=seed)
    count = max(min(len(pictures.heldout), 1000), 50)
    source = torch.Generator().manual_seed(seed)
    z = torch.randn(count, latent, generator=source)
    labels = torch.randint(len(pictures.classes), (count,), generator=source) if pictures.classes else None
    with torch.no_grad():
        images = np.concatenate(
            [
                to_pixels(network(z[i : i + 50], None if labels is None else labels[i : i + 50]))
                for i in range(0, count, 50)
            ]
        )
    images = enlarged(images, size)
    np.savez_compressed(folder / "samples.npz", images=images)
    pictures = saved_pictures(pictures, options.jpeg)
    record = {
        "system": name,
        "minutes": options.minutes,
        "parameters_m": round(parameters / 1e6, 2),
        "images_seen": progress.images,
        "images_per_cpu_second": round(progress.images / progress.seconds, 1),
        "peak_mib": int(peak.read_text()),
        "reports": [
            evaluate_images(
                resaved(images, options.jpeg), pictures, extractor=extractor_of(extractor), name=name,
                seed=seed, max_train=200 if extractor == "tower" else 1000,
            ).as_dict()
            for extractor in options.extractors
        ],
    }  # fmt: skip
    path: Path = folder / "figures.json"
    path.write_text(json.dumps(record, indent=1), "utf-8")
    return path


def table(results: list[dict[str, Any]], data: str, size: int, quality: int) -> str:
    first = results[0]["reports"][0]
    saved = f", all of both saved as JPEG of quality {quality}" if quality else ""
    lines = [
        "# Generators side by side\n",
        f"{results[0]['minutes']:g} CPU-minutes each on one thread, {data} at {size} px, "
        f"{first['count_generated']:,} generated against {first['count_real']:,} {first['reference']} "
        f"images{saved}. Intervals: middle 95 % of random halves. Images seen: shown to the critic.",
    ]
    for number, extractor in enumerate(r["extractor"] for r in results[0]["reports"]):
        lines += [
            f"\n## In the features of {extractor}\n",
            "| system | KID | recall | precision | coverage | C_T | images seen | images/CPU-s "
            "| peak MiB | params (M) |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in sorted(results, key=lambda r: r["reports"][number]["kid"]["value"]):
            report = r["reports"][number]
            kid, recall, precision = (
                f"{report[k]['value']:.3f} ({report[k]['low']:.3f}–{report[k]['high']:.3f})"
                for k in ("kid", "recall", "precision")
            )
            c_t = f"{report['copying']['c_t']:.1f}" if report["copying"] else "-"
            lines.append(
                f"| {r['system']} | {kid} | {recall} | {precision} | {report['coverage']:.3f} | {c_t} "
                f"| {r['images_seen']:,} | {r['images_per_cpu_second']} | {r['peak_mib']} "
                f"| {r['parameters_m']} |"
            )
    note = (__doc__ or "").partition("All systems train")[2].partition("\n\nThe packages")[0]
    return "\n".join(lines) + "\n\nAll systems train" + note + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with a folder a class, or torchvision:NAME")
    parser.add_argument("--label", default="", help="what the table calls the data")
    parser.add_argument("--size", type=int, choices=sorted(SYSTEMS), default=32)
    parser.add_argument("--jpeg", type=int, default=0, help="quality at which both sides are saved; 0: not")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extractors", nargs="*", default=["lite0", "dct"])
    parser.add_argument("--systems", nargs="*", help="by default all for the side but WGAN-GP")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and figures")
    parser.add_argument("--one", default="", help="train and measure this system only, in this process")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmark-generators.md"))
    options = parser.parse_args()
    if options.one:
        try:
            measure(options.one, options)
        except TrainingError as error:
            sys.exit(str(error))
        return
    results = []
    for name in options.systems or [n for n in SYSTEMS[options.size] if n != WGAN]:
        path = options.work / name.replace(" ", "-").replace(",", "") / "figures.json"
        if not path.exists():
            subprocess.run([sys.executable, *sys.argv, "--one", name], check=True)
        results.append(json.loads(path.read_text("utf-8")))
    label = options.label or Path(options.data).name
    options.out.write_text(table(results, label, options.size, options.jpeg), "utf-8")


if __name__ == "__main__":
    main()
