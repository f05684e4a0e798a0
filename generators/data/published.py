"""Published sets of small pictures as a data source: ``torchvision:CIFAR10`` and its sisters.

They go by torchvision's names, but not through torchvision, which reads CIFAR by unpickling: here the
sets' own raw formats are read (CIFAR's binary version, MNIST's IDX files), which can hold nothing but
numbers, and only files with the publishers' digests. Nothing is fetched unless that is asked for.
Training pictures only.

>>> list(SETS)
['CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST', 'KMNIST']
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from urllib.request import urlopen

import numpy as np

from countermark.core.errors import CorpusError, OutputError, UnknownNameError, known_names
from countermark.core.files import atomic_write, data_dir
from countermark.core.images import Pixels

#: Contents of a set's files, in order, to its pictures.
Reader = Callable[[list[bytes]], Iterator[tuple[str, Pixels]]]

MAX_BYTES = 256 * 1024**2
SECONDS = 60.0


@dataclass(frozen=True)
class PublishedFile:
    """One file of a set: its name, where it is published, and the MD5 digest stated there."""

    name: str
    folder: str
    md5: str


@dataclass(frozen=True)
class PublishedSet:
    """A set's files, and what yields their pictures as (class name, uint8 RGB pixels)."""

    files: tuple[PublishedFile, ...]
    read: Reader


def read_published(name: str, *, download: bool = False) -> Iterator[tuple[str, str, Pixels]]:
    """Yields (name, class, uint8 RGB pixels) of every training picture.

    Raises:
        UnknownNameError: no such set; lists the known ones.
        CorpusError: ``corpus.missing`` when a file is not there or cannot be fetched,
            ``corpus.invalid`` when it is not the published one.
    """
    if name not in SETS:
        hint = f"{known_names(name, SETS)} For others, give the folder of their pictures."
        raise UnknownNameError(f"There is no published set {name!r}.", hint=hint)
    contents = [_content(name, file, download) for file in SETS[name].files]
    try:
        for index, (label, pixels) in enumerate(SETS[name].read(contents)):
            yield f"{name}-{index:07d}", label, pixels
    except (ValueError, KeyError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise CorpusError(f"The files of {name} cannot be read: {error}.", code="corpus.invalid") from error


def _content(name: str, file: PublishedFile, download: bool) -> bytes:
    root = data_dir() / "torchvision" / name
    path = next((p for p in (root / file.name, root / "raw" / file.name) if p.is_file()), None)
    if path is None and not download:
        raise CorpusError(
            f"{file.name} of {name} is not on this machine, and nothing is downloaded unless you ask.",
            code="corpus.missing",
            hint=f"Put it into {root}, or allow the download with train generator --download.",
        )
    try:
        if path is None:
            data = _fetched(file)
            _check(file.folder + file.name, data, file)
            atomic_write(root / file.name, data)
        else:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            _check(str(path), data, file)
    except (OSError, HTTPException, OutputError) as error:
        raise CorpusError(f"{file.name} of {name} cannot be had: {error}.", code="corpus.missing") from error
    return data


def _fetched(file: PublishedFile) -> bytes:
    with urlopen(file.folder + file.name, timeout=SECONDS) as stream:
        data: bytes = stream.read(MAX_BYTES + 1)
    return data


def _check(where: str, data: bytes, file: PublishedFile) -> None:
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise CorpusError(
            f"{where} is not the published file: its MD5 digest is {found}, not {file.md5}.",
            code="corpus.invalid",
            hint="Fetch it from where it is published.",
        )


def _read_cifar(folder: str, names: tuple[str, ...], labels: str, bytes_before: int) -> Reader:
    """Reader of CIFAR's binary version: rows of label bytes, the last of which counts, and 3 x 32 x 32."""

    def read(contents: list[bytes]) -> Iterator[tuple[str, Pixels]]:
        with tarfile.open(fileobj=io.BytesIO(contents[0]), mode="r:gz") as archive:
            classes = _member(archive, f"{folder}/{labels}", 1 << 16).decode("ascii").split()
            for name in names:
                data = _member(archive, f"{folder}/{name}", MAX_BYTES)
                rows = np.frombuffer(data, np.uint8).reshape(-1, bytes_before + 3072)
                for row in rows:
                    pixels = row[bytes_before:].reshape(3, 32, 32).transpose(1, 2, 0)
                    yield _class(classes, int(row[bytes_before - 1])), np.ascontiguousarray(pixels)

    return read


def _member(archive: tarfile.TarFile, name: str, most: int) -> bytes:
    member = archive.getmember(name)
    stream = archive.extractfile(member) if member.size <= most else None
    if stream is None:
        raise ValueError(f"{name} is no file, or too large")
    return stream.read()


def _read_idx(classes: tuple[str, ...]) -> Reader:
    """Reader of two IDX files, grey pictures and their labels."""

    def read(contents: list[bytes]) -> Iterator[tuple[str, Pixels]]:
        images, labels = (_idx(data) for data in contents)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(f"pictures of shape {images.shape} and labels of shape {labels.shape}")
        for image, label in zip(images, labels, strict=True):
            yield _class(classes, int(label)), np.repeat(image[..., None], 3, axis=2)

    return read


def _idx(data: bytes) -> np.ndarray:
    """An IDX file: two zero bytes, type (8: uint8), number of dimensions, their sizes, the values."""
    with gzip.open(io.BytesIO(data)) as stream:
        plain = stream.read(MAX_BYTES + 1)
    if len(plain) > MAX_BYTES or plain[:3] != b"\0\0\x08" or not 1 <= plain[3] <= 3:
        raise ValueError("not an IDX file of bytes")
    head = 4 + 4 * plain[3]
    sizes = np.frombuffer(plain[4:head], ">u4").astype(int)
    return np.frombuffer(plain, np.uint8, offset=head).reshape(tuple(sizes))


def _class(classes: list[str] | tuple[str, ...], number: int) -> str:
    if number >= len(classes):
        raise ValueError(f"label {number} of {len(classes)} classes")
    return classes[number]


def _pair(folder: str, images: str, labels: str) -> tuple[PublishedFile, ...]:
    return (
        PublishedFile("train-images-idx3-ubyte.gz", folder, images),
        PublishedFile("train-labels-idx1-ubyte.gz", folder, labels),
    )


_KRIZHEVSKY = "https://www.cs.toronto.edu/~kriz/"
_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))

#: By torchvision's names. The digests are those that the publishers state.
SETS: dict[str, PublishedSet] = {
    "CIFAR10": PublishedSet(
        (PublishedFile("cifar-10-binary.tar.gz", _KRIZHEVSKY, "c32a1d4ab5d03f1284b67883e8d87530"),),
        _read_cifar("cifar-10-batches-bin", _BATCHES, "batches.meta.txt", 1),
    ),
    "CIFAR100": PublishedSet(
        (PublishedFile("cifar-100-binary.tar.gz", _KRIZHEVSKY, "03b5dce01913d631647c71ecec9e9cb8"),),
        _read_cifar("cifar-100-binary", ("train.bin",), "fine_label_names.txt", 2),
    ),
    "MNIST": PublishedSet(
        _pair(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
        ),
        _read_idx(tuple("0123456789")),
    ),
    "FashionMNIST": PublishedSet(
        _pair(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
        ),
        _read_idx((
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        )),
    ),
    "KMNIST": PublishedSet(
        _pair(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
        ),
        _read_idx(("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    ),
}  # fmt: skip
