"""The search for exchanged parts in a scan: what it says, what it writes, when it looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from countermark.app.scan.parts import (
    AUTO_FILES,
    KEPT,
    PartSearch,
    part_search,
    region_evidence,
    safe_name,
)
from countermark.app.scan.run import scan, scan_stream
from countermark.app.scan.thumbnails import PART, Collector
from countermark.core.errors import ConfigError, WeightsError
from countermark.core.images import LoadedImage, encode_image
from countermark.core.results import Strength
from countermark.core.weights import WeightsCard
from countermark.detectors.regions.finder import Found
from countermark.detectors.regions.masks import Part
from countermark.detectors.scoring.thresholds import Thresholds


def picture(high: int = 160, wide: int = 200, sha256: str = "ab" * 32, **more: object) -> LoadedImage:
    return LoadedImage(np.zeros((high, wide, 3), np.uint8), "png", sha256, b"", **more)  # type: ignore[arg-type]


def found(likely: bool = True) -> Found:
    mask = np.zeros((80, 100), bool)
    if likely:
        mask[10:30, 20:70] = True
    parts = (Part((40, 20, 100, 40), 0.125, 0.9),) if likely else ()
    chances = np.full((20, 25), 0.4, np.float32)
    return Found(0.9 if likely else 0.2, 0.8, likely, chances, mask.astype(np.float32), mask, parts)


def test_a_part_is_named_with_its_place() -> None:
    evidence = region_evidence(found())
    assert (evidence.kind, evidence.points_to) == ("region", "synthetic")
    assert "A part of this picture is likely synthetic" in evidence.sentence
    assert "100 x 40 pixels at 40, 20" in evidence.sentence
    assert evidence.detail["parts"] == [{"box": [40, 20, 100, 40], "area": 0.125, "strength": 0.9}]
    assert evidence.detail["area"] == pytest.approx(0.125)


def test_weak_evidence_says_that_it_does_not_decide() -> None:
    evidence = region_evidence(found())
    assert (evidence.strength is Strength.WEAK) == ("does not decide" in evidence.sentence)


def test_nothing_found_says_what_is_missed_and_never_real() -> None:
    evidence = region_evidence(found(likely=False))
    assert evidence.points_to == "neither" and evidence.detail["parts"] == []
    assert "missed" in evidence.sentence and "real" not in evidence.sentence.lower()


def test_auto_looks_at_few_files_and_at_no_reduced_picture() -> None:
    assert part_search("auto", None, AUTO_FILES + 1) is None
    assert part_search("off", None, 1) is None
    search = PartSearch("auto", find=lambda pixels: found())
    assert search.evidence("a.png", picture()) is not None
    assert search.evidence("a.png", picture(size=(4000, 3000))) is None
    assert PartSearch("on", find=lambda pixels: found()).evidence("a", picture(size=(4000, 3000))) is not None


def test_auto_lists_findings_only() -> None:
    assert PartSearch("auto", find=lambda pixels: found(likely=False)).evidence("a.png", picture()) is None
    assert PartSearch("on", find=lambda pixels: found(likely=False)).evidence("a.png", picture()) is not None


def test_masks_ask_for_the_search(tmp_path: Path) -> None:
    search = part_search("auto", tmp_path, 10_000)
    assert search is not None and search.mode == "on"
    with pytest.raises(ConfigError, match="switched off"):
        part_search("off", tmp_path, 1)
    with pytest.raises(ConfigError, match="parts is 'yes'"):
        part_search("yes", None, 1)


@pytest.mark.parametrize("likely", [True, False])
def test_a_mask_is_written_for_every_picture_empty_where_nothing_is(tmp_path: Path, likely: bool) -> None:
    search = PartSearch("on", tmp_path / "masks", find=lambda pixels: found(likely))
    search.evidence("folder/some picture.jpg", picture())
    written = search.written["folder/some picture.jpg"]
    assert written.name == f"some_picture.jpg-{'ab' * 6}.png"
    mask = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (160, 200) and set(np.unique(mask)) <= {0, 255}
    assert bool(mask.any()) is likely
    if likely:
        assert mask[30, 60] == 255 and mask[100, 100] == 0


def test_a_mask_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / f"a.png-{'ab' * 6}.png").write_bytes(b"mine")
    search = PartSearch("on", tmp_path, find=lambda pixels: found())
    assert search.evidence("a.png", picture()) is not None
    assert (tmp_path / f"a.png-{'ab' * 6}.png").read_bytes() == b"mine"


def test_names_from_strangers_stay_in_the_folder() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("a\\..\\b\n<script>.jpg") == "b_script_.jpg"
    assert safe_name("shard.tar/....") == "picture"
    assert len(safe_name("x" * 500)) <= 80


def test_a_search_that_fails_is_stated_and_stops_nothing() -> None:
    def fails(pixels: object) -> Found:
        raise WeightsError("Damaged.", code="weights.invalid")

    evidence = PartSearch("on", find=fails).evidence("a.png", picture())
    assert evidence is not None
    assert evidence.points_to == "neither" and evidence.detail == {"failed": "weights.invalid"}


def test_masks_are_kept_for_the_latest_pictures_and_taken_once() -> None:
    search = PartSearch("on", find=lambda pixels: found())
    for number in range(KEPT + 5):
        search.evidence(f"{number}.png", picture())
    assert len(search.masks) == KEPT and search.take("0.png") is None
    assert search.take(f"{KEPT}.png") is not None and search.take(f"{KEPT}.png") is None


class Grey:
    """A detector whose score is the picture's mean grey."""

    name = "grey"
    card = WeightsCard(name="grey", kind="detector", family="test")

    def score(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([image.mean() / 255 for image in images])

    def thresholds(self, max_fpr: float = 0.01) -> Thresholds:
        return Thresholds(0.8, 0.5, max_fpr)


def test_a_scan_lists_the_part_and_keeps_score_and_verdict(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_image(np.full((160, 200, 3), 20, np.uint8), "png"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    search = PartSearch("on", tmp_path / "masks", find=lambda pixels: found())
    seen: dict[str, np.ndarray | None] = {}

    def part_of(path: str) -> np.ndarray | None:
        return seen.setdefault(path, search.take(path))

    collector = Collector(Grey(), max_heatmaps=0, part_of=part_of)  # type: ignore[arg-type]
    plain = scan(tmp_path, detector=Grey())  # type: ignore[arg-type]
    results = list(scan_stream([tmp_path], detector=Grey(), parts=search, watch=collector))  # type: ignore[arg-type]
    assert [(r.verdict, r.score) for r in results] == [(r.verdict, r.score) for r in plain]
    row, broken = results
    assert [e.kind for e in row.evidence].count("region") == 1 and not broken.evidence
    assert row.evidence[0].kind == "detector", "what decided stands first"
    assert seen[row.path] is not None and list(search.written) == [row.path]
    assert collector.images[row.path].caption == PART and collector.images[row.path].heatmap
