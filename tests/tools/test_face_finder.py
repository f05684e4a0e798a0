import face_finder
import numpy as np
import pytest

from countermark.core.weights import load_arrays
from countermark.detectors.faces.blaze import WEIGHTS, shapes


def test_arrays_are_turned_into_onnx_order_and_back_nothing_is_lost() -> None:
    """What the shipped weights would be in the published file's order converts to the shipped weights."""
    shipped, _ = load_arrays(WEIGHTS)
    published = {}
    names = {"stem": "conv2d", "heads.0.scores": "classificator_8", "heads.0.points": "regressor_8"}
    names |= {"heads.1.scores": "classificator_16", "heads.1.points": "regressor_16"}
    for number in range(16):
        names[f"blocks.{number}.depth"] = f"depthwise_conv2d_{number}" if number else "depthwise_conv2d"
        names[f"blocks.{number}.point"] = f"conv2d_{number + 1}"
    for name, source in names.items():
        kernel = shipped[f"{name}.weight"]
        order = (1, 2, 3, 0) if name.endswith("depth") else (0, 2, 3, 1)
        published[f"{source}/Kernel"] = kernel.transpose(order)
        published[f"{source}/Bias"] = shipped[f"{name}.bias"]
    found = face_finder.converted(published)
    assert found.keys() == shapes().keys()
    assert all(np.array_equal(found[name], shipped[name]) for name in found)


def test_another_network_is_refused() -> None:
    arrays = {f"{kind}{n}/{part}": np.zeros((1, 1, 1, 1) if part == "Kernel" else 1, np.float16)
              for kind in ("conv2d", "depthwise_conv2d", "classificator", "regressor")
              for n in ("", *(f"_{k}" for k in range(17))) for part in ("Kernel", "Bias")}  # fmt: skip
    with pytest.raises(SystemExit, match="another shape"):
        face_finder.converted(arrays)
