import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.errors import ConfigError
from countermark.detectors.scoring.thresholds import STEP, ThresholdTable


def test_the_share_of_a_kind_counts_its_sources_alike() -> None:
    sources = ["a"] * 90 + ["b"] * 10 + ["c"] * 10
    scores = [0.9] * 90 + [0.1] * 20
    table = ThresholdTable.fit(scores, sources, ["painting"] * 110)
    share = table.share_of_kind(0.5, "painting")
    assert share is not None and share.value == pytest.approx(1 / 3)
    assert share.low <= share.value <= share.high and (share.n, share.clusters) == (110, 3)
    assert table.share_of_kind(0.5, "photograph") is None


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from("abc"), st.sampled_from(["", "scan"])),
        min_size=1,
        max_size=40,
    )
)
def test_a_table_is_read_as_it_was_written_and_in_its_older_form(rows: list[tuple[float, str, str]]) -> None:
    scores, sources, kinds = zip(*rows, strict=True)
    table = ThresholdTable.fit(scores, sources, kinds)
    arrays = table.to_arrays()
    assert ThresholdTable.from_arrays(arrays) == table
    older = arrays | {"thresholds.scores": np.round(np.asarray(table.scores) / STEP).astype(np.int32)}
    assert ThresholdTable.from_arrays(older) == table
    far = max(np.diff(older["thresholds.scores"], prepend=0)) >= 2**16
    assert arrays["thresholds.scores"].dtype == (np.int32 if far else np.uint16)


def test_names_are_deflated_read_as_they_were_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [f"a source with a long name, number {n}, native" for n in range(300)]
    table = ThresholdTable.fit([n / 300 for n in range(300)], sources, ["photograph"] * 300)
    arrays = table.to_arrays()
    plain = json.dumps([[source, "photograph"] for source in sorted(sources)]).encode()
    assert arrays["thresholds.names"].nbytes < len(plain) / 4
    older = arrays | {"thresholds.names": np.frombuffer(plain, np.uint8)}
    for each in (arrays, older):
        again = ThresholdTable.from_arrays(each)
        assert sorted(again.sources) == sorted(sources) and again.thresholds(0.05) == table.thresholds(0.05)
    cut = arrays | {"thresholds.names": arrays["thresholds.names"][:-9]}
    noise = arrays | {"thresholds.names": np.arange(50, dtype=np.uint8)}
    for wrong in (cut, noise):
        with pytest.raises(ConfigError):
            ThresholdTable.from_arrays(wrong)
    monkeypatch.setattr("countermark.detectors.scoring.thresholds.MAX_NAMES", 1000)
    with pytest.raises(ConfigError, match="too long"):
        ThresholdTable.from_arrays(arrays)
