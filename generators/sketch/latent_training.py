"""Training of ``sketch-latent`` on any folder of photographs; doodles are made on the way, latents once.

>>> train_latent_sketch("photos", "runs/mine", start="sketch-clothing-128", minutes=30)  # doctest: +SKIP

Detail comes first, from the layouts of the photographs and their doodles, as in ``gan.latent``; it may
start from a model of this family, or from a latent generator, which then has only the lines to learn. Then
the regions of doodles (``sketch.regions``): filled with their mean colours of the photograph, they must
come near its layout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from countermark.core.errors import ConfigError
from countermark.core.networks import count_parameters
from countermark.core.seeds import derive, torch_rng, torch_seeded
from countermark.core.weights import WeightsCard
from countermark.generators.data.pictures import DataConfig, Pictures, load_pictures
from countermark.generators.families.guided import GuidedDetail, Reading
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.families.projected import ProjectedCritic
from countermark.generators.gan.fitting import fit
from countermark.generators.gan.latent import DETAIL, LAYOUTS, latent_pictures, shrunk
from countermark.generators.latents.autoencoder import digest
from countermark.generators.library import load_generator, save_generator
from countermark.generators.recipes.schema import OptimiserConfig, Recipe
from countermark.generators.sketch.latent import (
    NAME,
    LatentSketch,
    LatentSketchConfig,
    SketchLayout,
    squares,
)
from countermark.generators.sketch.latent_data import DoodledPictures, Doodles, Edges
from countermark.generators.sketch.regions import coloured, region_colours
from countermark.generators.training.checkpoints import FILE, Progress, refuse_used_folder
from countermark.generators.training.ema import Ema
from countermark.generators.training.steps import Losses, StepLoop, set_rates

#: What detail can start from.
_Begun = LatentGenerator | LatentSketch
#: Photographs on which the reading of colours is measured, at most about.
_READ = 300


@dataclass(frozen=True)
class LatentSketchSettings:
    """How it is trained.

    Attributes:
        start: Name or path of a latent generator or doodle-to-image model of the same size, whose detail is
            where detail starts.
        batch, rate: Of detail; ``layout_batch`` and ``layout_rate`` of regions.
        warm: Doodles that detail is shown without its critic; none where it starts from a generator.
        layouts: Doodles that regions are learnt from, for each that detail is shown.
        share: Of the minutes for regions, where they are the budget.
        edges: As for ``sketch.training``.
        seed: Of weights, doodles and codes.
    """

    start: str = ""
    batch: int = 16
    rate: float = 4e-4
    warm: int = 6000
    layout_batch: int = 32
    layout_rate: float = 2e-3
    layouts: float = 2.0
    share: float = 0.3
    checkpoint_minutes: float = 2.0
    edges: Edges = "auto"
    seed: int = 0
    bf16: bool = True


def train_latent_sketch(
    data: Path | str,
    out: Path | str,
    *,
    name: str = NAME,
    config: LatentSketchConfig | None = None,
    settings: LatentSketchSettings | None = None,
    minutes: float | None = None,
    images: int | None = None,
    resume: bool = False,
    holdout: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Trains and returns the path of the weights; card, checkpoints and latents lie beside them.

    Args:
        data: Folder or zip archive of photographs.
        minutes: By ``clock``, without the encoding.
        images: Doodles that detail is shown; 20,000 where neither budget is given.
        resume: Go on from the checkpoints in ``out``.
        clock: Gives seconds; ``time.process_time`` counts the CPU's.

    Raises:
        ConfigError: ``settings.start`` is no latent generator of this size.
        CorpusError: under two readable photographs; ``latents.foreign``: latents of another set in ``out``.
        OutputError: ``out`` holds a run already and ``resume`` is not set.
        MissingExtraError: the network behind the critic, or ``edges="hed"``, without its package.
        TrainingError: ``training.diverged`` (the last good checkpoint stays), ``training.disk`` or
            ``training.stopped`` (by a signal).
    """
    config, settings, out = config or LatentSketchConfig(), settings or LatentSketchSettings(), Path(out)
    begun = None
    if settings.start:
        begun, config = _start(settings.start, config)
    if images is None:
        images = 20_000 if minutes is None else 10**12
    if images < 1 or (minutes is not None and minutes <= 0):
        raise ConfigError("Training needs at least one image and more than no minutes.")
    for folder in (out / DETAIL, out / LAYOUTS):
        refuse_used_folder(folder, resume=resume)
    refuse_used_folder(out, resume=resume, weights=f"{name}.safetensors")
    pictures = load_pictures(data, size=config.size, options=DataConfig(holdout=holdout), seed=settings.seed)
    run = _Run(config, settings, pictures, out, begun)
    budget: dict[str, Any] = {"resume": resume, "clock": clock}
    detail = run.fit_detail(images, minutes and minutes * (1 - settings.share), **budget)
    layouts = run.fit_layouts(
        max(round(images * settings.layouts), 1), minutes and minutes * settings.share, **budget
    )
    return save_generator(
        out, run.network, _card(name, config, settings, pictures, (detail, layouts), run, holdout)
    )


