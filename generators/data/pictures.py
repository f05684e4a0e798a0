"""Training pictures in memory: image folders, zip archives, published sets and bundled digits.

>>> pictures = load_pictures("digits", size=32, channels=1)
>>> pictures.images.shape, pictures.heldout.shape
((1623, 32, 32, 1), (174, 32, 32, 1))

Sources: a folder of images, a ``.zip`` of one, ``torchvision:NAME`` (see ``data.published``) and
``medmnist:NAME`` (both fetched only if ``DataConfig.download`` says so), ``digits`` (scikit-learn's,
works offline), ``textures`` (procedural, 64 px, works offline) or ``textures:256`` (the same at 256 px;
or 128). Files that cannot be read are skipped and counted. A share of the images is held out, chosen by
the digest of their pixels' source, so that the same files are held out whatever the order.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import EXTENSIONS, Pixels, iter_image_paths, read_image
from countermark.core.seeds import derive, rng
from countermark.generators.base import to_pixels, to_tensor

MAX_MEMBER_BYTES = 64 * 1024**2
MAX_MEMBERS = 2_000_000
#: Names of the procedural source and the side of its pictures.
TEXTURES = {"textures": 64, "textures:128": 128, "textures:256": 256}


class DataConfig(BaseModel):
    """How images become training pictures.

    Attributes:
        crop: ``centre`` square, ``random`` squares (``crops`` per image, each ``crop_share`` of the
            short side), or ``stretch`` to a square.
        mirror: Also train on left-right mirrored images.
        classes: Use the names of first-level folders as classes.
        class_pattern: Regular expression whose first group, found in a file's name, is its class.
        holdout: Share of images kept out of training, for figures.
        max_images: Most images (after crops) held in memory.
        self_labels: Make so many classes from clusters of features (``data.selflabels``); names
            of folders are then only used to measure the clusters.
        self_label_features: Extractor for them: ``auto``, ``lite0``, ``dct`` or ``pixels``.
        download: Fetch ``medmnist:NAME`` or ``torchvision:NAME`` if it is not there; nothing is fetched
            otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: Literal["centre", "random", "stretch"] = "centre"
    crops: int = Field(default=1, ge=1, le=1000)
    crop_share: float = Field(default=1.0, gt=0.02, le=1.0)
    mirror: bool = True
    classes: bool = False
    class_pattern: str = Field(default="", max_length=200)
    holdout: float = Field(default=0.1, ge=0, le=0.5)
    max_images: int = Field(default=100_000, ge=2)
    self_labels: int = Field(default=0, ge=0, le=1000)
    self_label_features: str = Field(default="auto", max_length=40)
    download: bool = False


@dataclass(frozen=True)
class Pictures:
    """Images of one size, in memory.

    Attributes:
        images: uint8 [N, size, size, channels], RGB or grey.
        labels: int64 [N], or None without classes.
        classes: Their names.
        heldout: uint8 [M, size, size, channels], never trained on.
        heldout_labels: int64 [M], or None.
        skipped: File names and why each was left out.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    heldout: np.ndarray
    heldout_labels: np.ndarray | None
    skipped: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def tensors(self, index: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Float [B, C, size, size] in [-1, 1] of the images ``index`` [B], those ``mirrored`` left-right."""
        pixels = self.images[index.numpy()]
        if mirrored is not None:
            pixels = np.where(mirrored.numpy()[:, None, None, None], pixels[:, :, ::-1], pixels)
        return to_tensor(pixels)

    def painted(self, tensors: Tensor) -> np.ndarray:
        """uint8 RGB [B, size, size, 3] of such tensors."""
        return to_pixels(tensors)


def load_pictures(
    source: Path | str, *, size: int, channels: int = 3, options: DataConfig | None = None, seed: int = 0
) -> Pictures:
    """Reads a source (see the module's docstring) into memory.

    Raises:
        CorpusError: ``corpus.missing``, ``corpus.empty`` or ``corpus.too-small`` (under two images).
    """
    options = options or DataConfig()
    train: list[np.ndarray] = []
    held: list[np.ndarray] = []
    names: list[list[str]] = [[], []]
    skipped: list[tuple[str, str]] = []
    seen = 0
    for name, label, content in _read(source, options, seed):
        if isinstance(content, ImageError):
            skipped.append((name, content.code))
            continue
        seen += 1
        hold = derive(seed, "holdout", name) / 2**63 < options.holdout
        for crop in _crops(content, size, options, rng(seed, "crop", name)):
            (held if hold else train).append(_channels(crop, channels))
            names[int(hold)].append(label)
        if len(train) >= options.max_images:
            break
    if seen < 2 or len(train) < 2:
        raise _too_few(source, seen, skipped)
    use_classes = options.classes or bool(options.class_pattern) or options.self_labels > 0
    classes = tuple(sorted(set(names[0]))) if use_classes else ()
    number = {c: i for i, c in enumerate(classes)}
    if classes:
        keep = [i for i, n in enumerate(names[1]) if n in number]
        held, names[1] = [held[i] for i in keep], [names[1][i] for i in keep]
    empty = np.zeros((0, size, size, channels), np.uint8)
    return Pictures(
        name=str(source) if _is_named(source) else Path(source).name,
        images=np.stack(train),
        labels=np.array([number[n] for n in names[0]]) if classes else None,
        classes=classes,
        heldout=np.stack(held) if held else empty,
        heldout_labels=np.array([number[n] for n in names[1]], np.int64) if classes else None,
        skipped=tuple(skipped),
    )


