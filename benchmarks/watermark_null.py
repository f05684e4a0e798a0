"""False positives: p-values of Countermark's watermark reader on pictures that carry no mark.

    python benchmarks/watermark_null.py FOLDER [FOLDER ...] --crops 20000 --searched 3000 --out docs

Reads random crops of the folders' pictures, and made patterns (noise, gradients, stripes, checks, dots), with
the fast path, the first ``--searched`` of them also with the full search, and tests the p-values against the
uniform distribution (Kolmogorov-Smirnov). Writes ``watermark-null.json``.

"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import kstest

from countermark.core.errors import ImageError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.seeds import rng
from countermark.provenance import watermark

PATTERNS = ("noise", "gradient", "stripes", "checks", "dots", "texture")


def pattern(kind: str, random: np.random.Generator) -> np.ndarray:
    """A made picture of 256 x 256 to 384 x 384; uint8, RGB."""
    side = int(random.integers(256, 385))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle, period = random.uniform(0, np.pi), random.uniform(4, 60)
    wave = x * np.cos(angle) + y * np.sin(angle)
    if kind == "noise":
        plane = random.uniform(0, 255, (side, side))
    elif kind == "gradient":
        plane = (wave - wave.min()) * random.uniform(0.1, 1) * 255 / np.ptp(wave)
    elif kind == "stripes":
        plane = 127 + random.uniform(5, 120) * np.sin(2 * np.pi * wave / period)
    elif kind == "checks":
        plane = 255.0 * ((x // period + y // period) % 2)
    elif kind == "dots":
        plane = 128 + 100 * np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
    else:
        plane = random.standard_normal((side, side)) * 60
        plane = 128 + cv2.GaussianBlur(plane, (0, 0), float(random.uniform(0.8, 4))) * 2
    grey = np.clip(plane, 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def unmarked(paths: list[Path], count: int, random: np.random.Generator):
    """``count`` pictures: five random crops of each file in turn, then, every tenth, a pattern."""
    made = 0
    while True:
        for path in paths:
            try:
                image = read_image(path).pixels
            except ImageError:
                continue
            for _ in range(5):
                if made >= count:
                    return
                if made % 10 == 9:
                    yield pattern(PATTERNS[made // 10 % len(PATTERNS)], random)
                else:
                    rows, columns = (min(n, int(random.integers(200, 420))) for n in image.shape[:2])
                    top = int(random.integers(image.shape[0] - rows + 1))
                    left = int(random.integers(image.shape[1] - columns + 1))
                    yield np.ascontiguousarray(image[top : top + rows, left : left + columns])
                made += 1


def summary(values: list[float], hits: int, attempts: list[int]) -> dict[str, float]:
    """Kolmogorov-Smirnov test of the p-values, and what was found."""
    test = kstest(values, "uniform")
    return {
        "pictures": len(values),
        "payloads": hits,
        "smallest_p": min(values),
        "ks_statistic": float(test.statistic),
        "ks_p": float(test.pvalue),
        "attempts_mean": float(np.mean(attempts)),
        "attempts_max": int(max(attempts)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--crops", type=int, default=20_000)
    parser.add_argument("--searched", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    random = rng(arguments.seed, "watermark-null")
    paths = list(iter_image_paths(arguments.folders))
    random.shuffle(paths)
    fast: tuple[list[float], list[int], list[bool]] = ([], [], [])
    full: tuple[list[float], list[int], list[bool]] = ([], [], [])
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / "watermark-null.json"
    for index, image in enumerate(unmarked(paths, arguments.crops, random)):
        for kind, search in ((fast, False), (full, True)):
            if search and index >= arguments.searched:
                continue
            reading = watermark.read(image, search=search, time_budget=None)
            kind[0].append(reading.p_value)
            kind[1].append(reading.attempts)
            kind[2].append(reading.payload is not None)
        if index % 500 == 499 or index + 1 == arguments.crops:
            result = {
                name: summary(kind[0], sum(kind[2]), kind[1])
                for name, kind in (("fast", fast), ("full", full))
                if kind[0]
            }
            target.write_text(json.dumps(result, indent=1) + "\n")
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
