"""Stable Diffusion WebUI and Forge: signs every picture that they save.

Copy this file to ``extensions/countermark/scripts/`` and ``pip install countermark`` into the WebUI's
environment.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Any

from modules import script_callbacks, shared

SECTION = ("countermark", "Countermark")
GENERATOR = "Stable Diffusion WebUI"


def on_settings() -> None:
    """A switch, the identity, and whether to mark."""
    for name, default, label in (
        ("countermark_on", True, "Sign saved pictures with Content Credentials"),
        ("countermark_watermark", True, "Put an invisible watermark into them"),
        ("countermark_identity", "default", "Identity that signs (countermark keys list)"),
    ):
        shared.opts.add_option(name, shared.OptionInfo(default, label, section=SECTION))


def on_saved(params: Any) -> None:
    """Puts the signed picture in the place of the one that was just saved; errors leave it as it is."""
    if not getattr(shared.opts, "countermark_on", True):
        return
    import countermark

    path = os.path.abspath(params.filename)
    facts = facts_of((params.pnginfo or {}).get("parameters", "")) if isinstance(params.pnginfo, dict) else {}
    try:
        with tempfile.TemporaryDirectory(prefix=".countermark-", dir=os.path.dirname(path)) as folder:
            signed = os.path.join(folder, os.path.basename(path))
            countermark.sign(
                path,
                signed,
                generator=GENERATOR,
                identity=getattr(shared.opts, "countermark_identity", "") or "default",
                watermark=bool(getattr(shared.opts, "countermark_watermark", True)),
                **facts,
            )
            os.replace(signed, path)
    except (countermark.CountermarkError, OSError) as error:
        print(f"Countermark: {os.path.basename(path)} stays without a credential. {error}")


def facts_of(parameters: str) -> dict[str, Any]:
    """Seed and model from the line of parameters that the WebUI writes.

    >>> facts_of("a cat\\nSteps: 20, Seed: 42, Model hash: abc, Model: dream_v1, Size: 512x512")
    {'seed': 42, 'model': 'dream_v1'}
    """
    facts: dict[str, Any] = {}
    last = parameters.strip().rpartition("\n")[2]
    if found := re.search(r"(?:^|, )Seed: (\d{1,20})(?:,|$)", last):
        facts["seed"] = int(found[1])
    if found := re.search(r"(?:^|, )Model: ([^,]{1,200})(?:,|$)", last):
        facts["model"] = found[1].strip()
    return facts


script_callbacks.on_ui_settings(on_settings)
script_callbacks.on_image_saved(on_saved)
