"""Attacks that remove, forge or copy Countermark's watermark, measured.

    python benchmarks/watermark_attacks.py FOLDER [FOLDER ...] [--autoencoder FILE.safetensors] --out docs

- *averaging*: the mean residual of 50 pictures marked under one key, subtracted from other marked pictures;
- *forging*: the same mean added to unmarked pictures;
- *copying*: the residual of one marked picture added to another; the manifest repository then has to notice
  that the picture is not the one that was recorded (``countermark.provenance.repository.recovery``);
- *regeneration*: a reconstruction by an autoencoder (``detectors.recipes.twins``).

Pictures are cut and scaled to 512 x 512. Writes ``watermark-attacks.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.results import Problem
from countermark.core.seeds import rng
from countermark.provenance import watermark
from countermark.provenance.repository import open_repository, record_for
from countermark.provenance.repository.recovery import recover

SIDE = 512
TRAIN = 50
KEY = b"the key of one studio"


def squares(folders: list[Path], count: int, seed: int) -> list[np.ndarray]:
    """Up to ``count`` square pictures from the folders in turn; uint8, 512 x 512 x 3."""
    queues = [list(iter_image_paths([folder])) for folder in folders]
    for queue in queues:
        rng(seed, "attacks").shuffle(queue)
    found: list[np.ndarray] = []
    while len(found) < count and any(queues):
        for queue in queues:
            if not queue or len(found) >= count:
                continue
            try:
                image = read_image(queue.pop()).pixels
            except CountermarkError:
                continue
            side = min(image.shape[:2])
            if side < 320:
                continue
            top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
            cut = np.ascontiguousarray(image[top : top + side, left : left + side])
            found.append(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return found


def mark_all(pictures: list[np.ndarray], payloads: list[bytes]) -> list[tuple[np.ndarray, np.ndarray, bytes]]:
    """(picture, marked, payload) of those that carry a mark."""
    result = []
    for picture, payload in zip(pictures, payloads, strict=True):
        try:
            result.append((picture, watermark.embed(picture, payload, key=KEY), payload))
        except watermark.WatermarkError:
            continue
    return result


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other) ** 2))))


def shift(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    return np.clip(picture + change + 0.5, 0, 255).astype(np.uint8)


def averaging(pictures: list[np.ndarray], same: bool, seed: int) -> dict[str, object]:
    """Averaging and forging, with one payload for all pictures or one for each."""
    random = rng(seed, "payloads")
    payloads = [b"one for " if same else random.bytes(8) for _ in pictures]
    marked = mark_all(pictures, payloads)
    train, test = marked[:TRAIN], marked[TRAIN:]
    mean = np.zeros((SIDE, SIDE, 3), np.float32)
    for _, picture, _ in train:
        mean += picture - cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 5)
    mean /= len(train)
    removed, forged, quality = 0, 0, []
    for original, picture, payload in test:
        attacked = shift(picture, -mean)
        removed += watermark.read(attacked, key=KEY, time_budget=None).payload != payload
        quality.append(psnr(attacked, picture))
        forged += watermark.read(shift(original, mean), key=KEY, time_budget=None).payload is not None
    return {
        "averaged": len(train),
        "tested": len(test),
        "removed": removed,
        "psnr_to_marked": float(np.mean(quality)),
        "forged": forged,
    }


def copying(pictures: list[np.ndarray], seed: int) -> dict[str, object]:
    """A mark's residual, estimated by denoising, added to another picture; and what recovery says."""
    random = rng(seed, "copies")
    marked = mark_all(pictures, [random.bytes(8) for _ in pictures])
    counts = {"tried": 0, "read": 0, "caught": 0, "named": 0, "originals_recovered": 0}
    with open_repository("sqlite://") as repository:
        for index, (_, picture, payload) in enumerate(marked):
            record = record_for(
                picture,
                manifest_id=f"urn:c2pa:{index}",
                store=b"-",
                sha256=f"{index:064x}",
                payload=payload,
            )
            repository.add(record)
        for index, (_, picture, payload) in enumerate(marked):
            reading = watermark.read(picture, key=KEY, time_budget=None)
            back = recover(picture, repository, reading=reading)
            counts["originals_recovered"] += back is not None and back.record.payload == payload
            smooth = cv2.fastNlMeansDenoisingColored(picture, None, 3, 3, 5, 11)
            residual = 1.5 * (picture.astype(np.float32) - smooth)
            target = shift(marked[(index + 7) % len(marked)][0], residual)
            counts["tried"] += 1
            reading = watermark.read(target, key=KEY, time_budget=None)
            if reading.payload != payload:
                continue
            counts["read"] += 1
            problems: list[Problem] = []
            found = recover(target, repository, reading=reading, problems=problems)
            counts["caught"] += found is None or found.record.payload != payload
            counts["named"] += any(problem.code == "recovery.mark-mismatch" for problem in problems)
    return dict(counts)


def regeneration(pictures: list[np.ndarray], autoencoder: Path, seed: int) -> dict[str, object]:
    """Marked pictures after their reconstruction by an autoencoder."""
    from countermark.detectors.recipes.twins import load_autoencoder

    reconstruct = load_autoencoder(autoencoder)
    random = rng(seed, "regeneration")
    marked = mark_all(pictures, [random.bytes(8) for _ in pictures])
    read, quality = 0, []
    for _, picture, payload in marked:
        again = reconstruct(picture, random)
        read += watermark.read(again, key=KEY, time_budget=None).payload == payload
        quality.append(psnr(again, picture))
    return {"tried": len(marked), "read": read, "psnr_to_marked": float(np.mean(quality))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--autoencoder", type=Path)
    parser.add_argument("--copies", type=int, default=30, help="pictures for copying and regeneration")
    parser.add_argument("--tested", type=int, default=14, help="pictures from which the mean is subtracted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = squares(arguments.folders, TRAIN + arguments.tested, arguments.seed)
    result: dict[str, object] = {
        "averaging, one payload": averaging(pictures, True, arguments.seed),
        "averaging, a payload each": averaging(pictures, False, arguments.seed),
        "copying": copying(pictures[: arguments.copies], arguments.seed),
    }
    if arguments.autoencoder:
        some = pictures[: arguments.copies]
        result["regeneration"] = regeneration(some, arguments.autoencoder, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "watermark-attacks.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
