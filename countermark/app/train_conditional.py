"""Train a generator that starts from an image: doodle to image, super-resolution, or style.

>>> train_conditional("superres", "photos", out="runs/mine", minutes=30)          # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from countermark.core.configuration import validated
from countermark.core.errors import UnknownNameError, known_names

KINDS = ("sketch2image", "sketch-latent", "superres", "style")


def train_conditional(
    kind: str,
    data: Path | str,
    *,
    out: Path | str,
    network: dict[str, Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Trains and returns the path of the weights; the card lies beside them.

    Args:
        kind: ``sketch2image``, ``sketch-latent``, ``superres`` or ``style``.
        data: Folder of photographs.
        network: Settings of the network, see ``SketchConfig``, ``LatentSketchConfig``,
            ``SuperresConfig`` and ``AdainConfig``.
        options: ``name``, ``minutes``, ``images``, ``resume``; for ``sketch-latent`` also ``start``, the
            latent generator that it starts from; for ``style`` also ``styles``, a folder, and ``training``,
            see ``StyleTraining``.

    Raises:
        ConfigError: settings that the network does not take.
        UnknownNameError, CorpusError, OutputError, TrainingError.
    """
    where = f"The {kind} network cannot be built"
    if kind == "sketch2image":
        from countermark.generators.sketch.network import SketchConfig
        from countermark.generators.sketch.training import SketchSettings, train_sketch

        sketch = validated(SketchConfig, network or {}, where)
        return train_sketch(data, out, config=sketch, settings=SketchSettings(seed=seed), **options)
    if kind == "sketch-latent":
        from countermark.generators.sketch.latent import LatentSketchConfig
        from countermark.generators.sketch.latent_training import LatentSketchSettings, train_latent_sketch

        drawn = validated(LatentSketchConfig, network or {}, where)
        begun = LatentSketchSettings(seed=seed, start=options.pop("start", ""))
        return train_latent_sketch(data, out, config=drawn, settings=begun, **options)
    if kind == "superres":
        from countermark.generators.superres.network import SuperresConfig
        from countermark.generators.superres.training import SuperresSettings, train_superres

        config = validated(SuperresConfig, network or {}, where)
        return train_superres(data, out, config=config, settings=SuperresSettings(seed=seed), **options)
    if kind == "style":
        from countermark.generators.style.adain import AdainConfig
        from countermark.generators.style.training import StyleTraining, train_style

        adain = validated(AdainConfig, network or {}, where)
        wanted = StyleTraining(seed=seed, **options.pop("training", {}))
        return train_style(data, options.pop("styles"), out, config=adain, settings=wanted, **options)
    raise UnknownNameError(f"There is nothing called {kind!r} to train.", hint=known_names(kind, KINDS))


def train_growth(
    base: Path | str,
    data: Path | str,
    *,
    out: Path | str,
    factor: int = 4,
    seed: int = 0,
    width: int = 48,
    blocks: int = 4,
    **options: Any,
) -> Path:
    """Grows a trained generator by two or four times its side; returns the path of the weights.

    Args:
        base: Name or path of the small generator.
        data: Source of larger pictures with the same classes.
        width, blocks: Of the stage.
        options: ``name``, ``minutes``, ``images``, ``resume``, ``max_images``.

    Raises:
        ConfigError, CorpusError, OutputError, TrainingError, UnknownNameError, WeightsError.
    """
    from countermark.generators.gan.growth import GrowthSettings, grow_generator

    settings = GrowthSettings(seed=seed, width=width, blocks=blocks)
    return grow_generator(base, data, out, factor=factor, settings=settings, **options)
