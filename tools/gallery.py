"""The gallery page: a table and a sample grid of every shipped generator, from its card.

>>> page = gallery_markdown({"digits-32": read_card(WEIGHTS / "digits-32.safetensors")})
>>> page.splitlines()[0]
'# Gallery of shipped generators'

``python tools/gallery.py docs`` writes the page and the grids anew, with
``--page`` the page alone.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from countermark.core.files import atomic_write
from countermark.core.weights import WeightsCard, read_card, shipped_cards
from countermark.generators.families import FAMILIES
from countermark.generators.grids import sample_grid
from countermark.generators.library import WEIGHTS, load_generator

HEAD = """# Gallery of shipped generators

Every picture below was made by the generator it stands under, from seed 0 on, unpicked; a
class-conditional generator shows one row a class. Figures come from the cards. KID is the kernel
distance in the features of the named extractor, between generated images and real ones that were
held out of training (or training images, where it says so); lower is closer. It is not comparable
with a KID in Inception features, nor between extractors or data sets. Minutes are by the clock, on
one core that other work shared.

{columns}
"""


COLUMNS = (
    "generator", "family", "px", "classes", "trained on", "minutes", "images seen", "KID ({extractor})",
    "KID to training images", "recall", "C_T",
)  # fmt: skip

#: Pictures of generators that start from an image, and the pages that say what they show.
EXAMPLES = {
    "sketch-clothing-128": ("conditional-sketch.png", "conditional.md"),
    "style-adain": ("style.png", "style.md"),
    "superres": ("conditional-superres-x2.png", "conditional.md"),
}


def gallery_markdown(cards: Mapping[str, WeightsCard], pictures: Collection[str] = ()) -> str:
    """The page as Markdown; pictures are expected as ``images/gallery-NAME.png``.

    Generators that start from an image have no grid of their own: they are listed last, with the
    picture of ``EXAMPLES``, or ``images/gallery-NAME.png`` if their name is among ``pictures``.
    """
    guided = {name: card for name, card in cards.items() if not _samples(card)}
    cards = {name: card for name, card in cards.items() if _samples(card)}
    names = {
        str(card.metrics["quality"]["extractor"]) for card in cards.values() if "quality" in card.metrics
    }
    rows = [_row(name, card) for name, card in cards.items()]
    columns = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
    columns = columns.replace("{extractor}", ", ".join(sorted(names)))
    parts = [HEAD.replace("{columns}", columns) + "\n".join(rows)]
    for name, card in cards.items():
        shown = f"![Samples of {name}](images/gallery-{name}.png)"
        parts.append(f"## {name}\n\n{card.summary}\n\n{shown}\n\n{_origin(card)}")
    if guided:
        parts.append("# Generators that start from an image")
    for name, card in guided.items():
        file, about = EXAMPLES.get(name, (f"gallery-{name}.png" if name in pictures else "", ""))
        shown = f"![Examples of {name}](images/{file})\n\n" if file else ""
        shown += f"What it shows, and figures: [{about}]({about}).\n\n" if about else ""
        parts.append(f"## {name}\n\n{card.summary}\n\n{shown}{_origin(card)}")
    return "\n\n".join(parts) + "\n"


def _origin(card: WeightsCard) -> str:
    limits = "\n".join(f"- {limit}" for limit in card.limits)
    return (
        f"Trained on {'; '.join(card.training_data)}. Licence of the weights: {card.licence}. "
        f"Recipe: `{card.trained.get('command', '')}`.\n\n{limits}"
    )


def _samples(card: WeightsCard) -> bool:
    return "size" in card.config and card.family in FAMILIES


def _row(name: str, card: WeightsCard) -> str:
    quality = card.metrics.get("quality", {})
    copied = quality.get("copying", {}).get("c_t", "-")
    classes = len(card.preprocessing.get("classes", ())) or "-"
    held = "held-out" in str(quality.get("reference"))
    among = card.metrics.get("against_training", {}) if held else quality
    cells = [
        f"[{name}](#{name})",
        card.family,
        card.config.get("size", "-"),
        classes,
        card.training_data[0].partition(":")[0].partition(" (")[0] if card.training_data else "-",
        card.trained.get("minutes", "-"),
        f"{card.trained.get('images_seen', 0):,}",
        _interval(quality.get("kid")) if held else "-",
        _interval(among.get("kid")),
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
    if grids:
        for name, card in cards.items():
            if _samples(card):
                classes, size = len(card.preprocessing.get("classes", ())), int(card.config["size"])
                each = 3 if size > 128 else 6 if size > 64 else 12  # or the page holds many megabytes
                sample_grid(
                    load_generator(name), root / "images" / f"gallery-{name}.png",
                    count=each * (min(classes, 10) or 5), scale=max(64 // size, 1),
                    overwrite=True,
                )  # fmt: skip
    pictures = {name for name in cards if (root / "images" / f"gallery-{name}.png").is_file()}
    return atomic_write(root / "gallery.md", gallery_markdown(cards, pictures), overwrite=True)


if __name__ == "__main__":  # pragma: no cover
    words = sys.argv[1:]
    print(write_gallery(next((w for w in words if w != "--page"), "docs"), grids="--page" not in words))
