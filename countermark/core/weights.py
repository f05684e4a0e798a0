"""The one weights loader: safetensors and a card, never parted, never pickle.

A model called ``NAME`` is two files: ``NAME.safetensors`` and ``NAME.card.json``. The card holds
the sha256 of the weights, what they were trained on, their preprocessing and their figures, and a
``digest`` of all that. The loader refuses weights without a card, weights whose digest is not the
card's, and a card that is not as it was written: its calibration moves verdicts as weights do.
Whoever changes a card on purpose stamps it again (``stamp_card``, ``countermark models stamp``).

Weights over ``SHARD_BYTES`` are cut into ``NAME-00001-of-0000K.safetensors`` and so on, which the
card lists with their digests; callers go on naming ``NAME.safetensors``.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from countermark.core.configuration import validated
from countermark.core.errors import ConfigError, WeightsError
from countermark.core.files import atomic_write, sha256_bytes

if TYPE_CHECKING:
    from torch import Tensor

MAX_WEIGHT_BYTES = 2 * 1024**3
MAX_CARD_BYTES = 4 * 1024**2
SHARD_BYTES = 18 * 1000**2
UNSAFE_SUFFIXES = frozenset(".pt .pth .bin .ckpt .pkl .pickle .joblib .npy .npz .h5".split())


class WeightsCard(BaseModel):
    """What a model is, where it comes from and what it was measured to do.

    Attributes:
        name: The model's name, as users type it.
        kind: ``generator``, ``detector``, ``watermark`` or ``extractor``.
        family: Registry name of the code that runs it, such as ``dcgan``.
        config: Constructor arguments of the family; data only.
        preprocessing: How pixels become the network's input, and back.
        training_data: One line per data set, with its licence as far as it is known.
        trained: How: seed, images seen, minutes, device, command.
        metrics: Measured figures with their conditions.
        limits: What it cannot do; sentences for people.
        sha256: Of the weights' bytes; of all shards' bytes one after the other where ``shards`` is set.
        digest: SHA-256 of everything else in the card, ``sha256`` and ``shards`` included: what names
            a model in reports and caches. Filled in when the card is written.
        shards: File name and sha256 of each part, in order; empty for weights in one file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: str
    family: str
    version: str = "1"
    summary: str = ""
    sha256: str = ""
    digest: str = ""
    licence: str = "Apache-2.0"
    config: dict[str, Any] = Field(default_factory=dict)
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    training_data: list[str] = Field(default_factory=list)
    trained: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    limits: list[str] = Field(default_factory=list)
    shards: dict[str, str] = Field(default_factory=dict)


