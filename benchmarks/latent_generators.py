"""Latent generators beside pixel ones on the same held-out pictures; writes ``docs/benchmark-latent.md``.

    PYTHONPATH=tools python benchmarks/latent_generators.py --data FLOWERS --generators flowers-128 flowers-64

Every generator makes as many pictures as are held out of its training, or ``--count``; those that are
smaller than ``--size`` are enlarged (bicubic), as whoever uses them would. All generators must have been
trained on DATA with the same seed and share held out, as their cards say; the held-out pictures are read at
``--size``.
Two extractors: Lite0, whose features the projected critic is trained on, and the CLIP tower of the
detectors (``tools/tower_extractor.py``), which no generator has seen. The tower sees above all whether a
picture has been a JPEG file, so that both sides are compared saved alike (``--jpeg``) as well as they are.
Detail: how far the power spectrum is from that of the held-out photographs, up to half of Nyquist
(``tools/spectra.py``).
Speed: pictures a second on ``--threads`` threads, 64 of them. A generator that is not shipped any more is
given by the path of its weights.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from alike import enlarged, resaved, saved_pictures
from spectra import Band, spectrum_gap
from tower_extractor import tower_extractor

from countermark.core.errors import ConfigError
from countermark.core.features import load_extractor
from countermark.core.files import atomic_write
from countermark.generators import LoadedGenerator, load_generator
from countermark.generators.data.pictures import load_pictures
from countermark.generators.measuring.evaluation import GeneratorReport, card_options, evaluate_images

SEED = 1_000_000


def speed(loaded: LoadedGenerator, threads: int, count: int = 64) -> float:
    """Pictures a second, after one batch that does not count."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    loaded.sample(16)
    begun = time.perf_counter()
    loaded.sample(count)
    seconds = time.perf_counter() - begun
    torch.set_num_threads(before)
    return count / seconds


def measure(name: str, data: str, size: int, threads: int, count: int, jpeg: int) -> dict[str, Any]:
    """Figures of one generator in both extractors."""
    loaded = load_generator(name)
    options = card_options(loaded.card)
    pictures = load_pictures(data, size=size, options=options, seed=int(loaded.card.trained.get("seed", 0)))
    if loaded.size > size:
        raise ConfigError(f"{loaded.name} is larger than {size} px.")
    images = enlarged(loaded.sample(min(count, len(pictures.heldout)), seed=SEED), size)
    # The tower is slow: it looks for copies among few training pictures, which is not reported.
    reports = []
    for extractor, most, quality in (
        (tower_extractor(), 60, 0),
        (tower_extractor(), 60, jpeg),
        (load_extractor("lite0"), 1000, jpeg),
    ):
        seen = saved_pictures(pictures, quality)
        report = evaluate_images(
            resaved(images, quality), seen, extractor=extractor, name=loaded.name, seed=0, max_train=most
        )
        saved = f"both saved as JPEG of quality {quality}" if quality else "as they are"
        reports.append(replace(report, extractor=f"{report.extractor}, {saved}"))
    return {
        "name": loaded.name,
        "family": loaded.card.family,
        "px": loaded.size,
        "minutes": loaded.card.trained.get("minutes"),
        "cpu_minutes": loaded.card.trained.get("cpu_minutes", loaded.card.trained.get("minutes")),
        "images_seen": loaded.card.trained.get("images_seen"),
        "speed": round(speed(loaded, threads), 1),
        "reports": [report.as_dict() for report in reports],
        "extractors": [report.extractor for report in reports],
        "heldout": len(images),
        "spectrum": _levels(spectrum_gap(images, pictures.heldout)),
        "row": [_cells(report, copies=report is reports[-1]) for report in reports],
    }


def _levels(bands: list[Band]) -> str:
    most = max(bands, key=lambda band: abs(band.decibels)).decibels
    return " | ".join(f"{each:+.1f}" for each in (*(band.decibels for band in bands), most))


def _cells(report: GeneratorReport, *, copies: bool) -> str:
    kid, recall = report.kid, report.recall
    known = report.copying if copies else None
    copied = "-" if known is None else f"{known.c_t:.1f}"
    near = "-" if known is None else f"{known.near_duplicates:.3f}"
    return (
        f"{kid.value:.3f} ({kid.low:.3f}–{kid.high:.3f}) | {report.frechet:.1f} | "
        f"{report.precision.value:.2f} | {recall.value:.3f} ({recall.low:.3f}–{recall.high:.3f}) | "
        f"{report.density:.2f} | {report.coverage:.2f} | {copied} | {near}"
    )


def table(results: list[dict[str, Any]], label: str, size: int, threads: int) -> str:
    """The page."""
    lines = [
        "# Latent and pixel generators side by side\n",
        f"{label} at {size} px: {results[0]['heldout']} generated against as many held-out pictures, seed "
        f"{SEED} on; smaller pictures enlarged by bicubic. KID: lower is closer; intervals hold the "
        "middle 95 % of random halves. Minutes as on the cards. Nothing here can be compared with "
        "published figures in Inception features.",
    ]
    for number, extractor in enumerate(results[0]["extractors"]):
        lines += [
            f"\n## In the features of {extractor}\n",
            "| generator | family | px | KID | Fréchet | precision | recall | density | coverage | C_T "
            "| near-duplicates | minutes | images seen |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in results:
            lines.append(
                f"| {r['name']} | {r['family']} | {r['px']} | {r['row'][number]} | {r['minutes']} "
                f"| {r['images_seen']:,} |"
            )
    ends = " | ".join(f"to {(number + 1) / 32:.3f}" for number in range(8))
    lines += [
        "\n## Power spectrum, decibels over that of the held-out photographs\n",
        "Of the grey picture, in rings of frequencies, cycles a pixel (.25: half of Nyquist).\n",
        f"| generator | {ends} | furthest |",
        "|---" * 10 + "|",
        *(f"| {r['name']} | {r['spectrum']} |" for r in results),
    ]
    lines += [f"\n## Pictures a second, {threads} threads\n", "| generator | pictures/s |", "|---|---|"]
    lines += [f"| {r['name']} | {r['speed']} |" for r in results]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--label", default="")
    parser.add_argument("--generators", nargs="+", required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=400, help="most pictures of each kind")
    parser.add_argument("--jpeg", type=int, default=85, help="quality at which both sides are saved")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/latent-generators"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmark-latent.md"))
    options = parser.parse_args()
    results = []
    for name in options.generators:
        found = measure(name, options.data, options.size, options.threads, options.count, options.jpeg)
        atomic_write(
            options.work / f"{found['name']}.json", json.dumps(found, default=str, indent=1), overwrite=True
        )
        results.append(found)
    label = options.label or Path(options.data).name
    atomic_write(options.out, table(results, label, options.size, options.threads), overwrite=True)


if __name__ == "__main__":
    main()
