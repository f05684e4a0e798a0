"""The gallery page: a table and a sample grid of every shipped generator, from its card.

>>> page = gallery_markdown({"digits-32": read_card(WEIGHTS / "digits-32.safetensors")})
>>> page.splitlines()[0]
'# Gallery of shipped generators'

``python -m countermark.generators.gallery docs`` writes the page and the grids anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from countermark.core.files import atomic_write
from countermark.core.weights import WeightsCard, read_card, shipped_cards
from countermark.generators.grids import sample_grid
from countermark.generators.models import WEIGHTS, load_generator

HEAD = """# Gallery of shipped generators

Every picture below was made by the generator it stands under, from seed 0 on, unpicked; a
class-conditional generator shows one row a class. Figures come from the cards. KID is the kernel
distance in the features of the named extractor, between generated images and real ones that were
held out of training (or training images, where it says so); lower is closer. It is not comparable
with a KID in Inception features, nor between extractors or data sets.

| generator | family | px | classes | trained on | minutes | images seen | KID ({extractor}) | recall | C_T |
|---|---|---|---|---|---|---|---|---|---|
"""


def gallery_markdown(cards: Mapping[str, WeightsCard]) -> str:
    """The page as Markdown; pictures are expected as ``images/gallery-NAME.png``."""
    names = {str(card.metrics.get("quality", {}).get("extractor", "-")) for card in cards.values()}
    rows = [_row(name, card) for name, card in cards.items()]
    parts = [HEAD.replace("{extractor}", ", ".join(sorted(names))) + "\n".join(rows)]
    for name, card in cards.items():
        limits = "\n".join(f"- {limit}" for limit in card.limits)
        parts.append(
            f"## {name}\n\n{card.summary}\n\n![Samples of {name}](images/gallery-{name}.png)\n\n"
            f"Trained on {'; '.join(card.training_data)}. Licence of the weights: {card.licence}. "
            f"Recipe: `{card.trained.get('command', '')}`.\n\n{limits}"
        )
    return "\n\n".join(parts) + "\n"


def _row(name: str, card: WeightsCard) -> str:
    quality = card.metrics.get("quality", {})
    copied = quality.get("copying", {}).get("c_t", "-")
    classes = len(card.preprocessing.get("classes", ())) or "-"
    reference = "" if "held-out" in str(quality.get("reference")) else " (training)"
    cells = [
        f"[{name}](#{name})",
        card.family,
        card.config.get("size", "-"),
        classes,
        card.training_data[0].partition(":")[0].partition(" (")[0] if card.training_data else "-",
        card.trained.get("minutes", "-"),
        f"{card.trained.get('images_seen', 0):,}",
        _interval(quality.get("kid")) + reference,
        _interval(quality.get("recall")),
        copied,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _interval(figure: dict[str, Any] | None) -> str:
    if not figure:
        return "-"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def write_gallery(docs: Path | str, *, grids: bool = True) -> Path:
    """Writes ``docs/gallery.md`` and, with ``grids``, ``docs/images/gallery-NAME.png``."""
    root = Path(docs)
    cards = {name: read_card(path) for name, path in shipped_cards(WEIGHTS).items()}
    cards = {name: card for name, card in cards.items() if "size" in card.config}
    if grids:
        for name in cards:
            sample_grid(
                load_generator(name), root / "images" / f"gallery-{name}.png", count=60, overwrite=True
            )
    return atomic_write(root / "gallery.md", gallery_markdown(cards), overwrite=True)


if __name__ == "__main__":  # pragma: no cover
    print(write_gallery(sys.argv[1] if len(sys.argv) > 1 else "docs"))
