"""What metadata and credentials of pictures with known labels declare: how many, wrongly and rightly.

    python benchmarks/declared.py FOLDER ...

Each folder is a labelled corpus (``metadata.csv``, or ``real/`` and ``synthetic/``). Detectors and marks are
not asked; a picture counts as declared when a verdict of ``declared-synthetic`` or ``declared-captured``
would follow. JPEG files, in whose pixels no prompt can be hidden, are not decoded.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from countermark.app.scan.gather import credential_evidence, gather
from countermark.core.corpus import read_corpus
from countermark.core.errors import CountermarkError
from countermark.core.images import read_bytes, sniff_format
from countermark.core.results import Evidence, Strength
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.metadata.reading import read_metadata


def declarations(path: Path) -> list[Evidence]:
    """All that a file's credential and metadata say, as a scan without marks gathers it."""
    data = read_bytes(path)
    if sniff_format(data) != "jpeg":
        return [*gather(str(path), marks=False).evidence]
    return [*credential_evidence(verify_image(path, data=data)), *read_metadata(data, "jpeg")]


def main(*folders: str) -> None:
    """Prints every photograph that is declared synthetic, then counts by label."""
    counts: Counter[str] = Counter()
    for folder in folders:
        for path, row in read_corpus(Path(folder)):
            label = "synthetic" if row.is_synthetic else "real"
            try:
                evidence = declarations(path)
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
