"""Stores generators' weights in eight bits, and says on their cards how far pictures moved.

    python tools/pack_generators.py FOLDER NAME ... [--into FOLDER]

Figures on a card were measured before; ``stored`` in its ``trained`` says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from countermark.core.weights import save_weights
from countermark.generators.library import load_generator
from countermark.generators.packing import packed, restored

#: Pictures that are drawn before and after.
COUNT = 16


def pack(path: Path, into: Path) -> float:
    """Packs one generator; returns the mean difference of its pictures, in levels of 255."""
    whole = load_generator(path)
    source = whole.network.state_dict()  # type: ignore[attr-defined]
    tensors = packed(source)
    page = np.full((128, 128, 3), 255, np.uint8)
    page[30:34, 20:100] = page[30:100, 20:24] = page[30:100, 96:100] = 0
    condition = page if whole.card.preprocessing.get("condition") else None
    look = {"style": page[::-1]} if whole.card.family == "adain" else {}
    before = whole.sample(COUNT, seed=5, condition=condition, **look).astype(np.int16)
    whole.network.load_state_dict(restored(tensors))  # type: ignore[attr-defined]
    after = whole.sample(COUNT, seed=5, condition=condition, **look)
    moved = float(np.abs(after - before).mean())
    note = f"in eight bits after all figures were taken; {COUNT} pictures moved by {moved:.2f} of 255"
    note += " on the mean"
    card = whole.card.model_copy(update={"trained": {**whole.card.trained, "stored": note}})
    save_weights(into, tensors, card)
    return moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--into", type=Path, default=None)
    options = parser.parse_args()
    for name in options.names:
        moved = pack(options.folder / f"{name}.safetensors", options.into or options.folder)
        print(f"{name}: {moved:.2f} of 255")


if __name__ == "__main__":
    main()
