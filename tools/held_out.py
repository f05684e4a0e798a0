"""Renews the tables of docs/detectors-leave-out.md from the cards of the shipped detectors.

    python tools/held_out.py            # writes the page
    python tools/held_out.py --print    # prints the tables

The figures were measured when the weights were made (``countermark recipe``): heads that had not met a source
judged its pictures. Nothing is computed here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from countermark.core.files import atomic_write
from countermark.core.weights import WeightsCard, read_card
from countermark.detectors.library import WEIGHTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "detectors-leave-out.md"
MARKS = ("<!-- held out -->\n", "<!-- /held out -->\n")
DETECTORS = ("default", "lite")
#: What a card calls its draws, and what people call them.
CONDITIONS = {
    "native": "native",
    "q96": "q96",
    "320q90": "320 px q90",
    "q75": "q75",
    "random_history": "random history",
    "edited": "edited",
}


def tables(cards: Sequence[WeightsCard]) -> str:
    """Found by generator, flagged by source of real pictures; one column a detector."""
    return "\n".join([*generators(cards), "", *real_sources(cards)]) + "\n"


def generators(cards: Sequence[WeightsCard]) -> list[str]:
    """Rows from least to most found by the first of ``cards``."""
    rates: list[Mapping[str, float]] = [card.metrics["native"]["tpr_at_5_fpr_by_generator"] for card in cards]
    lines = _head(["generator @ source", *(f"`{card.name}`" for card in cards)])
    for group in sorted(rates[0], key=lambda group: (rates[0][group], group)):
        name, _, source = group.rpartition("@")
        cells = [_share(each.get(group)) for each in rates]
        lines.append(f"| {_plain(name)} @ {_plain(source)} | {' | '.join(cells)} |")
    return lines


def real_sources(cards: Sequence[WeightsCard]) -> list[str]:
    """Sources with any picture flagged, under every condition of the first card; then how many have none."""
    first = cards[0]
    found: list[Mapping[str, float]] = [
        first.metrics[each]["fpr_at_default_by_source"] for each in CONDITIONS
    ]
    counts = real_counts(first)
    flagged = {source for each in found for source in each}
    native = found[0]
    lines = _head(["source of real pictures", "pictures", *CONDITIONS.values()])
    for source in sorted(flagged, key=lambda name: (-native.get(name, 0.0), name)):
        cells = [_share(each.get(source, 0.0)) for each in found]
        lines.append(f"| {_plain(source)} | {counts.get(source, '–')} | {' | '.join(cells)} |")
    unflagged = len(counts) - len(flagged & set(counts))
    lines.append(f"| *{unflagged} others* | {_sum(counts, flagged)} |" + " 0 |" * len(CONDITIONS))
    return lines


def real_counts(card: WeightsCard) -> dict[str, int]:
    """Pictures of every source of real ones, from the card's lines on what was learnt from."""
    found = {}
    for line in card.training_data:
        label, _, rest = line.partition(": ")
        source, _, told = rest.rpartition(", ")
        if label == "real" and told.endswith(" images"):
            found[source] = int(told.removesuffix(" images"))
    return found


def renewed(page: str, made: str) -> str:
    """``page`` with ``made`` between the marks; ValueError without them."""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise ValueError("The page has no place for the tables.")
    return before + begin + made + end + after


def _sum(counts: Mapping[str, int], without: set[str]) -> int:
    return sum(count for source, count in counts.items() if source not in without)


def _head(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]


def _share(value: Any) -> str:
    return "–" if value is None else f"{float(value):.2f}".replace("0.", ".", 1) if value else "0"


def _plain(text: str) -> str:
    return text.replace("|", "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true")
    made = tables([read_card(WEIGHTS / f"{name}.safetensors") for name in DETECTORS])
    if parser.parse_args().print:
        print(made)
        return
    atomic_write(PAGE, renewed(PAGE.read_text("utf-8"), made), overwrite=True)


if __name__ == "__main__":
    main()
