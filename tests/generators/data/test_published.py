"""Published sets: raw formats with pinned digests, never a pickle, never a connection unasked."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import socket
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from countermark.app.train import train
from countermark.core.errors import CorpusError, UnknownNameError
from countermark.generators.data import published
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.data.published import SETS, read_published

DRAW = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own; whoever opens a socket or unpickles fails the test."""

    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened, or a pickle was read")

    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "socket", refused)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    return tmp_path / "torchvision"


@pytest.fixture
def publish(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes files the published ones of a set: laid into ``folder``, or offered there for download."""

    def _publish(name: str, *contents: bytes, folder: Path | None = None) -> None:
        known = []
        for file, data in zip(SETS[name].files, contents, strict=True):
            place = folder or home / name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(data)
            known.append(replace(file, folder=f"{place.as_uri()}/", md5=hashlib.md5(data).hexdigest()))
        monkeypatch.setitem(SETS, name, replace(SETS[name], files=tuple(known)))

    return _publish


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cifar10(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The binary version of uint8 [5 n, 32, 32, 3] pictures."""
    rows = [bytes([label]) + p.transpose(2, 0, 1).tobytes() for p, label in zip(pixels, labels, strict=True)]
    each, root = len(rows) // 5, "cifar-10-batches-bin"
    members = {f"{root}/data_batch_{n + 1}.bin": b"".join(rows[n * each : (n + 1) * each]) for n in range(5)}
    names = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
    return archive(**{f"{root}/batches.meta.txt": names, **members})


def idx(values: np.ndarray, kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return gzip.compress(head + values.tobytes())


def test_nothing_is_fetched_unasked_and_the_pickled_version_is_not_read(home: Path, tmp_path: Path) -> None:
    batches = home / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    (batches / "data_batch_1").write_bytes(b"\x80\x04N.")
    for name in SETS:
        with pytest.raises(CorpusError, match="nothing is downloaded unless you ask") as missing:
            load_pictures(f"torchvision:{name}", size=32)
        assert missing.value.code == "corpus.missing" and "--download" in missing.value.hint
    with pytest.raises(CorpusError) as unasked:
        train("generator", "torchvision:CIFAR10", out=tmp_path / "run")
    assert unasked.value.code == "corpus.missing" and not (tmp_path / "run").exists()


def test_unknown_sets_name_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="CIFAR10"):
        load_pictures("torchvision:CIFAR11", size=32)


def test_cifar10_is_read_from_its_binary_version(publish: Callable[..., None]) -> None:
    pixels = DRAW.integers(0, 256, (10, 32, 32, 3), np.uint8)
    publish("CIFAR10", cifar10(pixels, [3, 9, 0, 0, 1, 2, 3, 4, 5, 6]))
    found = list(read_published("CIFAR10"))
    assert [name for name, _, _ in found][:2] == ["CIFAR10-0000000", "CIFAR10-0000001"]
    assert [label for _, label, _ in found][:3] == ["cat", "truck", "airplane"]
    assert np.array_equal(np.stack([image for _, _, image in found]), pixels)
    options = DataConfig(classes=True, holdout=0, max_images=4)
    pictures = load_pictures("torchvision:CIFAR10", size=32, options=options)
    assert np.array_equal(pictures.images, pixels[:4]) and pictures.classes == ("airplane", "cat", "truck")
    assert pictures.name == "torchvision:CIFAR10"


def test_cifar100_goes_by_its_fine_labels(publish: Callable[..., None]) -> None:
    pixels = DRAW.integers(0, 256, (2, 32, 32, 3), np.uint8)
    rows = b"".join(bytes([9, label]) + p.transpose(2, 0, 1).tobytes() for label, p in enumerate(pixels))
    names = {"cifar-100-binary/fine_label_names.txt": b"apple\naquarium_fish\n"}
    publish("CIFAR100", archive(**names, **{"cifar-100-binary/train.bin": rows}))
    found = list(read_published("CIFAR100"))
    assert [label for _, label, _ in found] == ["apple", "aquarium_fish"]
    assert np.array_equal(found[1][2], pixels[1])


@pytest.mark.parametrize(("name", "second"), [("MNIST", "1"), ("FashionMNIST", "Trouser"), ("KMNIST", "ki")])
def test_idx_files_are_read(publish: Callable[..., None], name: str, second: str) -> None:
    images = DRAW.integers(0, 256, (3, 28, 28), np.uint8)
    publish(name, idx(images), idx(np.array([1, 1, 0], np.uint8)))
    found = list(read_published(name))
    assert [label for _, label, _ in found][:2] == [second, second]
    assert all(
        np.array_equal(f[2], np.repeat(i[..., None], 3, 2)) for f, i in zip(found, images, strict=True)
    )


def test_files_with_another_digest_are_refused(publish: Callable[..., None], home: Path) -> None:
    publish("CIFAR10", cifar10(np.zeros((5, 32, 32, 3), np.uint8), [0] * 5))
    with (home / "CIFAR10" / "cifar-10-binary.tar.gz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CorpusError, match="MD5") as other:
        list(read_published("CIFAR10"))
    assert other.value.code == "corpus.invalid"


def test_what_is_asked_for_is_fetched_once_and_checked(
    publish: Callable[..., None], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = idx(np.zeros((2, 28, 28), np.uint8)), idx(np.array([4, 5], np.uint8))
    publish("MNIST", *files, folder=tmp_path / "published")
    assert len(list(read_published("MNIST", download=True))) == 2
    assert len(list(read_published("MNIST"))) == 2  # from the user's folder
    assert sorted(p.name for p in (home / "MNIST").iterdir()) == [f.name for f in SETS["MNIST"].files]
    publish("KMNIST", *files, folder=tmp_path / "published")
    (tmp_path / "published" / SETS["KMNIST"].files[0].name).write_bytes(b"another file")
    with pytest.raises(CorpusError) as wrong:
        list(read_published("KMNIST", download=True))
    assert wrong.value.code == "corpus.invalid" and not (home / "KMNIST").exists()
    monkeypatch.setattr(
        published, "urlopen", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no route"))
    )
    with pytest.raises(CorpusError, match="no route") as missing:
        list(read_published("KMNIST", download=True))
    assert missing.value.code == "corpus.missing"


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("CIFAR10", [b"no archive"]),
        ("CIFAR10", [archive(other=b"")]),
        ("CIFAR10", [cifar10(np.zeros((5, 32, 32, 3), np.uint8), [0, 0, 10, 0, 0])]),
        ("CIFAR10", [cifar10(np.zeros((5, 32, 31, 3), np.uint8), [0] * 5)]),
        ("MNIST", [b"no gzip", idx(np.zeros(2, np.uint8))]),
        ("MNIST", [idx(np.zeros((2, 28, 28), np.uint8))[:-9], idx(np.zeros(2, np.uint8))]),
        ("MNIST", [idx(np.zeros((2, 28, 28), np.uint8)), idx(np.zeros(3, np.uint8))]),
        ("MNIST", [idx(np.zeros((2, 28, 28), np.uint8), kind=13), idx(np.zeros(2, np.uint8))]),
        ("MNIST", [gzip.compress(b"\0\0\x08\x03\xff\xff\xff\xff"), idx(np.zeros(2, np.uint8))]),
        ("MNIST", [idx(np.zeros((2, 28, 28), np.uint8)), idx(np.array([0, 10], np.uint8))]),
    ],
)
def test_damaged_files_are_named_errors(
    publish: Callable[..., None], name: str, contents: list[bytes]
) -> None:
    publish(name, *contents)
    with pytest.raises(CorpusError) as damaged:
        list(read_published(name))
    assert damaged.value.code == "corpus.invalid"
