"""Style transfer in one pass beside optimisation: distances, seconds and seams.

    PYTHONPATH=tools python benchmarks/style.py --content PHOTOS --styles PAINTINGS --out TABLE.md

Pairs every content with every style (at most ``--pairs``, taken evenly), both shrunk to ``--side``.
The optimisation (Gatys et al. 2016) runs at several style weights, so that its style distance can be
read at the content distance that the network arrives at: a method that keeps less of the content
comes nearer to any style. The style is also judged in features that neither method has seen (random
filters at four scales). Times are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from style_measure import at_content, content_distance, moments_distance

from countermark.core.files import atomic_write
from countermark.core.images import Pixels, iter_image_paths, read_image
from countermark.generators import load_generator
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.style.adain import adapt, measure
from countermark.generators.style.encoder import Encoder, load_encoder
from countermark.generators.style.feedforward import ForwardSettings, stylise_forward
from countermark.generators.style.gatys import StyleSettings, style_distance, stylise
from countermark.generators.style.generator import ForwardStyle
from countermark.generators.style.tiles import fit_within

WEIGHTS = (0.2, 1.0, 5.0, 25.0)
COLUMNS = ("content", "gram", "moments", "unseen", "seconds")


def folder(path: Path, side: int) -> list[Pixels]:
    """All readable pictures, shrunk to a longest side."""
    return [fit_within(read_image(found).pixels, side) for found in iter_image_paths([path])]


def colours_only(content: Pixels, style: Pixels) -> Pixels:
    """Every channel of the picture with the style's mean and deviation: what needs no network."""
    x, y = (to_tensor(p[None]) for p in (content, style))
    return to_pixels(adapt([x], measure([x]), measure([y]))[0])[0]


def row(made: Pixels, pair: tuple[Pixels, Pixels], encoders: tuple[Encoder, Encoder], seconds: float) -> list:
    vgg, unseen = encoders
    content, style = pair
    return [
        content_distance(made, content, vgg),
        style_distance(made, style, vgg),
        moments_distance(made, style, vgg),
        style_distance(made, style, unseen),
        seconds,
    ]


def compare(
    model: ForwardStyle, pairs: list[tuple[Pixels, Pixels]], encoders: tuple[Encoder, Encoder], steps: int
) -> tuple[dict[str, list[list[float]]], list[dict[str, float]]]:
    """Figures of every method on every pair; and both methods' style distances at equal content."""
    rows: dict[str, list[list[float]]] = {}
    equal = []
    for number, pair in enumerate(pairs):
        content, style = pair
        rows.setdefault("content as it is", []).append(row(content, pair, encoders, 0.0))
        began = time.process_time()
        made = colours_only(content, style)
        rows.setdefault("colours only", []).append(row(made, pair, encoders, time.process_time() - began))
        for alpha in (0.5, 1.0):
            began = time.process_time()
            made = stylise_forward(
                model.network,  # type: ignore[arg-type]
                model.encoder,  # type: ignore[arg-type]
                content,
                [style],
                ForwardSettings(alpha=alpha),
            )
            found = row(made, pair, encoders, time.process_time() - began)
            rows.setdefault(f"one pass, alpha {alpha:g}", []).append(found)
        curve = []
        for weight in WEIGHTS:
            began = time.process_time()
            settings = StyleSettings(steps=steps, style_weight=weight)
            made = stylise(content, style, encoder=encoders[0], settings=settings)
            other = row(made, pair, encoders, time.process_time() - began)
            rows.setdefault(f"optimised, weight {weight:g}", []).append(other)
            curve.append(other)
        read = {
            name: at_content([(c[0], c[i]) for c in curve], found[0])
            for i, name in ((1, "gram"), (3, "unseen"))
        }
        if read["gram"] is not None and read["unseen"] is not None:
            equal.append(
                {"gram": found[1], "gram_optimised": read["gram"], "unseen": found[3]}
                | {"unseen_optimised": read["unseen"]}
            )
        print(json.dumps({"pair": number, "equal": equal[-1:]}), flush=True)
    return rows, equal


