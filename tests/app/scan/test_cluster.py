"""Scanning on a cluster gives what scanning here gives."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import numpy as np
import pytest

from countermark.app.scan.cluster import ClusterSettings, result_from_json, scan_cluster
from countermark.app.scan.run import scan
from countermark.core.errors import MissingExtraError
from countermark.core.images import encode_image
from countermark.core.seeds import rng


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        noise = rng(number, "cluster").integers(0, 256, (64, 80, 3)).astype(np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encode_image(noise, "png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def test_a_result_survives_its_journey(folder) -> None:
    for result in scan(folder, detector="lite", marks=False):
        assert result_from_json(json.dumps(asdict(result))) == result


def test_without_ray_the_remedy_is_named(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        list(scan_cluster([folder]))
    assert "countermark[ray]" in str(caught.value)


def test_a_folder_without_images_gives_nothing(tmp_path) -> None:
    pytest.importorskip("ray")
    assert list(scan_cluster([tmp_path])) == []


def test_a_cluster_of_this_machine_agrees_with_a_scan(folder) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    settings = ClusterSettings(detector="lite", marks=False)
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        spread = list(scan_cluster([folder], settings=settings, workers=1, batch_size=2, ordered=True))
    finally:
        ray.shutdown()
    here = scan(folder, detector="lite", marks=False)
    names = sorted(file.name for file in folder.iterdir())
    assert [result.path for result in spread] == [str(folder / name) for name in names]
    for one, other in zip(spread, here, strict=True):
        assert (one.path, one.verdict, one.error) == (other.path, other.verdict, other.error)
        assert one.score == (None if other.score is None else pytest.approx(other.score, abs=0.02))
