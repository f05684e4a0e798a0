"""Renews the tables of docs/detectors.md and docs/detectors-leave-out.md from the shipped detectors' cards.

    python tools/held_out.py            # writes the pages
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

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: Held-out sources one by one; and the detectors, with their figures.
SOURCES, DETECTORS_PAGE = DOCS / "detectors-leave-out.md", DOCS / "detectors.md"
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
#: Of these a working point shows what it flags and finds.
DELIVERIES = ("native", "q96", "320q90", "q75")


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


def figures(card: WeightsCard) -> str:
    """How well it ranks, and what it finds, flags and promises under every delivery."""
    lines = _head(
        [
            "delivery",
            "pictures",
            "AUROC (95 % over sources)",
            "without GANs and the oldest",
            "found at 5 % FPR",
            "at 1 % FPR",
            "ECE, even classes",
            "real flagged, generated found at the default threshold",
        ]
    )
    for key, title in CONDITIONS.items():
        own = card.metrics[key]
        low, high = own["auroc_interval"]
        cells = [
            title,
            f"{own['images']:,}",
            f"**{_number(own['auroc'], 3)}** ({_number(low, 3)}–{_number(high, 3)})",
            _number(own["only_diffusion"]["auroc"], 3),
            _number(own["tpr_at_5_fpr"], 2),
            _number(own["tpr_at_1_fpr"], 2),
            _number(own["ece_even"], 3),
            f"{_number(own['fpr_at_default'], 4)}, {_number(own['tpr_at_default'], 2)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def working_points(card: WeightsCard) -> str:
    """Thresholds with what they flag of real pictures, what they find, and the worst kind of real ones."""
    shown = ", ".join(CONDITIONS[key].removesuffix(" q90") for key in DELIVERIES)
    lines = _head(
        [
            "working point",
            "`--max-fpr`",
            "threshold",
            f"real flagged: {shown}",
            f"generated found: {shown}",
            "worst kind of real picture (95 %)",
        ]
    )
    for name, point in card.metrics["working_points"].items():
        parts = [point[key] for key in DELIVERIES]
        kinds: Mapping[str, Sequence[float]] = point["real_by_kind"]
        kind, (rate, low, high) = max(kinds.items(), key=lambda each: each[1][0])
        cells = [
            f"*{name}*",
            f"{point['max_fpr']:g}",
            _number(point["likely"], 3),
            ", ".join(_number(part["fpr_sources_alike"], 3) for part in parts),
            ", ".join(_number(part["tpr"], 3) for part in parts),
            f"{kind} {_number(rate, 3)} ({_number(low, 3)}–{_number(high, 3)})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pages(cards: Sequence[WeightsCard]) -> dict[Path, str]:
    """Both pages as they ought to be."""
    page = DETECTORS_PAGE.read_text("utf-8")
    for card in cards:
        page = renewed(page, f"figures of {card.name}", figures(card))
        page = renewed(page, f"working points of {card.name}", working_points(card))
    return {SOURCES: renewed(SOURCES.read_text("utf-8"), "held out", tables(cards)), DETECTORS_PAGE: page}


def renewed(page: str, place: str, made: str) -> str:
    """``page`` with ``made`` between the marks of ``place``; ValueError without them."""
    begin_mark, end_mark = f"<!-- {place} -->\n", f"<!-- /{place} -->\n"
    before, begin, rest = page.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not (begin and end):
        raise ValueError(f"The page has no place for the table: {place}.")
    return before + begin + made + end + after


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0") if value < 1 else f"{value:.{digits}f}"


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
    cards = [read_card(WEIGHTS / f"{name}.safetensors") for name in DETECTORS]
    if parser.parse_args().print:
        print("\n".join([tables(cards), *(figures(card) + working_points(card) for card in cards)]))
        return
    for path, text in pages(cards).items():
        atomic_write(path, text, overwrite=True)


if __name__ == "__main__":
    main()
