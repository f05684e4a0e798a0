"""Is a part of this picture exchanged, and where? Ours beside error levels, noise residuals and a heatmap.

    PYTHONPATH=tools python -m benchmarks.regions CORPUS --cuttings FOLDER --edits FOLDER --pieces FOLDER \
        --out docs/benchmark-regions.md

``CUTTINGS`` is what ``region_training.pairs --part test --one`` made, ``EDITS`` what
``region_training.edits`` laid out, ``PIECES`` generated pictures. Nothing in them was trained or tuned on.
Every edited picture stands beside its untouched original under three deliveries; false alarms are counted
on the upper left 1024 x 1024 pixels of photographs.

For every method: AUROC of the picture's score, mean AUROC of a picture's pixels, both with 95 % intervals
that resample whole sources. For ours also F1 at the shipped thresholds: a picture below them has an empty
mask.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from region_training.cases import Case, found_cases, made_cases
from region_training.pairs import chosen
from region_training.train import load_pieces

from countermark.core.corpus import read_corpus
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import bootstrap, proportion
from countermark.core.perturb import perturb
from countermark.core.stats import auroc, weighted_auroc, weighted_mean
from countermark.detectors.regions.finder import load_finder

DELIVERIES = {"native": "none", "q90": "jpeg:90", "q75": "jpeg:75"}
BLOCK = 16
#: A part of more than this share is the picture, and what is left of it the part.
LARGEST = 0.5
#: Untouched photographs are cut to this side: their upper left, on the grid of their JPEG.
LONGEST = 1024
#: Figures by key, and what the table calls them.
SHOWN = {
    "pictures": "AUROC pictures",
    "auc": "AUROC pixels",
    "f1": "F1",
    "found": "found",
    "false alarms": "false alarms",
}

#: A method's score of a picture and its map, any size; higher is more suspect.
Method = Callable[[Pixels], tuple[float, np.ndarray, np.ndarray | None]]


def error_levels(picture: Pixels) -> tuple[float, np.ndarray, None]:
    """What saving once more as JPEG 90 changes, in blocks of 16 pixels."""
    gap = np.abs(picture.astype(np.float32) - perturb("jpeg:90", picture)).mean(axis=2)
    return _summary(_blocks(gap))


def noise_residuals(picture: Pixels) -> tuple[float, np.ndarray, None]:
    """Distance of a block's high-pass statistics from the picture's own, after texture is taken out.

    Statistics per block: spread of the residual of three high-pass filters and its tails; each is predicted
    from the block's brightness and gradient by a quadratic fit over the picture, and what is left is scaled
    robustly. It is what Noiseprint does without a trained network.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    kernels = ([[1, -2, 1]], [[1], [-2], [1]], [[-1, 2, -1], [2, -4, 2], [-1, 2, -1]])
    columns = []
    for kernel in kernels:
        residual = np.abs(cv2.filter2D(luma, -1, np.array(kernel, np.float32)))
        spread = _blocks(np.minimum(residual, 16))
        columns += [np.log(spread + 0.1), _blocks(residual < 0.75)]
    level = _blocks(luma) / 255
    edges = np.log1p(
        _blocks(np.abs(cv2.Sobel(luma, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1)))
    )
    basis = np.stack([np.ones_like(level), level, level**2, edges, edges**2, level * edges], axis=-1)
    basis = basis.reshape(-1, 6)
    total = np.zeros(level.size)
    for column in columns:
        values = column.ravel()
        left = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
        total += np.minimum(np.abs(left) / (1.4826 * np.median(np.abs(left)) + 1e-3), 8)
    return _summary(cv2.blur(total.reshape(level.shape).astype(np.float32), (3, 3)))


def heatmap(detector: object, picture: Pixels) -> tuple[float, np.ndarray, None]:
    """The whole-picture detector's score, and its heatmap."""
    score = float(detector.score([picture])[0])  # type: ignore[attr-defined]
    return score, detector.heatmap(picture), None  # type: ignore[attr-defined]


def ours(picture: Pixels) -> tuple[float, np.ndarray, np.ndarray | None]:
    found = load_finder().find(picture)
    if found is None:
        return 0.0, np.zeros((1, 1), np.float32), None
    return found.score, found.field, found.mask


