"""Scanning on a cluster gives what scanning here gives, also when a worker dies."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from countermark.app.scan.cluster import ClusterSettings, Scanner, scan_cluster
from countermark.app.scan.intake import scan_into
from countermark.app.scan.items import Item
from countermark.app.scan.plan import Plan
from countermark.app.scan.rows import result_from_json
from countermark.app.scan.run import scan
from countermark.core.errors import ConfigError, MissingExtraError
from countermark.core.images import encode_image
from countermark.core.seeds import rng

FAST = ClusterSettings(detector="lite", marks=False)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        noise = rng(number, "cluster").integers(0, 256, (64, 80, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(noise, "png"))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_a_result_survives_its_journey(folder) -> None:
    for result in scan(folder, detector="lite", marks=False):
        assert result_from_json(json.dumps(asdict(result))) == result


def test_a_worker_gives_what_a_scan_gives_and_never_raises(folder) -> None:
    items = [Item(str(path)) for path in sorted(folder.iterdir())] + [Item(str(folder / "gone.png"))]
    texts = [json.dumps({k: v for k, v in asdict(item).items() if k != "data"}) for item in items]
    found = Scanner(FAST)({"item": np.array(texts, dtype=object)})
    results = [result_from_json(text) for text in found["result"]]
    here = scan([item.path for item in items], detector="lite", marks=False)
    assert results == here and list(found["item"]) == texts
    assert [each.error.code for each in results if each.error] == ["image.unsupported", "image.missing"]


def test_a_worker_keeps_its_reading_process_from_batch_to_batch(folder) -> None:
    scanner = Scanner(FAST)
    text = json.dumps({"path": str(folder / "0.png")})
    for _ in range(3):
        scanner({"item": np.array([text], dtype=object)})
    with scanner.readers as readers:
        process = readers._idle.get()
        readers._idle.put(process)
        assert process is not None and process.files == 3


def test_without_ray_the_remedy_is_named(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        list(scan_cluster([folder]))
    assert "countermark[ray]" in str(caught.value)


def test_a_folder_without_images_gives_nothing(tmp_path) -> None:
    pytest.importorskip("ray")
    assert list(scan_cluster([tmp_path])) == []


def test_a_cluster_that_is_not_there_is_refused(folder, tmp_path, monkeypatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")

    def unreachable(**options: object) -> None:
        raise Exception(f"timed out waiting for {options['address']}")

    monkeypatch.setattr(ray, "init", unreachable)
    with pytest.raises(ConfigError, match="cannot be reached") as caught:
        plan = Plan([str(folder)], io.BytesIO())
        scan_into(plan, tmp_path / "out", FAST, cluster="127.0.0.1:1")
    assert caught.value.code == "scan.cluster"


#: In a process of its own: a cluster must not outlive the test, and one worker kills itself once.
SCRIPT = """
import io, os, signal, sys
from pathlib import Path

from countermark.app.scan import cluster
from countermark.app.scan.intake import scan_into
from countermark.app.scan.cluster import ClusterSettings
from countermark.app.scan.plan import Plan

out, folder, mark = sys.argv[1], sys.argv[2], sys.argv[3]
original = cluster.Scanner.__call__

def dies_once(self, batch):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return original(self, batch)
    os.kill(os.getpid(), signal.SIGKILL)

cluster.Scanner.__call__ = dies_once
cluster.BATCH = 2
started = cluster._started

def by_value(*given):  # else the workers read the module that does not die; Ray is not imported before
    ray = started(*given)
    ray.cloudpickle.register_pickle_by_value(cluster)
    return ray

cluster._started = by_value
settings = ClusterSettings(detector="lite", marks=False)
summary = scan_into(Plan([folder], io.BytesIO()), out, settings, workers=1, cluster="local")
print(summary.files, dict(summary.errors))
listening = set()
for table in ("/proc/net/tcp", "/proc/net/tcp6"):
    for line in Path(table).read_text().splitlines()[1:]:
        place, state, inode = (line.split()[n] for n in (1, 3, 9))
        if state == "0A":
            listening.add((place.split(":")[0], inode))
parents = {}
for process in Path("/proc").glob("[0-9]*"):
    try:
        stat = (process / "stat").read_text().rsplit(")", 1)[1].split()
        parents[int(process.name)] = int(stat[1])
    except OSError:
        continue
ours, sockets = {os.getpid()}, set()
for _ in range(8):  # generations
    ours |= {process for process, parent in parents.items() if parent in ours}
for process in ours:
    try:
        names = [os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        continue
    sockets |= {name[8:-1] for name in names if name.startswith("socket")}
print(sorted({place for place, inode in listening if inode in sockets}))

import ray

ray.shutdown()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cluster_of_this_machine_agrees_with_a_scan_though_a_worker_dies(folder, tmp_path) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "out"), str(folder), str(tmp_path / "died")]
    run = subprocess.run(command, capture_output=True, text=True)
    if "timed out during startup" in run.stderr:  # Ray gives its processes half a minute
        pytest.skip("this machine is too busy for Ray to start")
    assert run.returncode == 0, run.stderr[-3000:]
    counted, places = run.stdout.strip().splitlines()[-2:]
    assert counted == "6 {'image.unsupported': 1}"
    assert (tmp_path / "died").exists()
    loopback = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}  # 127.0.0.1, ::1, and both
    assert set(ast.literal_eval(places)) <= loopback, places
    rows = {row["path"]: row for row in parquet.read_table(tmp_path / "out").to_pylist()}
    here = {each.path: each for each in scan(folder, detector="lite", marks=False)}
    assert len(rows) == 6 and set(rows) == set(here)
    for path, row in rows.items():
        other = here[path]
        assert row["verdict"] == (None if other.verdict is None else other.verdict.value)
        assert row["error_code"] == (None if other.error is None else other.error.code)
        assert row["score"] == (None if other.score is None else pytest.approx(other.score, abs=1e-6))
