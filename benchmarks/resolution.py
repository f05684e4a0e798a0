"""Enlarging and growing, measured against bicubic; writes two tables.

    PYTHONPATH=tools python benchmarks/resolution.py --data PHOTOS --out docs/benchmark-resolution.md

Photographs (``--data``, none of which the network may have seen): centre crops of 256 px are made
small and enlarged again, by OpenCV's bicubic and by ``superres``. PSNR, and a distance of VGG
features as in LPIPS without its learnt weights (``tools/enlarging_measure.py``).

Growth: a grown generator (``--grown``) beside its own small generator, enlarged by bicubic or by
``superres``. Real pictures are those of the procedural source whose numbers were not trained on. KID in
lite0 features (128 px): of whole pictures made small, and of 128 px squares at full size, which
see the detail. The stage by itself: PSNR and feature distance on real pictures made small.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from enlarging_measure import EnlargingFigures, bicubic_pixels, compare_with_bicubic

from countermark.core.features import Extractor, load_extractor
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, iter_image_paths, read_image
from countermark.core.results import Interval
from countermark.core.seeds import derive
from countermark.generators import LoadedGenerator, load_generator
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.data.textures import EACH, seam_ratio, texture
from countermark.generators.families import FAMILIES
from countermark.generators.measuring.quality import kid
from countermark.generators.style.encoder import load_encoder
from countermark.generators.superres.enlarge import enlarge

CROP = 256


def centre(pixels: Pixels, side: int = CROP) -> Pixels:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def span(interval: Interval, digits: int = 3) -> str:
    return f"{interval.value:+.{digits}f} ({interval.low:+.{digits}f} to {interval.high:+.{digits}f})"


def figures_row(name: str, found: EnlargingFigures) -> str:
    return (
        f"| {name} ({found.count}) | {found.psnr[0]:.2f} → {found.psnr[1]:.2f} | {span(found.gain, 2)} | "
        f"{found.better:.0%} | {found.distance[0]:.3f} → {found.distance[1]:.3f} | {span(found.nearer)} |"
    )


def photographs(data: Path, limit: int) -> list[str]:
    """The table of the super-resolution network."""
    network, encoder = load_generator("superres").network, load_encoder("auto")
    found = (read_image(path).pixels for path in iter_image_paths([data]))
    originals = [centre(pixels) for pixels in found if min(pixels.shape[:2]) >= CROP][:limit]
    lines = [
        f"| images (n) | PSNR, dB | gain (95 %) | gain PSNR | {encoder.name} distance | difference (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for scale in (2, 4):
        for quality in (None, 80):
            figures = compare_with_bicubic(
                originals,
                lambda small, _, scale=scale: enlarge(network, small, scale),  # type: ignore[misc]
                scale,
                encoder,
                quality=quality,
            )
            name = f"x{scale}" + ("" if quality is None else f", JPEG {quality}")
            lines.append(figures_row(name, figures))
            print(lines[-1], flush=True)
    return lines


def unseen(classes: tuple[str, ...], each: int, size: int, first: int) -> np.ndarray:
    """Procedural pictures with numbers that no training has used; uint8 [N, size, size, 3]."""
    numbers = range(EACH + first, EACH + first + each)
    return np.stack([texture(c, derive(0, n), size) for c in classes for n in numbers])


def squares(images: np.ndarray) -> np.ndarray:
    """The four 128 px quarters of 256 px pictures."""
    return np.concatenate([images[:, t : t + 128, s : s + 128] for t in (0, 128) for s in (0, 128)])


def growth(grown: LoadedGenerator, each: int, extractor: Extractor) -> list[str]:
    """The table of the grown generator."""
    config = FAMILIES.get("grown").parse(grown.card.config)
    factor = int(grown.card.config["factor"])
    base = replace(
        grown,
        network=grown.network.base,  # type: ignore[arg-type]
        card=grown.card.model_copy(update={"config": config.base_config().model_dump()}),  # type: ignore[attr-defined]
    )
    first = 10_000_000
    small, large, seconds = [], [], 0.0
    for index, name in enumerate(grown.classes):
        small.append(base.sample(each, seed=first + index * each, condition=name))
        began = time.process_time()
        large.append(grown.sample(each, seed=first + index * each, condition=name))
        seconds += time.process_time() - began
    low, made = np.concatenate(small), np.concatenate(large)
    network = load_generator("superres").network
    sets = {
        f"{grown.name}": made,
        "small generator, bicubic": np.stack([bicubic_pixels(i, factor) for i in low]),
        "small generator, superres": np.stack([enlarge(network, i, factor) for i in low]),
        "other real pictures": unseen(grown.classes, each, grown.size, each),
    }
    real = unseen(grown.classes, each, grown.size, 0)
    whole, parts = extractor(real), extractor(squares(real))
    lines = [
        f"| {len(made)} pictures of {grown.size} px | KID, whole | KID, 128 px squares | seam ratio |",
        "|---|---|---|---|",
    ]
    for name, images in sets.items():
        pair = kid(whole, extractor(images)), kid(parts, extractor(squares(images)))
        seams = float(seam_ratio(images).mean())
        cells = " | ".join(f"{k.value:.3f} ({k.low:.3f}–{k.high:.3f})" for k in pair)
        lines.append(f"| {name} | {cells} | {seams:.2f} |")
        print(lines[-1], flush=True)
    lines.append(f"\nOne picture takes {1000 * seconds / len(made):.0f} CPU milliseconds (one thread).\n")

    @torch.no_grad()
    def stage(pixels: Pixels, number: int) -> Pixels:
        label = torch.tensor([number * 2 // each])
        return to_pixels(grown.network.stage(to_tensor(pixels[None]), label))[0]  # type: ignore[operator]

    encoder = load_encoder("auto")
    found = compare_with_bicubic(list(real[::2]), stage, factor, encoder)
    lines += [
        f"| real, made small (n) | PSNR, dB | gain (95 %) | gain PSNR | {encoder.name} distance | "
        "difference (95 %) |",
        "|---|---|---|---|---|---|",
        figures_row(f"x{factor}", found),
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="Photographs; without them only growth is measured.")
    parser.add_argument("--grown", default="", help="Grown generator, if any: its weights.")
    parser.add_argument("--each", type=int, default=24, help="Pictures of each class, even.")
    parser.add_argument("--limit", type=int, default=24, help="Photographs at most.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    lines: list[str] = []
    if options.grown:
        lines += [
            "## Growth",
            "",
            *growth(load_generator(options.grown), options.each, load_extractor("lite0")),
        ]
        lines.append("")
    if options.data is not None:
        lines += ["## Super-resolution", "", *photographs(options.data, options.limit)]
    atomic_write(options.out, "\n".join(lines) + "\n", overwrite=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
