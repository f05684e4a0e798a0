"""Train: a generator on a folder of images, or a detector on a labelled corpus.

>>> import countermark as cm                                                       # doctest: +SKIP
>>> cm.train("generator", "digits", out="runs/digits", recipe="digits-32")         # doctest: +SKIP
>>> cm.train("detector", "corpus", out="runs/mine", name="mine", family="critic")  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, UnknownNameError, known_names


def train(kind: str, data: Path | str, *, out: Path | str, preset: str | None = None, **options: Any) -> Path:
    """Trains a model and returns the path of its weights; its card lies beside them.

    Args:
        kind: ``generator`` or ``detector``.
        data: For a generator a folder, zip archive, ``torchvision:NAME`` or ``digits``; for a
            detector a labelled corpus.
        out: Folder for weights, card, checkpoints.
        preset: For a generator: ``medical``, ``texture`` or ``product`` instead of a recipe.
        options: As for ``generators.train_generator`` or ``detectors.train_detector``.

    Raises:
        UnknownNameError, CorpusError, TrainingError, ConfigError, OutputError.
    """
    if kind == "generator":
        from countermark.generators import train_generator

        if preset is not None:
            from countermark.generators.presets import load_preset

            options["recipe"] = load_preset(preset).recipe_for(data)
        return train_generator(data, out, **_with_data_options(options))
    if kind == "detector":
        from countermark.detectors import train_detector

        if not options.get("name"):
            raise ConfigError("A detector needs a name.", hint="Give it one with --name.")
        if options.get("family") == "one-class":  # learns from photographs alone
            from countermark.detectors.training import train_one_class

            options.pop("family")
            return train_one_class(read_corpus(data), out, **options)
        return train_detector(read_corpus(data), out, **options)
    raise UnknownNameError(
        f"There is nothing called {kind!r} to train.", hint=known_names(kind, ["generator", "detector"])
    )


def _with_data_options(options: dict[str, Any]) -> dict[str, Any]:
    """``self_labels`` and ``download`` become settings of the recipe, which the card then tells."""
    from countermark.generators.recipes.schema import load_recipe, parse_recipe

    changes = {key: options.pop(key) for key in ("self_labels", "download") if key in options}
    changes = {key: value for key, value in changes.items() if value}
    if changes:
        values = load_recipe(options.get("recipe", "dcgan-64")).model_dump()
        options["recipe"] = parse_recipe({**values, "data": {**values["data"], **changes}})
    return options
