"""A corpus of many small generators' images, for training detectors, with a table of what was drawn.

>>> made = make_zoo("photos", "corpus", species=16)                          # doctest: +SKIP
>>> made["architectures"], made["left_out"]                                  # doctest: +SKIP
(11, [])
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)


def make_zoo(
    data: Path | str,
    out: Path | str,
    *,
    progress: Callable[[int], None] = lambda steps: None,
    **options: Any,
) -> dict[str, Any]:
    """Writes the corpus and says what is in it.

    Args:
        data: What the generators are trained on; see ``countermark.generators.data.pictures``.
        options: ``species``, ``per_species``, ``size``, ``images``, ``seed`` of
            ``countermark.generators.gan.zoo.write_zoo``.

    Returns:
        ``corpus`` (its folder), ``images``, ``architectures`` (how many differ), ``species`` (name,
        architecture, drawn choices, images) and ``left_out`` (names of those that diverged).

    Raises:
        ConfigError, CorpusError, OutputError, TrainingError.
    """
    from countermark.generators.gan.zoo import Species, write_zoo

    table: list[dict[str, Any]] = []

    def note(one: Species, count: int) -> None:
        table.append({"name": one.name, "architecture": one.architecture, "images": count, **one.tags})
        LOG.info("%s (%s): %d images", one.name, one.architecture, count)
        progress(1)

    corpus = write_zoo(data, out, on_species=note, **options)
    return {
        "corpus": str(out),
        "images": len(corpus),
        "architectures": len({row["architecture"] for row in table if row["images"]}),
        "species": table,
        "left_out": [row["name"] for row in table if not row["images"]],
    }
