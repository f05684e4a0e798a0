"""Splits that were measured are taken from their file once, and nothing damaged or foreign is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from countermark.generators.augmentation.kept import MAX_BYTES, Kept, Split

ONE = Split(30, 10, (0.5, 0.75))


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    first = Kept(path, "a", 2)
    first.add(ONE)
    first.add(Split(30, 10, (0.25, 1.0)))
    assert Kept(path, "a", 2).done == first.done
    assert Kept(path, "another", 2).done == [] and Kept(path, "a", 3).done == []


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[]", "7", '{"of": "a"}', '{"of": "a", "splits": 3}',
        json.dumps({"of": "a", "splits": [{"train": 3, "test": 0, "accuracy": [0, 1]}]}),
        json.dumps({"of": "a", "splits": [{"train": 3, "test": 1, "accuracy": [0, 2]}]}),
        '{"of": "a", "splits": [{"train": 3, "test": 1, "accuracy": [0, NaN]}]}',
        '{"of": "a", "splits": [' + "1," * MAX_BYTES,
    ],
)  # fmt: skip
def test_nothing_damaged_is_taken(text: str, tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    path.write_text(text)
    kept = Kept(path, "a", 2)
    assert kept.done == []
    kept.add(ONE)
    assert Kept(path, "a", 2).done == [ONE]