def _is_named(source: Path | str) -> bool:
    names = ("digits", *TEXTURES)
    return str(source) in names or str(source).startswith(("torchvision:", "medmnist:"))


def _read(
    source: Path | str, options: DataConfig, seed: int
) -> Iterator[tuple[str, str, Pixels | ImageError]]:
    """Yields (name, class name, pixels or why not)."""
    if str(source) == "digits":
        yield from _read_digits()
    elif str(source) in TEXTURES:
        yield from _read_textures(seed, TEXTURES[str(source)])
    elif str(source).startswith("medmnist:"):
        from countermark.generators.data.medmnist import read_medmnist

        yield from read_medmnist(str(source).partition(":")[2], download=options.download)
    elif str(source).startswith("torchvision:"):
        from countermark.generators.data.published import read_published

        yield from read_published(str(source).partition(":")[2], download=options.download)
    else:
        path = Path(source)
        if path.is_dir():
            files = _read_folder(path)
        elif path.is_file() and path.suffix.lower() == ".zip":
            files = _read_zip(path)
        else:
            raise CorpusError(
                f"{path} is neither a folder of images nor a zip archive of one.",
                code="corpus.missing",
                hint="Other sources: 'digits', 'textures', 'medmnist:NAME' and 'torchvision:NAME'.",
            )
        pattern = _compile(options.class_pattern)
        for name, data in files:
            try:
                content: Pixels | ImageError = read_image(data).pixels
            except ImageError as error:
                content = error
            yield name, _class_of(name, pattern), content


def _compile(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise CorpusError(f"The class pattern {pattern!r} is not a regular expression: {error}.") from error


def _class_of(name: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is not None:
        found = pattern.search(PurePosixPath(name).name)
        return (found.group(1) if found.groups() else found.group(0)) if found else "other"
    parts = PurePosixPath(name).parts
    return parts[-2] if len(parts) > 1 else "other"


def _read_folder(root: Path) -> Iterator[tuple[str, Path | bytes]]:
    for path in iter_image_paths([root]):
        yield path.relative_to(root).as_posix(), path


def _read_zip(path: Path) -> Iterator[tuple[str, Path | bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda m: m.filename)
            if len(members) > MAX_MEMBERS:
                raise CorpusError(f"{path} has {len(members):,} members, more than are read.")
            for member in members:
                if PurePosixPath(member.filename).suffix.lower() not in EXTENSIONS:
                    continue
                # An empty or oversized member becomes an unreadable image, which is counted.
                fits = member.file_size <= MAX_MEMBER_BYTES
                try:
                    yield member.filename, archive.read(member) if fits else b""
                except (zipfile.BadZipFile, RuntimeError, EOFError, OSError):
                    yield member.filename, b""
    except zipfile.BadZipFile as error:
        raise CorpusError(f"{path} is not a readable zip archive: {error}.") from error


def _read_digits() -> Iterator[tuple[str, str, Pixels]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (image, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = np.clip(np.rint(image * (255 / 16)), 0, 255).astype(np.uint8)
        large = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_CUBIC)
        yield f"digit-{index:04d}", str(target), np.repeat(large[..., None], 3, axis=2)


def _read_textures(seed: int, size: int) -> Iterator[tuple[str, str, Pixels]]:
    from countermark.generators.data.textures import EACH, MATERIALS, texture

    for index in range(EACH):
        for material in MATERIALS:
            yield f"{material}-{index:04d}", material, texture(material, derive(seed, index), size)


def _crops(
    pixels: Pixels, size: int, options: DataConfig, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    height, width = pixels.shape[:2]
    if options.crop == "stretch":
        yield _resize(pixels, size)
        return
    side = max(round(min(height, width) * options.crop_share), 1)
    if options.crop == "centre":
        top, left = (height - side) // 2, (width - side) // 2
        yield _resize(pixels[top : top + side, left : left + side], size)
        return
    for _ in range(options.crops):
        top = int(generator.integers(height - side + 1))
        left = int(generator.integers(width - side + 1))
        yield _resize(pixels[top : top + side, left : left + side], size)


def _resize(pixels: np.ndarray, size: int) -> np.ndarray:
    if pixels.shape[:2] == (size, size):
        return pixels
    shrink = min(pixels.shape[:2]) >= size
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def _channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    return pixels if channels == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]


def _too_few(source: Path | str, seen: int, skipped: list[tuple[str, str]]) -> CorpusError:
    why = f" ({len(skipped)} could not be read)" if skipped else ""
    if seen == 0:
        return CorpusError(f"{source} holds no readable images{why}.", code="corpus.empty")
    return CorpusError(
        f"{source} holds {seen} readable image{'s' if seen > 1 else ''}{why}; that is too few to train on.",
        code="corpus.too-small",
        hint="A narrow subject needs a few hundred images; fewer are only learnt by heart.",
    )
