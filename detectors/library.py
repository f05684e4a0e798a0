"""Finding, loading and saving detectors: those in the package and any in a folder of yours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.core.errors import ConfigError, UnknownNameError, WeightsError, known_names
from countermark.core.memory import release_memory
from countermark.core.weights import WeightsCard, load_arrays, save_weights, shipped_cards
from countermark.detectors.base import DETECTORS, Detector, DetectorNetwork
from countermark.detectors.families import register_families
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.thresholds import ARRAYS, ThresholdTable

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).resolve().parent / "weights"


def list_detectors() -> list[str]:
    """Names of the detectors that ship with the package, ``default`` first."""
    return sorted(shipped_cards(WEIGHTS), key=lambda name: (name != "default", name))


def load_detector(name: str | Path = "default", device: str | torch.device | None = None) -> Detector:
    """Loads a detector by name, or from the path of its ``.safetensors``.

    Args:
        name: One of ``list_detectors()``, or a path that ``train_detector`` returned.
        device: Such as ``cuda``; None is the CPU.

    Raises:
        UnknownNameError: names the known detectors.
        WeightsError: damaged, of another kind, or without a card.
    """
    known = shipped_cards(WEIGHTS)
    if str(name) in known:
        path = known[str(name)]
    elif str(name).endswith(".safetensors") or isinstance(name, Path):
        path = Path(name)
    else:
        raise UnknownNameError(
            f"There is no detector {str(name)!r}.",
            hint=f"{known_names(str(name), known)} Or give the path of a .safetensors file.",
        )
    tensors, card = load_arrays(path)
    if card.kind != "detector":
        raise WeightsError(f"{path.name} holds a {card.kind}, not a detector.", code="weights.kind")
    register_families()
    try:
        scores = {name: tensors.pop(name) for name in ARRAYS}
        table = ThresholdTable.from_arrays(scores)
        network = DETECTORS.get(card.family).restore(dict(card.config["network"]), tensors)
        calibrator = Calibrator.from_config(card.config["calibrator"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.name} and its card do not fit together: {error}") from error
    if device is not None and str(device) != "cpu":
        network = network.to(_device(device))
    release_memory()
    return Detector(network, card, calibrator, table)


def save_detector(
    folder: Path | str,
    name: str,
    network: DetectorNetwork,
    calibrator: Calibrator,
    table: ThresholdTable,
    **card: Any,
) -> Path:
    """Writes a detector's weights and card into ``folder``; ``card`` are further WeightsCard fields.

    The scores behind the thresholds stand beside the weights, under the same digest; the card, which people
    read, names their sources and kinds only.
    """
    tensors, config = network.state()
    arrays = table.to_arrays()
    tensors = tensors | arrays
    whole = {"network": config, "calibrator": calibrator.to_config(), "thresholds": table.summary()}
    return save_weights(
        folder,
        tensors,
        WeightsCard(name=name, kind="detector", family=network.family, config=whole, **card),
    )


def _device(device: str | torch.device) -> torch.device:
    import torch

    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"{device!r} is not a device.", hint="Use cpu, cuda or cuda:0.") from error
