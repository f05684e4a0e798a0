"""Pictures in a report: of hundreds, the worst keep theirs, whatever the order in which they came."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.app.scan.thumbnails import Collector
from countermark.core.results import ScanResult, Verdict
from countermark.core.seeds import rng

PIXELS = np.full((80, 80, 3), 100, np.uint8)


class Paper:
    def heatmap(self, image: np.ndarray) -> np.ndarray:
        return np.zeros(image.shape[:2], np.float32)


def results(count: int) -> list[ScanResult]:
    made = []
    for number in range(count):
        score = number / count
        verdict = Verdict.LIKELY_SYNTHETIC if score > 0.9 else Verdict.UNSURE
        if score <= 0.5:
            verdict = Verdict.NO_EVIDENCE
        made.append(ScanResult(f"{number:04}.png", "00" * 32, verdict, score))
    return made


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_the_worst_keep_their_pictures(order: str) -> None:
    all_of_them = results(300)
    given = list(all_of_them)
    if order == "falling":
        given.reverse()
    elif order == "mixed":
        rng(1, "order").shuffle(given)
    collector = Collector(Paper(), max_thumbnails=40, max_heatmaps=10, max_full=5)  # type: ignore[arg-type]
    for result in given:
        collector(result, PIXELS)
    worst = [r.path for r in reversed(all_of_them)]
    assert sorted(collector.images) == sorted(worst[:40])
    assert sorted(p for p, image in collector.images.items() if image.heatmap) == sorted(worst[:10])


def test_larger_views_are_of_the_worst() -> None:
    large = np.full((500, 700, 3), 100, np.uint8)
    collector = Collector(Paper(), max_thumbnails=6, max_heatmaps=0, max_full=2)  # type: ignore[arg-type]
    for result in results(20):
        collector(result, large)
    assert [p for p, image in sorted(collector.images.items()) if image.full] == ["0018.png", "0019.png"]
    collector(results(20)[3], None)  # a file that could not be read has no picture
    assert len(collector.images) == 6
