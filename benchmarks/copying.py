"""The copying rule on images of known origin: real ones must pass, copies must be caught.

    python benchmarks/copying.py --train FOLDER --fresh FOLDER --out docs/copying.md

``--train`` and ``--fresh`` are two disjoint parts of one data set, for instance CIFAR-10's training
and test images. Three draws each of n training and h held-out images stand for a generator's data;
h "generated" images are then real ones from neither part, copies of training images, or a mix.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from countermark.core.features import Extractor, load_extractor
from countermark.generators.data.pictures import DataConfig, load_pictures
from countermark.generators.measuring.copying import copying

SIZES = ((300, 100), (600, 200), (1000, 300), (2000, 500))
DRAWS = 3


def noisy(images: np.ndarray, spread: float) -> np.ndarray:
    """Gaussian noise of ``spread`` grey levels."""
    noise = np.random.default_rng(0).normal(0, spread, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def compressed(images: np.ndarray, quality: int) -> np.ndarray:
    """Each image written as JPEG and read again."""
    written = [cv2.imencode(".jpg", i[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for i in images]
    return np.stack([cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] for data in written])


def shuffled(folder: str, size: int) -> np.ndarray:
    images = load_pictures(folder, size=size, options=DataConfig(holdout=0)).images
    return images[np.random.default_rng(0).permutation(len(images))]


def trial(extract: Extractor, train: np.ndarray, fresh: np.ndarray) -> list[tuple[int, int, str, int, float]]:
    """(n, h, kind, times called copies, mean C_T) for every size that the images allow."""
    some = train[: len(fresh)]
    same, fresh_features = extract(train), extract(fresh)
    mirrored = extract(np.ascontiguousarray(train[:, :, ::-1]))
    altered = {
        "copies": same,
        "mirrored copies": mirrored,
        "copies, JPEG 75": extract(compressed(some, 75)),
        "copies shifted by 1 px": extract(np.roll(some, 1, axis=2)),
        "copies, noise of 3 levels": extract(noisy(some, 3)),
        "copies, noise of 8 levels": extract(noisy(some, 8)),
    }
    found = []
    for n, h in SIZES:
        if n > len(train) or 2 * h > len(fresh):
            continue
        results: dict[str, list[tuple[bool, float]]] = {}
        for draw in range(DRAWS):
            source = np.random.default_rng(draw)
            chosen, order = source.permutation(len(train))[:n], source.permutation(len(fresh))
            held, real = fresh_features[order[:h]], fresh_features[order[h : 2 * h]]
            numbers = np.resize(chosen[chosen < len(some)], h)
            sets = {"held-out real": real}
            sets |= {kind: features[numbers] for kind, features in altered.items()}
            for share, word in ((4, "a quarter"), (2, "half")):
                for kind in ("copies", "mirrored copies", "copies, noise of 3 levels"):
                    part = h // share
                    mixed = np.concatenate([altered[kind][numbers[:part]], real[part:]])
                    sets[f"{word} {kind}"] = mixed
            for kind, features in sets.items():
                report = copying(same[chosen], held, features, mirrored=mirrored[chosen], seed=draw)
                results.setdefault(kind, []).append((report.copies, report.c_t))
        for kind, calls in results.items():
            caught = sum(copies for copies, _ in calls)
            found.append((n, h, kind, caught, float(np.mean([c_t for _, c_t in calls]))))
    return found


def page(found: list[tuple[int, int, str, int, float]], extractor: str, label: str) -> str:
    """The table, sizes side by side."""
    sizes = list(dict.fromkeys((n, h) for n, h, *_ in found))
    kinds = list(dict.fromkeys(kind for _, _, kind, *_ in found))
    cells = {(n, h, kind): f"{caught}/{DRAWS} ({c_t:.1f})" for n, h, kind, caught, c_t in found}
    head = "| images judged | " + " | ".join(f"{n:,} train, {h} held out" for n, h in sizes) + " |"
    rows = [f"| {kind} | " + " | ".join(cells[n, h, kind] for n, h in sizes) + " |" for kind in kinds]
    return (
        f"## {label}, features of {extractor}\n\nDraws called copies, of {DRAWS}, and the mean C_T.\n\n"
        + "\n".join([head, "|---" * (len(sizes) + 1) + "|", *rows])
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--fresh", required=True)
    parser.add_argument("--label", default="")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--extractors", nargs="*", default=["dct", "lite0"])
    parser.add_argument("--most", type=int, default=2000, help="most training images")
    parser.add_argument("--out", type=Path, default=Path("docs/copying.md"))
    options = parser.parse_args()
    train = shuffled(options.train, options.size)[: options.most]
    fresh = shuffled(options.fresh, options.size)[: max(options.most // 2, 200)]
    label = options.label or Path(options.train).name
    title, _, about = (__doc__ or "").partition("\n\n    python")
    parts = [f"# {title.rstrip('.')}", about.partition("\n\n")[2].rstrip().replace("``", "`")]
    for extractor in options.extractors:
        parts.append(page(trial(load_extractor(extractor), train, fresh), extractor, label))
    options.out.write_text("\n\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
