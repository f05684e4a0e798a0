"""XMP side-cars are listed and never decide."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from countermark.app.scan.gather import gather
from countermark.core.images import write_image
from countermark.core.results import Strength
from countermark.provenance.metadata.beside import read_beside
from countermark.provenance.metadata.labels import Label, labelled_packet
from countermark.reports.sidecars import packet

GENERATED = labelled_packet(Label("trainedAlgorithmicMedia"))


@pytest.mark.parametrize("name", ["a.xmp", "a.png.xmp"])
def test_a_side_car_is_listed_with_its_name(name: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / name).write_text(GENERATED)
    (told,) = gather(str(tmp_path / "a.png"), marks=False).evidence
    assert told.strength is Strength.WEAK and told.points_to == "synthetic"
    assert told.sentence.startswith(f"The side-car {name} says: ") and told.detail["sidecar"] == name


def test_what_our_own_side_cars_say_is_no_declaration(tmp_path: Path) -> None:
    sentence = "The field parameters holds a, Steps: 20, Sampler: Euler a, Seed: 7, CFG scale: 6"
    row = {
        "path": "a.jpg", "verdict": "declared-synthetic", "score": 0.9, "error": None,
        "evidence": [
            {"sentence": sentence, "kind": "metadata", "strength": "strong", "points_to": "synthetic",
             "detail": {}}
        ],
    }  # fmt: skip
    (tmp_path / "a.xmp").write_text(packet(row))
    assert read_beside(str(tmp_path / "a.jpg")) == []


def test_what_is_no_side_car_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").mkdir()
    assert read_beside(str(tmp_path / "a.png")) == []
    os.mkfifo(tmp_path / "b.xmp")
    assert read_beside(str(tmp_path / "b.png")) == []
    (tmp_path / "c.xmp").write_bytes(bytes(range(256)) * 8192)
    assert read_beside(str(tmp_path / "c.png")) == []
    assert read_beside("nul\0byte.png") == []