def _start(name: str, config: LatentSketchConfig) -> tuple[_Begun, LatentSketchConfig]:
    """The latent generator or doodle-to-image model ``name``, and ``config`` with its settings of detail."""
    network = getattr(load_generator(name), "network", None)
    if not isinstance(network, _Begun) or network.config.size != config.size:
        raise ConfigError(
            f"{name} is no latent generator of {config.size} px.",
            hint="Start from one of the same size, as sketch-clothing-128 is for 128 px, or from nothing.",
        )
    same = {key: getattr(network.config, key) for key in ("width", "max_width", "depth", "noise")}
    if isinstance(network, LatentSketch):
        same |= {"latent": network.config.latent, "lines": network.config.lines}
    else:
        same["latent"] = network.config.texture
    return network, config.model_copy(update=same)


class _Run:
    """The networks of one run, and the training of both stages."""

    def __init__(
        self,
        config: LatentSketchConfig,
        settings: LatentSketchSettings,
        pictures: Pictures,
        out: Path,
        begun: _Begun | None,
    ) -> None:
        self.config, self.settings, self.pictures, self.out = config, settings, pictures, out
        self.doodles = Doodles(pictures, settings.edges, settings.seed)
        self.begun = begun
        with torch_seeded(derive(settings.seed, "initialise")):
            self.network = LatentSketch(config)
        self.real = latent_pictures(pictures, out / "latents", mirror=True)
        if begun is not None:
            self.real = replace(self.real, space=begun.space)
            self.network.detail.begin_with(begun.detail)
        self.network.space.load_state_dict(self.real.space.state_dict())
        self.cells = shrunk(pictures.images, config.layouts.side)

    def fit_detail(
        self, images: int, minutes: float | None, *, resume: bool, clock: Callable[[], float]
    ) -> Progress:
        """Trains the second stage, on the layouts of photographs."""
        s, config, real = self.settings, self.config, self.real
        step = max(len(self.pictures) // _READ, 1)
        wanted = shrunk(self.pictures.images[::step], config.detail.side)
        reading = Reading().measure(real.space.there(real.latents[::step, 0]), wanted)
        told = DoodledPictures(
            f"{self.pictures.name}, detail", real.latents, None, (), real.space, real.padding,
            cells=self.cells, doodles=self.doodles, config=config,
        )  # fmt: skip
        with torch_seeded(derive(s.seed, "critic")):
            critic = ProjectedCritic(config.detail)
        critic.space.load_state_dict(real.space.state_dict())
        guided = GuidedDetail(self.network.detail, reading)
        recipe = Recipe(
            name=NAME,
            family=NAME,
            network={**config.detail.model_dump(), "lines": config.lines},
            images=images,
            minutes=minutes,
            warm_images=0 if self.begun is not None else s.warm,
            preview_images=4000,
            precision="bf16" if s.bf16 else "fp32",
            checkpoint_minutes=s.checkpoint_minutes,
            data=DataConfig(mirror=True),
            optimiser=OptimiserConfig(
                generator_rate=s.rate, critic_rate=s.rate, batch=s.batch, decay_after=0.6
            ),
        )
        fitted = fit(
            guided, critic, told, recipe, self.out / DETAIL,
            latent=config.latent, seed=s.seed, resume=resume, progress=False, clock=clock,
        )  # fmt: skip
        average = fitted.average
        assert isinstance(average, GuidedDetail)
        self.network.detail.load_state_dict(average.detail.state_dict())
        return fitted.progress

    def fit_layouts(
        self, images: int, minutes: float | None, *, resume: bool, clock: Callable[[], float]
    ) -> Progress:
        """Trains the first stage."""
        s, folder = self.settings, self.out / LAYOUTS
        stage = _LayoutStage(s, self.cells, self.doodles, self.network.layout)
        loop = StepLoop(
            folder, s.layout_batch, images, s.layout_rate, minutes=minutes,
            resume=resume and (folder / FILE).exists(), counted="doodles",
            checkpoint_minutes=s.checkpoint_minutes, seed=derive(s.seed, LAYOUTS), clock=clock,
        )  # fmt: skip
        identity = {"family": NAME, "network": self.config.model_dump(), "seed": s.seed}
        identity["edges"] = self.doodles.edges
        modules = {"regions": stage.layout, "average": stage.average.network}
        progress = loop.run(stage.step, modules, {"optimiser": stage.optimiser}, identity)
        self.network.layout.load_state_dict(stage.average.network.state_dict())
        self.network.layout.palettes.keep(*self._divided())
        return progress

    @torch.no_grad()
    def _divided(self) -> tuple[Tensor, Tensor]:
        """Regions of the photographs' own doodles, and their layouts."""
        shares = []
        for index in torch.arange(len(self.cells)).split(self.settings.layout_batch):
            told = squares(self.doodles.of(index, None), self.cells.shape[-1])
            shares.append(self.network.layout.regions(told))
        return torch.cat(shares), self.cells


class _LayoutStage:
    """The network of the first stage, its optimiser, and one step of it."""

    def __init__(
        self, settings: LatentSketchSettings, cells: Tensor, doodles: Doodles, layout: SketchLayout
    ) -> None:
        self.settings, self.cells, self.doodles = settings, cells, doodles
        self.layout = layout.to(memory_format=torch.channels_last)
        self.average = Ema(self.layout, half_life=3000)
        self.optimiser = torch.optim.Adam(self.layout.parameters(), settings.layout_rate)

    def step(self, progress: Progress, share: float) -> Losses:
        """Regions filled with their mean colours, against the layout; the rate falls over the last 40 %."""
        s = self.settings
        set_rates([(self.optimiser, s.layout_rate)], share, last=0.4)
        source = torch_rng(s.seed, "layouts", progress.step)
        index = torch.randint(len(self.cells), (s.layout_batch,), generator=source)
        mirrored = torch.rand(len(index), generator=source) < 0.5
        real = torch.where(mirrored[:, None, None, None], self.cells[index].flip(3), self.cells[index])
        told = squares(self.doodles.of(index, mirrored), real.shape[-1])
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            shares = self.layout.regions(told.contiguous(memory_format=torch.channels_last))
        value = F.mse_loss(coloured(shares, region_colours(shares, real)), real)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        self.optimiser.step()
        self.average.update(self.layout, len(index), progress.images + len(index))
        return {"regions": float(value.detach())}


def _card(
    name: str,
    config: LatentSketchConfig,
    settings: LatentSketchSettings,
    pictures: Pictures,
    progress: tuple[Progress, Progress],
    run: _Run,
    holdout: float,
) -> WeightsCard:
    detail, layouts = progress
    start = f"--start {Path(settings.start).stem} " if settings.start else ""
    told = f"--size {config.size} {start}--images {detail.images}"
    return WeightsCard(
        name=name,
        kind="generator",
        family=NAME,
        summary=f"Doodle to image at {config.size} px in the latent space; "
        f"{count_parameters(run.network):,} parameters.",
        config=config.model_dump(),
        preprocessing={
            "condition": "doodle", "range": "[-1, 1]", "order": "RGB", "decoder": digest("decoder"),
        },
        training_data=[f"{pictures.name}: {len(pictures)} photographs, {len(pictures.heldout)} held out"],
        trained={
            "seed": settings.seed,
            "doodles": detail.images,
            "layouts": layouts.images,
            "steps": detail.step + layouts.step,
            "minutes": round((detail.seconds + layouts.seconds) / 60, 2),
            "batch": settings.batch,
            "start": Path(settings.start).stem,
            "edges": run.doodles.edges,
            "holdout": holdout,
            "command": f"countermark train sketch-latent DATA --out DIR {told}",
        },
        limits=["Draws only what it was trained on; a doodle of anything else is filled in the same way."],
    )  # fmt: skip