def speed_and_seams(model: ForwardStyle, content: Pixels, style: Pixels) -> dict[str, float]:
    """CPU milliseconds per megapixel at 1 MP, and the largest and mean difference that tiling makes."""
    large = cv2.resize(content, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    began = time.process_time()
    model.sample(1, condition=large, style=style)
    elapsed = (time.process_time() - began) / (1024**2 / 1e6)
    middle = cv2.resize(content, (720, 520), interpolation=cv2.INTER_CUBIC)
    whole = model.sample(1, condition=middle, style=style, tile=2048)[0].astype(int)
    tiled = np.abs(model.sample(1, condition=middle, style=style, tile=128)[0] - whole)
    alone = np.zeros_like(whole)
    for top in range(0, 520, 130):
        for left in range(0, 720, 180):
            part = np.ascontiguousarray(middle[top : top + 130, left : left + 180])
            alone[top : top + 130, left : left + 180] = model.sample(1, condition=part, style=style)[0]
    return {
        "ms_per_megapixel": elapsed * 1000,
        "tiled_max": float(tiled.max()),
        "tiled_mean": float(tiled.mean()),
        "tiles_by_themselves_max": float(np.abs(alone - whole).max()),
        "tiles_by_themselves_mean": float(np.abs(alone - whole).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--content", type=Path, required=True)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--model", default="style-adain")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_generator(options.model)
    assert isinstance(model, ForwardStyle)
    contents, styles = folder(options.content, options.side), folder(options.styles, options.side)
    every = [(c, s) for c in contents for s in styles]
    picks = np.unique(np.linspace(0, len(every) - 1, min(options.pairs, len(every))).round().astype(int))
    encoders = (load_encoder("vgg"), load_encoder("filters"))
    rows, equal = compare(model, [every[i] for i in picks], encoders, options.steps)
    figures = speed_and_seams(model, contents[0], styles[0])
    lines = [
        f"{len(picks)} pairs of {len(contents)} photographs and {len(styles)} paintings, longest side "
        f"{options.side} px, {options.steps} steps of the optimisation. Means over pairs; lower is nearer.",
        "",
        "| method | content | style: Gram | style: moments | style: unseen features | CPU s a picture |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in rows.items():
        mean = dict(zip(COLUMNS, np.mean(values, axis=0), strict=True))
        cells = " | ".join(f"{mean[c]:.3f}" for c in COLUMNS[:-1])
        lines.append(f"| {name} | {cells} | {mean['seconds']:.2f} |")
    lines.append("")
    if equal:
        mean = {key: float(np.mean([e[key] for e in equal])) for key in equal[0]}
        wins = {k: float(np.mean([e[k] < e[f"{k}_optimised"] for e in equal])) for k in ("gram", "unseen")}
        lines += [
            f"At equal content ({len(equal)} pairs where the optimisation's weights span the network's "
            f"content distance): Gram distance {mean['gram']:.3f} in one pass, {mean['gram_optimised']:.3f} "
            f"optimised (one pass nearer in {wins['gram']:.0%}); in unseen features {mean['unseen']:.3f} and "
            f"{mean['unseen_optimised']:.3f} ({wins['unseen']:.0%}).",
            "",
        ]
    lines.append(
        f"One pass takes {figures['ms_per_megapixel']:,.0f} CPU milliseconds a megapixel (one thread, "
        f"float32). Tiles of 128 px differ from the untiled picture by {figures['tiled_max']:.0f} of 255 at "
        f"most; tiles made each by itself by {figures['tiles_by_themselves_mean']:.1f} on average and "
        f"{figures['tiles_by_themselves_max']:.0f} at most."
    )
    atomic_write(options.out, "\n".join(lines) + "\n", overwrite=True)
    print("\n".join(lines))
    print(json.dumps({"rows": {k: np.mean(v, axis=0).round(4).tolist() for k, v in rows.items()}, **figures}))


if __name__ == "__main__":
    main()
