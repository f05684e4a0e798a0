"""Splits that a comparison has measured, in a small file: one that was stopped goes on after the last.

>>> Kept(None, "", 2).done
[]
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from countermark.core.files import atomic_write, read_head

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Split:
    """Images of a split, and the accuracy of each way of training, in [0, 1]."""

    train: int
    test: int
    accuracy: tuple[float, ...]


class Kept:
    """The splits of one comparison, written after every one.

    Args:
        path: Where they are kept; None keeps them nowhere.
        fingerprint: Of all that the figures follow from: splits of anything else are not taken.
        ways: Accuracies of a split.
    """

    def __init__(self, path: Path | None, fingerprint: str, ways: int) -> None:
        self._path, self._fingerprint, self._ways = path, fingerprint, ways
        self.done: list[Split] = [] if path is None or not path.is_file() else self._read(path)

    def add(self, split: Split) -> None:
        """Adds a split, on disk too."""
        self.done.append(split)
        if self._path is not None:
            record = {"of": self._fingerprint, "splits": [asdict(each) for each in self.done]}
            atomic_write(self._path, json.dumps(record), overwrite=True)

    def _read(self, path: Path) -> list[Split]:
        """What the file holds; nothing of a file that is damaged or of another comparison."""
        try:
            record = json.loads(read_head(path, MAX_BYTES))  # cut short, it is no JSON
            if record["of"] != self._fingerprint:
                return []
            return [self._split(each) for each in record["splits"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []

    def _split(self, values: dict[str, Any]) -> Split:
        accuracy = tuple(float(value) for value in values["accuracy"])
        if len(accuracy) != self._ways or not all(0 <= value <= 1 for value in accuracy):
            raise ValueError("accuracies")
        train, test = int(values["train"]), int(values["test"])
        if min(train, test) < 1:
            raise ValueError("sizes")
        return Split(train, test, accuracy)
