import pytest

from countermark.detectors.scoring.thresholds import ThresholdTable


def test_the_share_of_a_kind_counts_its_sources_alike() -> None:
    sources = ["a"] * 90 + ["b"] * 10 + ["c"] * 10
    scores = [0.9] * 90 + [0.1] * 20
    table = ThresholdTable.fit(scores, sources, ["painting"] * 110)
    share = table.share_of_kind(0.5, "painting")
    assert share is not None and share.value == pytest.approx(1 / 3)
    assert share.low <= share.value <= share.high and (share.n, share.clusters) == (110, 3)
    assert table.share_of_kind(0.5, "photograph") is None
