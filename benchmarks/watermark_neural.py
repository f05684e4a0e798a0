"""The learned watermark beside the tile scheme, on the same pictures at the same PSNR.

    python -m countermark.provenance.watermark.neural.train FOLDER --bits 32 --side 64 --out n.safetensors
    python benchmarks/watermark_neural.py n.safetensors FOLDER [FOLDER ...] --count 16 --out docs

Every picture is marked by the tile scheme first; the learned residual is then scaled until it has the same
mean squared error. Writes ``watermark-neural.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from countermark.core.errors import CountermarkError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import perturb, resize_to
from countermark.core.seeds import rng
from countermark.provenance import watermark
from countermark.provenance.watermark.neural.networks import Decoder, Encoder, embed, read
from countermark.provenance.watermark.neural.train import as_tensor, load_weights

ATTACKS = (
    "none jpeg:75 jpeg:50 resize:0.5 crop:0.75 crop:0.5 rotate:5 flip noise:10 blur:2 "
    "brightness:1.3 screenshot"
).split()


def pictures(folders: list[Path], count: int, megapixels: float, seed: int) -> list[np.ndarray]:
    """Up to ``count`` pictures from the folders in turn, at most that large; uint8, H x W x 3."""
    queues = [list(iter_image_paths([folder])) for folder in folders]
    for queue in queues:
        rng(seed, "neural").shuffle(queue)
    found: list[np.ndarray] = []
    while len(found) < count and any(queues):
        for queue in queues:
            if not queue or len(found) >= count:
                continue
            try:
                image = read_image(queue.pop()).pixels
            except CountermarkError:
                continue
            if min(image.shape[:2]) < 256:
                continue
            factor = float(np.sqrt(megapixels * 1e6 / (image.shape[0] * image.shape[1])))
            if factor < 1:
                image = resize_to(image, round(image.shape[1] * factor), round(image.shape[0] * factor))
            found.append(image)
    return found


def at_error(encoder: Encoder, image: np.ndarray, bits: np.ndarray, error: float) -> np.ndarray:
    """The picture marked by the encoder with this mean squared error (bisection over the strength)."""
    tensor, message = as_tensor(image[None]), torch.from_numpy(bits[None].astype(np.float32))
    low, high = 0.0, 64.0
    for _ in range(14):
        strength = (low + high) / 2
        with torch.inference_mode():
            marked = embed(encoder, tensor, message, strength)[0].permute(1, 2, 0).numpy()
        done = (marked * 255 + 0.5).astype(np.uint8)
        low, high = (strength, high) if mse(done, image) < error else (low, strength)
    return done


def mse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean((one.astype(float) - other) ** 2))


def compare(encoder: Encoder, decoder: Decoder, images: list[np.ndarray], seed: int) -> dict[str, object]:
    """Exact payloads of both schemes, and the learned one's share of right bits, by attack."""
    rows: list[dict[str, dict[str, float]]] = []
    errors = []
    for index, image in enumerate(images):
        random = rng(seed, "neural", index)
        bits = random.integers(0, 2, encoder.message.in_features)
        payload = random.bytes(8)
        try:
            tile = watermark.embed(image, payload)
        except watermark.WatermarkError:
            continue
        error = mse(tile, image)
        learned = at_error(encoder, image, bits, error)
        errors.append((error, mse(learned, image)))
        row = {}
        for attack in ATTACKS:
            one = perturb(attack, tile, rng(seed, attack, index))
            other = perturb(attack, learned, rng(seed, attack, index))
            with torch.inference_mode():
                right = (read(decoder, as_tensor(other[None]))[0] > 0).numpy() == (bits > 0)
            row[attack] = {
                "tile": float(watermark.read(one, time_budget=None).payload == payload),
                "neural": float(right.all()),
                "neural_bits": float(right.mean()),
            }
        rows.append(row)
    return {
        "pictures": len(rows),
        "bits": encoder.message.in_features,
        "psnr": [
            float(np.mean(10 * np.log10(255**2 / np.array(column)))) for column in zip(*errors, strict=True)
        ],
        "attacks": {
            attack: {key: float(np.mean([row[attack][key] for row in rows])) for key in rows[0][attack]}
            for attack in ATTACKS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--megapixels", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images = pictures(arguments.folders, arguments.count, arguments.megapixels, arguments.seed)
    result = compare(*load_weights(arguments.weights), images, arguments.seed)
    (arguments.out / "watermark-neural.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
