"""What metadata and credentials of pictures with known labels declare: how many, wrongly and rightly.

    python benchmarks/declared.py FOLDER ...

Each folder is a labelled corpus (``metadata.csv``). Detectors and marks are not asked; a picture counts as
declared when a verdict of ``declared-synthetic`` or ``declared-captured`` would follow.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from countermark.app.scan.gather import gather
from countermark.core.corpus import read_corpus
from countermark.core.errors import CountermarkError
from countermark.core.results import Strength


def main(*folders: str) -> None:
    """Prints every photograph that is declared synthetic, then counts by label."""
    counts: Counter[str] = Counter()
    for folder in folders:
        for path, row in read_corpus(Path(folder)):
            label = "synthetic" if row.is_synthetic else "real"
            try:
                evidence = gather(str(path), marks=False).evidence
            except CountermarkError as error:
                counts[f"{label}: not read ({error.code})"] += 1
                continue
            counts[label] += 1
            told = [e for e in evidence if e.strength in (Strength.CERTAIN, Strength.STRONG)]
            for side in ("synthetic", "captured"):
                found = [each for each in told if each.points_to == side]
                counts[f"{label} declared {side}"] += bool(found)
                if found and side != label and (label, side) != ("real", "captured"):
                    print(f"{path}: {found[0].sentence}", flush=True)
    for name, count in sorted(counts.items()):
        print(f"{name:44} {count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