def save_weights(
    folder: Path | str,
    tensors: Mapping[str, Tensor | np.ndarray],
    card: WeightsCard,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes ``NAME.safetensors`` (or its shards) and ``NAME.card.json``; returns the weights' path.

    Tensors (all of PyTorch, or all arrays) are made contiguous and moved to the CPU; the card's digests
    are filled in. Existing files of the same name are replaced: a model and its card change together.
    """
    folder = Path(folder)
    path = folder / f"{card.name}.safetensors"
    save_tensors, groups = _savable(tensors, shard_bytes)
    names = [path.name]
    if len(groups) > 1:
        names = [f"{card.name}-{n:05d}-of-{len(groups):05d}.safetensors" for n in range(1, len(groups) + 1)]
    whole, shards = hashlib.sha256(), {}
    for name, group in zip(names, groups, strict=True):
        data = save_tensors(group)
        atomic_write(folder / name, data, overwrite=True)
        whole.update(data)
        shards[name] = sha256_bytes(data)
    for stale in {path, *folder.glob(f"{glob.escape(card.name)}-?????-of-?????.safetensors")}:
        if stale.name not in shards:
            stale.unlink(missing_ok=True)
    digests = {"sha256": whole.hexdigest(), "shards": shards if len(shards) > 1 else {}}
    write_card(folder, card.model_copy(update=digests))
    return path


def write_card(folder: Path | str, card: WeightsCard) -> Path:
    """Writes only the card, stamped with its digest, for figures measured after training."""
    return _write(Path(folder) / f"{card.name}.card.json", card.model_dump())


def stamp_card(path: Path | str) -> tuple[Path, bool]:
    """Gives a card that was changed on purpose its digest; the rest of it stays as it is.

    Args:
        path: The card, or the weights that it belongs to.

    Returns:
        The card's path, and whether its digest was another one before.

    Raises:
        WeightsError: ``weights.no-card`` or ``weights.bad-card``.
    """
    path = _card_path(path)
    values, _ = _parse_card(path)
    if values.get("digest") == card_digest(values):
        return path, False
    names = list(values)
    if "digest" not in names:  # beside the other digest, wherever that stands
        names.insert(names.index("sha256") + 1 if "sha256" in names else len(names), "digest")
    return _write(path, {name: values.get(name) for name in names}), True


def card_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a card's values but ``digest``, whatever their order and spacing in the file."""
    covered = {name: value for name, value in values.items() if name != "digest"}
    return sha256_bytes(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode())


def read_card(path: Path | str) -> WeightsCard:
    """Reads a card from its own path or from that of its weights.

    Raises:
        WeightsError: ``weights.no-card``, ``weights.bad-card``, or ``weights.card-changed`` for one
            that is not as it was written.
    """
    path = _card_path(path)
    values, card = _parse_card(path)
    if card.digest != card_digest(values):
        what = "is not as it was written (its digest differs)" if card.digest else "carries no digest"
        raise WeightsError(
            f"{path} {what}.",
            code="weights.card-changed",
            hint="Fetch weights and card again, together. If you changed the card yourself: "
            "countermark models stamp CARD",
        )
    return card


def _card_path(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix == ".safetensors":
        return path.with_name(path.name.removesuffix(".safetensors") + ".card.json")
    return path


def _write(path: Path, values: dict[str, Any]) -> Path:
    stamped = {**values, "digest": card_digest(values)}
    text = json.dumps(stamped, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    return atomic_write(path, text, overwrite=True)


def _parse_card(path: Path) -> tuple[dict[str, Any], WeightsCard]:
    """The card's values as they stand in the file, and checked; not yet against their digest."""
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise WeightsError(f"{path} is too large for a card.")
        values = json.loads(path.read_text("utf-8"))
        card = validated(WeightsCard, values, str(path))
        if any(Path(name).name != name for name in card.shards):
            raise WeightsError(f"{path} names shards outside its folder.", code="weights.bad-card")
        return values, card
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path} is missing.",
            code="weights.no-card",
            hint="Weights are only loaded together with the card that was written beside them.",
        ) from error
    except ConfigError as error:
        raise WeightsError(error.message, code="weights.bad-card", hint=error.hint) from error
    except (ValueError, RecursionError, OSError) as error:
        raise WeightsError(f"{path} is not a valid card: {error}.", code="weights.bad-card") from error


def load_weights(path: Path | str, *, family: str | None = None) -> tuple[dict[str, Tensor], WeightsCard]:
    """Reads weights and card from ``NAME.safetensors``, as tensors of PyTorch.

    Args:
        path: The weights; the card is looked for beside them.
        family: If given, the family that the card must name.

    Raises:
        WeightsError: ``weights.unsafe-format``, ``weights.missing``, ``weights.no-card``,
            ``weights.card-changed``, ``weights.checksum``, ``weights.family`` or ``weights.invalid``.
    """
    from safetensors.torch import load

    return _load(path, family, load)


def load_arrays(path: Path | str, *, family: str | None = None) -> tuple[dict[str, np.ndarray], WeightsCard]:
    """``load_weights`` as arrays, without PyTorch; bfloat16, which NumPy lacks, is ``weights.invalid``."""
    from safetensors.numpy import load

    return _load(path, family, load)


def _load(
    path: Path | str, family: str | None, load: Callable[[bytes], dict[str, Any]]
) -> tuple[dict[str, Any], WeightsCard]:
    path = Path(path)
    if path.suffix.lower() in UNSAFE_SUFFIXES:
        raise WeightsError(
            f"{path.name} is in a format that can run code when it is opened.",
            code="weights.unsafe-format",
            hint="Convert it to safetensors where it was made; Countermark reads nothing else.",
        )
    card = None
    if not path.is_file() and path.with_name(f"{path.stem}.card.json").is_file():
        card = read_card(path)
    files = [path.with_name(name) for name in card.shards] if card and card.shards else [path]
    try:
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise WeightsError(f"{error.filename or path} does not exist.", code="weights.missing") from error
    if size > MAX_WEIGHT_BYTES:
        raise WeightsError(f"{path} has {size:,} bytes, more than are loaded.", code="weights.invalid")
    card = card or read_card(path)
    whole, tensors = hashlib.sha256(), {}
    parts = [file.read_bytes() for file in files]
    for data in parts:
        whole.update(data)
    if whole.hexdigest() != card.sha256:
        raise WeightsError(
            f"{path.name} is not the file its card describes (sha256 differs).",
            code="weights.checksum",
            hint="Fetch the weights and their card again, together.",
        )
    if family is not None and card.family != family:
        raise WeightsError(
            f"{path.name} holds a {card.family!r} model, not {family!r}.", code="weights.family"
        )
    try:
        while parts:
            tensors.update(load(parts.pop(0)))
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{path.name} is damaged: {error}.", code="weights.invalid") from error
    return tensors, card


def shipped_cards(folder: Path) -> dict[str, Path]:
    """Names and weight paths of the models in ``folder``, sorted by name; whole or in shards."""
    found = {}
    for card in sorted(folder.glob("*.card.json")):
        name = card.name.removesuffix(".card.json")
        path = folder / f"{name}.safetensors"
        if path.exists() or any(folder.glob(f"{glob.escape(name)}-00001-of-?????.safetensors")):
            found[name] = path
    return found


def _savable(
    tensors: Mapping[str, Tensor | np.ndarray], limit: int
) -> tuple[Callable[[dict[str, Any]], bytes], list[dict[str, Any]]]:
    """The function that serialises them, and the groups that it is called with."""
    if all(isinstance(value, np.ndarray) for value in tensors.values()):
        from safetensors.numpy import save

        return save, _groups({k: np.ascontiguousarray(v) for k, v in tensors.items()}, limit)
    from safetensors.torch import save as save_tensors

    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}  # type: ignore[union-attr]
    return save_tensors, _groups(ready, limit)


def _groups(tensors: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        count = int(tensor.nbytes)
        if groups[-1] and size + count > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor
        size += count
    return groups