def _blocks(values: np.ndarray) -> np.ndarray:
    high, wide = (max(1, n // BLOCK) for n in values.shape)
    return cv2.resize(values.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA)


def _summary(field: np.ndarray) -> tuple[float, np.ndarray, None]:
    values = np.sort(field.ravel())[::-1]
    top = values[: max(3, len(values) // 50)].mean()
    return float((top - np.median(values)) / (values.std() + 1e-3)), field, None


def pixel_auc(field: np.ndarray, mask: np.ndarray) -> float:
    """AUROC of the map stretched over the mask, on every fourth pixel."""
    grown = cv2.resize(field.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return auroc(mask[::4, ::4].ravel().astype(int), grown[::4, ::4].ravel())


def f1(found: np.ndarray, mask: np.ndarray) -> float:
    grown = cv2.resize(found.astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    both = float((grown & mask).sum())
    return 2 * both / max(1.0, float(grown.sum() + mask.sum()))


def measured(method: Method, cases: Iterable[Case], kept: Path | None = None) -> list[dict]:
    """One row a picture and delivery, edited and untouched.

    ``kept``: rows go there as they come, a line each; those of an earlier run are not measured again.
    """
    earlier: dict[str, list[dict]] = {}
    if kept is not None and kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            earlier.setdefault(json.loads(line)["case"], []).append(json.loads(line))
    rows: list[dict] = []
    known: dict[tuple[int, str], tuple] = {}
    for number, case in enumerate(cases):
        place = f"{case.group}/{case.name}"
        if place in earlier:
            rows += earlier[place]
            continue
        first = len(rows)
        for delivery, spec in DELIVERIES.items():
            base = {"group": case.group, "name": case.name, "source": case.source, "delivery": delivery}
            if case.edited is not None and case.mask is not None:
                score, field, mask = method(perturb(spec, case.edited))
                small = 0 < case.mask.mean() <= LARGEST
                row = {**base, "label": 1, "score": score, "area": float(case.mask.mean())}
                row["auc"] = pixel_auc(field, case.mask) if small else None
                row["f1"] = f1(mask, case.mask) if small and mask is not None else None
                row["found"] = bool(mask.any()) if mask is not None else None
                rows.append(row)
            if case.original is not None:
                key = (id(case.original), delivery)  # two cases may share one original
                if key not in known:
                    known[key] = method(perturb(spec, case.original))
                score, _, mask = known[key]
                found = bool(mask.any()) if mask is not None else None
                rows.append({**base, "label": 0, "score": score, "found": found})
        if kept is not None:
            with open(kept, "a", encoding="utf-8") as stream:
                stream.writelines(json.dumps({**row, "case": place}) + "\n" for row in rows[first:])
        if number % 25 == 24:
            print(number + 1, "cases", flush=True)
    return rows


def figures(rows: list[dict]) -> dict[str, str]:
    """AUROC of pictures and of pixels, F1 and shares found, with intervals."""
    labels = np.array([row["label"] for row in rows])
    scores = np.array([row["score"] for row in rows])
    sources = np.array([row["source"] for row in rows])
    found: dict[str, str] = {}
    if 0 < labels.sum() < len(labels):
        interval = bootstrap(partial(weighted_auroc, labels, scores), labels, sources, bounds=(0, 1))
        found["pictures"] = _shown(interval)
    for key in ("auc", "f1"):
        values = np.array([row[key] for row in rows if row.get(key) is not None], float)
        kept = np.array([row["source"] for row in rows if row.get(key) is not None])
        if len(values):
            interval = bootstrap(partial(weighted_mean, values), np.ones(len(values)), kept, bounds=(0, 1))
            found[key] = _shown(interval)
    for label, key in ((1, "found"), (0, "false alarms")):
        mine = [row for row in rows if row["label"] == label and row["found"] is not None]
        if mine:
            events = np.array([row["found"] for row in mine])
            found[key] = _shown(proportion(events, [row["source"] for row in mine]).interval)
    found["count"] = f"{int(labels.sum())}/{int((labels == 0).sum())}"
    return found


def _shown(interval: object) -> str:
    value, low, high = interval.value, interval.low, interval.high  # type: ignore[attr-defined]
    return f"{value:.3f} ({low:.2f}–{high:.2f})"


def untouched(corpus: Path, each: int) -> Iterator[Case]:
    """Whole photographs of the test sources, as cases without an edit; the first ``each`` of every source."""
    for row in chosen(list(read_corpus(corpus).rows), "test", each):
        pixels = read_image(corpus / row.file_name).pixels[:LONGEST, :LONGEST]
        yield Case("untouched", row.file_name, row.source, None, np.ascontiguousarray(pixels), None)


def table(rows_by_method: dict[str, list[dict]]) -> str:
    """Everything as Markdown."""
    names = ("set", "delivery", "method", "edited/untouched", *SHOWN.values())
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    groups = list(dict.fromkeys(row["group"] for rows in rows_by_method.values() for row in rows))
    for group in groups:
        for delivery in DELIVERIES:
            for method, rows in rows_by_method.items():
                mine = [r for r in rows if r["group"] == group and r["delivery"] == delivery]
                if not mine:
                    continue
                f = figures(mine)
                cells = [f["count"], *(f.get(key, "") for key in SHOWN)]
                lines.append(f"| {group} | {delivery} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--cuttings", type=Path, required=True)
    parser.add_argument("--edits", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, required=True)
    parser.add_argument("--photographs", type=int, default=25, help="Untouched ones of each source.")
    parser.add_argument("--one-of", type=int, default=1, help="Made cases: one of so many.")
    parser.add_argument("--heatmaps", type=int, default=12, help="Made cases that the heatmap is asked for.")
    parser.add_argument("--rows", type=Path, help="Folder for rows; an interrupted run is taken up again.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pieces = load_pieces(options.pieces, apart=True)
    made = list(made_cases(options.cuttings, pieces))[:: options.one_of]
    others = [
        c
        for c in found_cases(options.edits)
        if max((c.original if c.edited is None else c.edited).shape) <= 2200
    ]
    if options.rows is not None:
        options.rows.mkdir(parents=True, exist_ok=True)
    own = {case.group for case in made}
    methods: dict[str, Method] = {
        "ours": ours,
        "error levels": error_levels,
        "noise residuals": noise_residuals,
    }
    if options.heatmaps:
        from countermark.detectors import load_detector

        methods["default's heatmap"] = partial(heatmap, load_detector())
    rows: dict[str, list[dict]] = {}
    for name, method in methods.items():
        cases = made[:: max(1, len(made) // options.heatmaps)] if "heatmap" in name else made
        kept = None if options.rows is None else options.rows / f"{name.replace(' ', '-')}.jsonl"
        found = measured(method, cases, kept)
        if name == "ours":
            found += measured(method, list(untouched(options.corpus, options.photographs)), kept)
        if "heatmap" not in name:
            found += measured(method, others, kept)
        rows[name] = [*({**row, "group": "all made"} for row in found if row["group"] in own), *found]
        options.out.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
