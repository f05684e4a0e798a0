"""ComfyUI: a node that saves pictures with Content Credentials and an invisible watermark.

Copy this file into ``ComfyUI/custom_nodes/`` and ``pip install countermark`` into ComfyUI's environment.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

MAX_PROMPT = 20_000


class SaveSignedImage:
    """Saves as PNG, with the workflow in it as *Save Image* does, signed and marked."""

    CATEGORY = "image"
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE",),
                "filename_prefix": ("STRING", {"default": "signed"}),
                "generator": ("STRING", {"default": "ComfyUI"}),
                "identity": ("STRING", {"default": "default"}),
                "watermark": ("BOOLEAN", {"default": True}),
                "keep_workflow": ("BOOLEAN", {"default": True}),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save(
        self,
        images: Any,
        filename_prefix: str = "signed",
        generator: str = "ComfyUI",
        identity: str = "default",
        watermark: bool = True,
        keep_workflow: bool = True,
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> dict[str, Any]:
        """Images are float tensors [N, H, W, 3] in [0, 1], RGB."""
        import folder_paths

        height, width = images[0].shape[:2]
        place, stem, number, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        shown = []
        for image in images:
            pixels = np.clip(255.0 * image.cpu().numpy() + 0.5, 0, 255).astype(np.uint8)
            name = f"{stem}_{number:05}_.png"
            texts = _texts(prompt, extra_pnginfo) if keep_workflow else {}
            save_signed(
                pixels,
                os.path.join(place, name),
                texts,
                generator=generator or "ComfyUI",
                identity=identity or "default",
                watermark=watermark,
                seed=_seed(prompt),
            )
            shown.append({"filename": name, "subfolder": subfolder, "type": "output"})
            number += 1
        return {"ui": {"images": shown}}


def save_signed(pixels: np.ndarray, path: str, texts: dict[str, str], **facts: Any) -> None:
    """Writes a PNG (uint8 RGB, H x W x 3) signed; if that fails, as it is, and says so."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    import countermark

    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    plain = f"{path}.unsigned.png"
    Image.fromarray(pixels).save(plain, pnginfo=info, compress_level=4)
    try:
        countermark.sign(plain, path, **facts)
    except countermark.CountermarkError as error:
        print(f"Countermark: {os.path.basename(path)} is saved without a credential. {error}")
        os.replace(plain, path)
        return
    os.unlink(plain)


def _texts(prompt: Any, extra: Any) -> dict[str, str]:
    """The workflow as ComfyUI itself writes it, so that the picture can be dragged back into it."""
    texts = {"prompt": json.dumps(prompt)} if prompt is not None else {}
    for key, value in (extra or {}).items():
        texts[str(key)] = json.dumps(value)
    return texts


def _seed(prompt: Any) -> int | None:
    """The seed of the first sampler of a workflow."""
    for node in (prompt or {}).values() if isinstance(prompt, dict) else ():
        inputs = node.get("inputs", {}) if isinstance(node, dict) else {}
        for key in ("seed", "noise_seed"):
            if isinstance(inputs.get(key), int):
                return int(inputs[key])
    return None


NODE_CLASS_MAPPINGS = {"CountermarkSaveSigned": SaveSignedImage}
NODE_DISPLAY_NAME_MAPPINGS = {"CountermarkSaveSigned": "Save signed image (Countermark)"}
