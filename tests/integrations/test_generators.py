"""The files for ComfyUI and WebUI, run as those programs run them, with stand-ins for their modules."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import countermark
from countermark.core.seeds import rng

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "integrations"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="a source archive has no integrations")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModuleType]:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))

    def loaded(path: str, **beside: Any) -> ModuleType:
        for name, module in beside.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
        spec = importlib.util.spec_from_file_location("countermark_sign_under_test", FOLDER / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def pixels() -> np.ndarray:
    import cv2

    grid = rng(1, "picture").integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (320, 240), interpolation=cv2.INTER_CUBIC)


class Tensor:
    """As much of a tensor as the node asks of one: its CPU copy as an array."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self.values


def comfy(folder: Path) -> ModuleType:
    module = ModuleType("folder_paths")
    module.get_output_directory = lambda: str(folder)  # type: ignore[attr-defined]
    module.get_save_image_path = lambda prefix, out, width, height: (out, prefix, 1, "", prefix)  # type: ignore[attr-defined]
    return module


def test_comfyui_saves_signed_pictures_with_their_workflow(
    load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    out = tmp_path / "output"
    out.mkdir()
    node = load("comfyui/countermark_sign.py", folder_paths=comfy(out)).SaveSignedImage()
    wanted = node.INPUT_TYPES()["required"]
    workflow = {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}
    images = [Tensor(pixels().astype(np.float32) / 255)] * 2
    answer = node.save(images, prompt=workflow, extra_pnginfo={"workflow": {"nodes": []}})
    names = [each["filename"] for each in answer["ui"]["images"]]
    assert names == sorted(p.name for p in out.iterdir()) and len(names) == 2 and "images" in wanted
    found = countermark.verify(out / names[0])
    assert found.state == "trusted" and found.digital_source_type == "trainedAlgorithmicMedia"
    assert json.loads(Image.open(out / names[0]).text["prompt"]) == workflow
    assert re.search(r'"seed": "?7"?', json.dumps(found.manifest))


def test_comfyui_keeps_the_picture_when_it_cannot_be_signed(
    load: Callable[..., ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = load("comfyui/countermark_sign.py", folder_paths=comfy(tmp_path)).SaveSignedImage()
    node.save([Tensor(pixels().astype(np.float32) / 255)], identity="nobody")
    assert (tmp_path / "signed_00001_.png").is_file() and "without a credential" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.unsigned.png"))


class Webui:
    """Stand-ins for ``modules.script_callbacks`` and ``modules.shared``."""

    def __init__(self) -> None:
        self.saved: Any = None
        self.settings: Any = None
        self.opts = SimpleNamespace(
            countermark_on=True, countermark_watermark=True, countermark_identity="default"
        )
        self.opts.add_option = lambda name, info: setattr(self.opts, name, info.default)

    def modules(self) -> dict[str, Any]:
        callbacks = SimpleNamespace(
            on_image_saved=lambda function: setattr(self, "saved", function),
            on_ui_settings=lambda function: setattr(self, "settings", function),
        )
        option = lambda default, label, section: SimpleNamespace(default=default)  # noqa: E731
        shared = SimpleNamespace(opts=self.opts, OptionInfo=option)
        return {"modules": SimpleNamespace(script_callbacks=callbacks, shared=shared)}


def test_webui_signs_what_it_saved(
    load: Callable[..., ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webui = Webui()
    module = load("webui/countermark_sign.py", **webui.modules())
    webui.settings()
    told = "a cat\nSteps: 20, Seed: 42, Model: dream_v1, Size: 320x240"
    assert module.facts_of(told) == {"seed": 42, "model": "dream_v1"} and module.facts_of("") == {}
    path, info = tmp_path / "00001.png", PngInfo()
    info.add_text("parameters", told)
    Image.fromarray(pixels()).save(path, pnginfo=info)
    webui.saved(SimpleNamespace(filename=str(path), pnginfo={"parameters": told}))
    assert countermark.verify(path).state == "trusted"
    assert Image.open(path).text["parameters"] == told
    assert [p.name for p in tmp_path.iterdir() if p.name != "home"] == ["00001.png"]
    before = path.read_bytes()
    webui.opts.countermark_identity = "nobody"
    webui.saved(SimpleNamespace(filename=str(path), pnginfo=None))
    assert path.read_bytes() == before and "stays without a credential" in capsys.readouterr().out
    webui.opts.countermark_on = False
    webui.saved(SimpleNamespace(filename=str(tmp_path / "missing.png"), pnginfo=None))
