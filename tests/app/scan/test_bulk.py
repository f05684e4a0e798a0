"""Scans into rows: every file exactly once, whatever was killed, and failures tried again in their place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from countermark.app.clips.scan import ClipSettings
from countermark.app.scan.bulk import BulkSettings, clip_bounds
from countermark.app.scan.cache import FILE, ResultCache, fingerprint
from countermark.app.scan.dataset import Dataset
from countermark.app.scan.intake import scan_into
from countermark.app.scan.items import Item
from countermark.app.scan.plan import Plan
from countermark.app.scan.rows import COLUMNS, SCHEMA, result_from_json, result_of, row_of
from countermark.app.scan.run import scan
from countermark.core.errors import ConfigError, OutputError
from countermark.core.images import encode_image
from countermark.core.results import Evidence, Failure, ScanResult, Strength, Verdict
from countermark.core.seeds import rng
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, Sampling

pytest.importorskip("pyarrow")
FAST = BulkSettings(detector="lite", marks=False)


def rows_in(folder: Path) -> list[dict[str, object]]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder).to_pylist()


def result(path: str, error: str = "") -> ScanResult:
    evidence = Evidence("detector", "neither", Strength.WEAK, "Nothing.", {"score": 0.1})
    failure = Failure(error, "It failed.") if error else None
    verdict = None if error else Verdict.NO_EVIDENCE
    return ScanResult(path, "0" * 64, verdict, None if error else 0.1, (evidence,), failure)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        noise = rng(number, "bulk").integers(0, 256, (48, 64, 3)).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(noise, "png"))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def plan(folder: Path) -> Plan:
    return Plan([str(folder)], sys.stdin.buffer)


def test_rows_are_the_results_of_a_scan_and_plain_tables_read_them(pictures: Path, tmp_path: Path) -> None:
    from countermark.app.scan.run import scan

    summary = scan_into(plan(pictures), tmp_path / "out", FAST)
    assert (summary.files, summary.errors) == (6, Counter({"image.unsupported": 1}))
    rows = rows_in(tmp_path / "out")
    here = {each.path: each for each in scan(pictures, detector="lite", marks=False)}
    assert {row["path"] for row in rows} == set(here) and len(rows) == 6
    for row in rows:
        assert result_of(row) == here[str(row["path"])]
        assert list(row) == list(COLUMNS) and row["schema"] == SCHEMA
    duckdb = pytest.importorskip("duckdb")
    where = f"'{tmp_path}/out/*.parquet'"
    assert duckdb.sql(f"select count(*) from {where} where error_code is null").fetchall() == [(5,)]
    pandas = pytest.importorskip("pandas")
    assert len(pandas.read_parquet(tmp_path / "out")) == 6


def test_sources_within_each_other_give_every_file_once(pictures: Path, tmp_path: Path) -> None:
    shard = pictures / "inner" / "shard.tar"
    shard.parent.mkdir()
    (pictures / "inner" / "6.png").write_bytes((pictures / "0.png").read_bytes())
    with tarfile.open(shard, "w") as archive:
        archive.add(pictures / "0.png", "0.png")
    link = tmp_path / "link"
    link.symlink_to(pictures)
    alone = [item.path for item in plan(pictures)]
    assert len(alone) == len(set(alone)) == 8
    names = [
        pictures / "inner",
        pictures,
        f"{link}/",
        pictures / "..",
        pictures / "0.png",
        pictures / "*.png",
        shard,
    ]
    found = [item.path for item in Plan([str(name) for name in names], sys.stdin.buffer)]
    assert sorted(found) == sorted(alone)


def test_a_scan_goes_on_and_does_nothing_twice(pictures: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out", []
    first = scan_into(plan(pictures), out, FAST, advance=seen.append, stopped=lambda: len(seen) >= 2)
    assert first.files == 2
    with pytest.raises(OutputError) as caught:
        scan_into(plan(pictures), out, FAST)
    assert caught.value.code == "output.exists"
    second = scan_into(plan(pictures), out, FAST, resume=True)
    assert (second.files, second.earlier) == (4, 2)
    assert scan_into(plan(pictures), out, FAST, resume=True).files == 0
    assert len(rows_in(out)) == len({row["path"] for row in rows_in(out)}) == 6


def test_other_settings_do_not_mix(pictures: Path, tmp_path: Path) -> None:
    scan_into(plan(pictures), tmp_path / "out", FAST)
    other = BulkSettings(detector="lite", marks=False, max_fpr=0.05)
    with pytest.raises(ConfigError, match="max_fpr") as caught:
        scan_into(plan(pictures), tmp_path / "out", other, resume=True)
    assert caught.value.code == "scan.resume"


def test_what_failed_is_tried_again_in_its_place(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan_into(plan(pictures), out, FAST)
    (pictures / "broken.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "1.png").unlink()  # scanned before: not looked at again
    again = scan_into(plan(pictures), out, FAST, retry=True)
    assert (again.files, again.errors) == (1, Counter())
    rows = {str(row["path"]): row for row in rows_in(out)}
    assert len(rows) == 6 and all(row["error_code"] is None for row in rows.values())
    assert rows[str(pictures / "broken.png")]["verdict"] is not None


def test_two_scans_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with Dataset(tmp_path, {}), pytest.raises(OutputError) as caught:
        Dataset(tmp_path, {}, resume=True)
    assert caught.value.code == "output.busy"
    Dataset(tmp_path, {}).__exit__(None, None, None)


def test_what_was_half_written_is_no_part(tmp_path: Path) -> None:
    with Dataset(tmp_path, {}, rows=2) as rows:
        for name in "abc":
            rows.add(Item(name), result(name))
    assert [part.name for part in rows.parts()] == ["part-000001.parquet", "part-000002.parquet"]
    (tmp_path / "part-000002.parquet").write_bytes(b"cut off")
    with pytest.raises(ConfigError) as caught:
        Dataset(tmp_path, {}, resume=True)
    assert caught.value.code == "scan.resume"
    (tmp_path / "part-000002.parquet").unlink()
    with Dataset(tmp_path, {}, resume=True) as rows:
        assert Item("a") in rows and Item("b") in rows and Item("c") not in rows
        rows.add(Item("c"), result("c"))
    assert sorted(str(row["path"]) for row in rows_in(tmp_path)) == ["a", "b", "c"]


def test_names_that_are_no_text_and_places_in_shards_come_back(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9.jpg")
    items = [Item(strange), Item("s.tar/x.jpg", "s.tar", "tar", 512, 9)]
    with Dataset(tmp_path, {}) as rows:
        for item in items:
            rows.add(item, result(item.path, error="image.unreadable"))
    with Dataset(tmp_path, {}, resume=True) as rows:
        ((part, found),) = rows.failed()
        assert found == items and all(item in rows for item in items)
        rows.replace(part, {item.path: result(item.path) for item in items})
    assert all(row["error_code"] is None for row in rows_in(tmp_path))


def test_a_row_holds_all_of_a_result() -> None:
    for each in (result("a"), result("b", error="image.empty")):
        assert result_of(row_of(each)) == each
    with pytest.raises(ValueError):
        result_from_json("{}")


def test_the_cache_gives_what_was_found_under_another_name(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, fingerprint({"detector": "a"}))
    cache.put(result("a.jpg"))
    found = cache.get("0" * 64, "b.jpg")
    assert found is not None and found.path == "b.jpg" and found.score == 0.1 and cache.hits == 1
    assert ResultCache(tmp_path, fingerprint({"detector": "b"})).get("0" * 64, "b.jpg") is None
    (tmp_path / "c.c2pa").write_bytes(b"a credential")
    assert cache.get("0" * 64, str(tmp_path / "c.jpg")) is None


@pytest.mark.parametrize("kind", ["credential", "recovery", "error", "stopped"])
def test_what_does_not_follow_from_bytes_is_not_kept(kind: str, tmp_path: Path) -> None:
    detail = {"stopped_after": 2.0} if kind == "stopped" else {}
    evidence = Evidence(
        kind if kind in ("credential", "recovery") else "mark", "neither", Strength.WEAK, ".", detail
    )
    error = Failure("image.empty", ".") if kind == "error" else None
    cache = ResultCache(tmp_path, fingerprint({}))
    cache.put(ScanResult("a", "1" * 64, None, None, (evidence,), error))
    assert cache.get("1" * 64, "a") is None


def test_a_cache_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    with pytest.raises(ConfigError) as caught:
        ResultCache(tmp_path, fingerprint({}))
    assert caught.value.code == "scan.cache"


def test_a_second_scan_with_a_cache_decodes_nothing(pictures: Path, tmp_path: Path) -> None:
    settings = BulkSettings(detector="lite", marks=False, cache=str(tmp_path / "cache"))
    scan_into(plan(pictures), tmp_path / "one", settings)
    from countermark.app.scan.isolated import Readers

    asked = []
    original = Readers.gather
    try:
        Readers.gather = lambda self, path, *rest: asked.append(path) or original(self, path, *rest)  # type: ignore[method-assign]
        scan_into(plan(pictures), tmp_path / "two", settings)
    finally:
        Readers.gather = original  # type: ignore[method-assign]
    assert [Path(path).name for path in asked] == ["broken.png"]
    strip = ("path", "record")
    one, two = (
        [{k: v for k, v in r.items() if k not in strip} for r in rows_in(tmp_path / n)]
        for n in ("one", "two")
    )
    assert one == two


def test_clips_are_cached_and_bounded_like_pictures(
    make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.app.clips import door

    asked = []
    original = door.scan_clip

    def noted(path: str, model: object, bounds: object, settings: ClipSettings, **rest: object) -> object:
        asked.append((settings.sampling.count, settings.limits.cpu_seconds, settings.limits.memory_bytes))
        return original(path, model, bounds, settings, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(door, "scan_clip", noted)
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", count=4)
    bounds = clip_bounds(file_seconds=7.5, file_memory=3 << 30)
    settings = replace(
        FAST, sampling=Sampling(2), clip_limits=bounds, mark_seconds=0, cache=str(tmp_path / "cache")
    )
    for name in ("one", "two"):
        summary = scan_into(plan(folder), tmp_path / name, settings)
        assert not summary.errors and summary.files == 1
    assert asked == [(2, 8, (3 << 30) + (256 << 20))]
    (one,), (two,) = rows_in(tmp_path / "one"), rows_in(tmp_path / "two")
    assert one == two
    with pytest.raises(ConfigError):  # other frames are other results
        scan_into(plan(folder), tmp_path / "one", replace(settings, sampling=Sampling(3)), resume=True)
    scan_into(plan(folder), tmp_path / "three", replace(settings, sampling=Sampling(3)))
    assert len(asked) == 2


def test_bounds_of_clips_are_their_own_unless_given() -> None:
    assert clip_bounds(file_seconds=None, file_memory=None) == DEFAULT_CLIP_LIMITS == FAST.clip_limits
    assert clip_bounds(file_seconds=2, file_memory=None) == replace(DEFAULT_CLIP_LIMITS, cpu_seconds=2)


def test_a_clip_that_changes_while_it_is_scanned_has_no_verdict(
    make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.app.clips import door

    path, other = make_clip(tmp_path / "a.mp4", count=3), make_clip(tmp_path / "b.mkv", count=3)
    original = door.scan_clip

    def swapped(*arguments: object, **rest: object) -> object:
        found = original(*arguments, **rest)  # type: ignore[arg-type]
        path.write_bytes(other.read_bytes())
        return found

    monkeypatch.setattr(door, "scan_clip", swapped)
    (found,) = scan(path, detector="lite", marks=False, clips=ClipSettings(Sampling(2), faces=False))
    assert found.verdict is None and found.error is not None and found.error.code == "clip.changed"


SCRIPT = """
import sys, time
from pathlib import Path
from countermark.app.scan import bulk, dataset, intake
from countermark.app.scan.items import Item
from countermark.core.results import ScanResult, Verdict

def results(items, settings, *, workers=2, model=None):
    for item in items:
        time.sleep(0.002)
        yield item, ScanResult(item.path, "0" * 64, Verdict.NO_EVIDENCE, 0.1)

intake.scan_here = results
dataset.ROWS = 7
dataset.Dataset.__init__.__kwdefaults__["rows"] = 7
bulk.BulkSettings.deciding = lambda self, model=None: {}
items = [Item(f"{n:04d}.jpg") for n in range(400)]
print("ready", flush=True)
intake.scan_into(items, sys.argv[1], bulk.BulkSettings(), resume=True)
"""


def test_kill_9_twice_and_every_file_is_there_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for kills in (5, 20):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        while len(list(out.glob("part-*.parquet"))) < kills and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    before = len(rows_in(out))
    assert 0 < before < 400
    subprocess.run([sys.executable, "-c", SCRIPT, str(out)], check=True, stdout=subprocess.DEVNULL)
    names = Counter(str(row["path"]) for row in rows_in(out))
    assert set(names) == {f"{n:04d}.jpg" for n in range(400)} and set(names.values()) == {1}
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert json.loads((out / "_countermark.json").read_text())["schema"] == SCHEMA
