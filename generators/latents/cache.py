"""A set of pictures as latents: encoded once, kept on disk in parts, refused where it belongs to another set.

>>> found = encode_set(pictures, Path("runs/mine/latents"))                # doctest: +SKIP
>>> found.latents.shape                                                    # doctest: +SKIP
(3911, 2, 32, 16, 16)

Every picture is encoded as it is and, where training mirrors, a second time mirrored: mirrored latents
are not the latents of the mirrored picture. The folder holds ``set.json``, which says of which pictures
and which autoencoder it is, and one file for every ``PART`` pictures, so that an interrupted encoding
goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from countermark.core.autoencoder import CHANNELS, DOWN
from countermark.core.errors import ConfigError, CorpusError, OutputError, TrainingError
from countermark.core.files import atomic_write
from countermark.generators.base import to_tensor
from countermark.generators.data.pictures import Pictures
from countermark.generators.families.base import Padding
from countermark.generators.latents import autoencoder

PART = 256
_BATCH = 16
_INDEX = "set.json"
_MAX_INDEX_BYTES = 64 * 1024


@dataclass(frozen=True)
class EncodedSet:
    """Latents of pictures, in their order.

    Attributes:
        latents: float16 [N, V, 32, h, w]; V is 2 where the second is that of the mirrored picture, else 1.
        digest: SHA-256 over the pictures.
    """

    latents: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.latents)


def picture_digest(images: np.ndarray) -> str:
    """SHA-256 of uint8 pictures [N, H, W, C], their shape included."""
    whole = hashlib.sha256(repr(images.shape).encode())
    whole.update(np.ascontiguousarray(images).data)
    return whole.hexdigest()


def encode_set(
    pictures: Pictures,
    folder: Path,
    *,
    mirror: bool = True,
    padding: Padding = "zeros",
    progress: bool = False,
) -> EncodedSet:
    """The latents of ``pictures``, from ``folder`` as far as they are there, encoded and kept there else.

    Args:
        mirror: Encode every picture mirrored, too.
        padding: ``circular`` for pictures that tile.

    Raises:
        CorpusError: ``latents.foreign``: the folder holds latents of other pictures, or of another
            autoencoder; ``latents.damaged``: a part of it cannot be read or holds what is no number.
        ConfigError: the pictures' side does not divide by eight, or they are grey.
        TrainingError: ``training.disk``.
    """
    side, channels = pictures.images.shape[1], pictures.images.shape[3]
    if channels != 3 or side % DOWN:
        raise ConfigError(
            f"Pictures of {side} px and {channels} channel(s) cannot be encoded.",
            hint="Latent recipes take colour pictures whose side divides by 8.",
        )
    digest = picture_digest(pictures.images)
    _claim(
        folder,
        {
            "autoencoder": f"{autoencoder.NAME} {autoencoder.digest('encoder')}",
            "pictures": digest, "name": pictures.name, "count": len(pictures), "side": side,
            "mirrored": mirror, "padding": padding,
        },
    )  # fmt: skip
    starts = list(range(0, len(pictures), PART))
    shown = track(
        starts,
        f"encoding {pictures.name}",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )
    parts = [_part(pictures, start, folder, mirror, padding) for start in shown]
    return EncodedSet(torch.cat(parts), digest)


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Writes ``set.json``, or refuses a folder whose ``set.json`` says something else."""
    path = folder / _INDEX
    if not path.exists():
        _write(path, json.dumps(identity, indent=2) + "\n")
        return
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{path} does not say what the latents beside it are of: {error}.",
            code="latents.damaged",
            hint="Remove the folder; it is made again.",
        ) from error
    words = {
        "autoencoder": "another autoencoder", "pictures": "other pictures",
        "count": "another number of pictures", "side": "another size", "mirrored": "other mirroring",
        "padding": "other padding",
    }  # fmt: skip
    for key in ("autoencoder", "side", "count", "mirrored", "padding", "pictures"):
        if found.get(key) != identity[key]:
            raise CorpusError(
                f"{folder} holds latents of {words[key]}: {str(found.get(key))[:100]!r}, "
                f"where {str(identity[key])[:100]!r} is needed.",
                code="latents.foreign",
                hint=f"They were made from {str(found.get('name'))[:100]!r}. Choose another output folder.",
            )


def _part(pictures: Pictures, start: int, folder: Path, mirror: bool, padding: Padding) -> Tensor:
    images = pictures.images[start : start + PART]
    side = images.shape[1] // DOWN
    shape = (len(images), 2 if mirror else 1, CHANNELS, side, side)
    path = folder / f"part-{start // PART:05d}.safetensors"
    if path.exists():
        return _read(path, shape)
    found = torch.empty(shape, dtype=torch.float16)
    for first in range(0, len(images), _BATCH):
        batch = to_tensor(images[first : first + _BATCH]).contiguous(memory_format=torch.channels_last)
        views = [batch, batch.flip(3)][: shape[1]]
        with torch.autocast("cpu", torch.bfloat16):
            found[first : first + _BATCH] = torch.stack(
                [autoencoder.encode(v, padding) for v in views], dim=1
            )
    _write(path, save({"latents": found}))
    return found


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    try:
        if path.stat().st_size > 2 * int(np.prod(shape)) + 4096:
            raise ValueError("too large")
        found = load_file(path)["latents"]
        if tuple(found.shape) != shape or found.dtype != torch.float16 or not bool(found.isfinite().all()):
            raise ValueError("not the latents that belong there")
        return found
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CorpusError(
            f"{path} is damaged: {error}.", code="latents.damaged", hint="Remove it; it is made again."
        ) from error


def _write(path: Path, data: bytes | str) -> None:
    try:
        atomic_write(path, data, overwrite=True)
    except OutputError as error:
        raise TrainingError(
            f"Latents could not be written: {error.message}",
            code="training.disk",
            hint="Free some space and start again; what is encoded already is kept.",
        ) from error
