"""Shards, tables and URLs: every picture in them is an item that any worker can read by itself."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from countermark.app.scan.items import Item
from countermark.app.scan.plan import Plan
from countermark.app.scan.shards import members, read_item
from countermark.core.errors import ConfigError, ImageError
from countermark.core.images import Limits

PICTURES = {"a/0.jpg": b"first", "a/1.png": b"second", "a/1.txt": b"words", "2.webp": b"third " * 99}
WANTED = {name: data for name, data in PICTURES.items() if not name.endswith(".txt")}


def tar(path: Path, pictures: dict[str, bytes] = PICTURES, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as shard:
        for name, data in pictures.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            shard.addfile(about, io.BytesIO(data))
    return path


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as shard:
        for name, data in PICTURES.items():
            shard.writestr(name, data)
    return path


@pytest.mark.parametrize("make", [tar, zipped])
def test_members_are_listed_and_read(make, tmp_path: Path) -> None:
    shard = make(tmp_path / ("s.tar" if make is tar else "s.zip"))
    found = list(members(str(shard)))
    assert [item.path for item in found] == [f"{shard}/{name}" for name in WANTED]
    for item in reversed(found):
        assert read_item(item) == WANTED[item.path[len(str(shard)) + 1 :]]
    with pytest.raises(ImageError) as caught:
        read_item(found[2], Limits(max_bytes=100))
    assert caught.value.code == "image.too-large"


@pytest.mark.parametrize("form", ["bytes", "dataset"])
def test_tables_with_pictures_in_a_column(form: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    values = list(WANTED.values())
    column = values if form == "bytes" else [{"bytes": data, "path": "x"} for data in values]
    path = tmp_path / "t.parquet"
    table = arrow.table({"label": ["x"] * 3, "image": column})
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    found = list(members(str(path)))
    assert [item.path for item in found] == [f"{path}/{row}" for row in range(3)]
    assert [read_item(item) for item in found] == values
    pyarrow.parquet.write_table(arrow.table({"n": [1]}), path2 := tmp_path / "none.parquet")
    with pytest.raises(ConfigError) as caught:
        list(members(str(path2)))
    assert caught.value.code == "scan.shard"


def test_urls_that_are_named(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    for name, data in WANTED.items():
        (tmp_path / Path(name).name).write_bytes(data)
    found = list(members(f"file://{tmp_path}"))
    assert sorted(read_item(item) for item in found) == sorted(WANTED.values())
    (one,) = members(f"file://{tmp_path}/0.jpg")
    assert read_item(one) == b"first"
    (gone,) = members(f"file://{tmp_path}/gone.jpg")
    with pytest.raises(ImageError) as caught:
        read_item(gone)
    assert caught.value.code == "image.missing"


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    tar(packed := tmp_path / "s.tar.gz", mode="w:gz")
    for name in ("broken.tar", "broken.zip", "broken.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 100)
        with pytest.raises(ConfigError) as caught:
            list(members(str(tmp_path / name)))
        assert caught.value.code == "scan.shard"
    with pytest.raises(ConfigError, match="compressed"):
        list(members(str(packed)))


def test_a_name_that_is_there_twice_has_two_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as shard:
        shard.writestr("a.jpg", b"one")
        with pytest.warns(UserWarning):
            shard.writestr("a.jpg", b"two")
    found = list(members(str(tmp_path / "s.zip")))
    assert len({item.path for item in found}) == 2
    assert [read_item(item) for item in found] == [b"one", b"two"]


def test_a_shard_that_was_cut_off_or_is_gone(tmp_path: Path) -> None:
    shard = tar(tmp_path / "s.tar")
    last = list(members(str(shard)))[-1]
    shard.write_bytes(shard.read_bytes()[: last.at + 10])
    with pytest.raises(ImageError) as caught:
        read_item(last)
    assert caught.value.code == "image.truncated"
    shard.unlink()
    with pytest.raises(ImageError) as caught:
        read_item(last)
    assert caught.value.code == "image.missing"


def test_a_plan_of_folders_lists_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.jpg").write_bytes(b"a")
    (tmp_path / "f" / "notes.txt").write_bytes(b"n")
    shard = tar(tmp_path / "f" / "s.tar")
    (tmp_path / "b.png").write_bytes(b"b")
    monkeypatch.chdir(tmp_path)
    plan = Plan(["f", "-", "*.png"], io.BytesIO(b"b.png\nmissing.jpg\n"))
    paths = [item.path for item in plan]
    assert paths[:2] == [str(tmp_path / "f" / "a.jpg"), f"{shard}/a/0.jpg"]
    assert str(tmp_path / "missing.jpg") in paths
    assert plan.left_out == {"files that are no pictures": 1}
    again = [item.path for item in Plan([str(tmp_path / "f" / ".." / "f")], io.BytesIO())]
    assert again == paths[:4]  # however it was typed


def test_an_item_survives_its_journey() -> None:
    from dataclasses import asdict

    item = Item("s.tar/a.jpg", "s.tar", "tar", 512, 7)
    assert Item(**asdict(item)) == item
