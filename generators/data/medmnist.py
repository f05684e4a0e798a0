"""MedMNIST's small medical pictures as a data source: ``medmnist:bloodmnist`` and its sisters.

MedMNIST v2 (Yang et al. 2023) comes as one ``NAME.npz`` a set. The file is looked for in
``~/.medmnist`` and in ``medmnist`` under the user's data folder. Nothing is fetched unless that is
asked for, and then by the package ``medmnist`` itself.

>>> len(NAMES), NAMES["bloodmnist"][0]
(12, 'basophil')
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from countermark.core.errors import CorpusError, MissingExtraError, UnknownNameError, known_names
from countermark.core.files import data_dir
from countermark.core.images import Pixels

MAX_BYTES = 4 * 1024**3
#: Two-dimensional sets, with class names where pictures of one class are worth asking for by name.
NAMES: dict[str, tuple[str, ...]] = {
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast", "immature-granulocyte",
        "lymphocyte", "monocyte", "neutrophil", "platelet",
    ),
    "breastmnist": ("malignant", "benign"),
    "chestmnist": (),
    "dermamnist": (),
    "octmnist": (),
    "organamnist": (),
    "organcmnist": (),
    "organsmnist": (),
    "pathmnist": (),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": (),
    "tissuemnist": (),
}  # fmt: skip


def read_medmnist(name: str, *, download: bool = False) -> Iterator[tuple[str, str, Pixels]]:
    """Yields (name, class, uint8 RGB pixels) of every picture of all splits.

    Raises:
        UnknownNameError: no such set; names the nearest.
        CorpusError: ``corpus.missing`` when the file is not there, ``corpus.invalid`` when it is
            not a MedMNIST file.
        MissingExtraError: a download was asked for without the package ``medmnist``.
    """
    if name not in NAMES:
        raise UnknownNameError(f"MedMNIST has no set {name!r}.", hint=known_names(name, NAMES))
    path = _find(name, download)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorpusError(f"{path} is too large for a MedMNIST file.")
        with np.load(path, allow_pickle=False) as arrays:
            for split in ("train", "val", "test"):
                yield from _rows(name, split, arrays[f"{split}_images"], arrays[f"{split}_labels"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CorpusError(
            f"{path} is not a MedMNIST file: {error}.", hint="Fetch it again from medmnist.com."
        ) from error


def _rows(name: str, split: str, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[str, str, Pixels]]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
        raise ValueError(f"{split} images have shape {images.shape} and type {images.dtype}")
    numbers = np.asarray(labels).reshape(len(labels), -1)
    for index, image in enumerate(images):
        pixels = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        number = int(numbers[index, 0])
        classes = NAMES[name]
        yield f"{name}-{split}-{index:06d}", classes[number] if number < len(classes) else str(number), pixels


def _find(name: str, download: bool) -> Path:
    folders = (Path.home() / ".medmnist", data_dir() / "medmnist")
    for folder in folders:
        if (folder / f"{name}.npz").is_file():
            return folder / f"{name}.npz"
    if not download:
        raise CorpusError(
            f"{name}.npz is not on this machine, and nothing is downloaded unless you ask.",
            code="corpus.missing",
            hint=f"Put it into {folders[1]} (see medmnist.com), or allow the download.",
        )
    try:
        import medmnist
    except ImportError as error:
        raise MissingExtraError("medmnist", "medical") from error
    folders[1].mkdir(parents=True, exist_ok=True)
    try:
        getattr(medmnist, medmnist.INFO[name]["python_class"])(
            split="train", download=True, root=str(folders[1])
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise CorpusError(f"medmnist could not provide {name}: {error}.", code="corpus.missing") from error
    return folders[1] / f"{name}.npz"
