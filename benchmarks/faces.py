"""Was this face put in? The face expert on swaps of tools and repositories that it has not met.

    PYTHONPATH=tools python -m benchmarks.faces MIRRORS PORTRAITS --out docs/benchmark-faces.md

MIRRORS holds bare clones (OWNER+NAME) of the repositories that ``faces.tsv`` names by blob; PORTRAITS is
what ``face_training.portraits`` made, of which only the sources kept apart for figures are used. Clips need
the extra ``video``. Faces are found once, in the picture as it came; all are scored as they came and as
JPEG 75, retouched ones as they came. Besides the expert: the whole-picture detector (on every so many), and
error levels (what saving as JPEG 90 changes inside the face, against around it).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from face_training.blending import Portrait, retouched
from face_training.portraits import cut_out, read_rows
from PIL import Image

from countermark.core.errors import CountermarkError
from countermark.core.files import atomic_write
from countermark.core.images import Pixels, read_image
from countermark.core.intervals import Interval, bootstrap, proportion
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.core.stats import weighted_auroc
from countermark.core.weights import read_card, write_card
from countermark.detectors import load_detector
from countermark.detectors.faces.expert import WEIGHTS, load_expert
from countermark.detectors.faces.find import find_faces
from countermark.detectors.recipes.corpora import _blobs, _git_dir

LIST = Path(__file__).with_suffix(".tsv")
DELIVERIES = {"native": "none", "q75": "jpeg:75"}
METHODS = ("expert", "error levels", "whole picture")
SMALLEST = 56


@dataclass(frozen=True)
class Listed:
    """A picture or clip of a public repository.

    Attributes:
        label: ``real``, ``swap`` or ``reenacted``.
        source: Short name of where it comes from; the real ones of a source are its swaps' targets.
        tool: What made it.
        clip: Pictures of one clip or person count as one.
        frames: So many, evenly spaced.
        panel: ``2/4``: only the second of four panels side by side.
        faces: ``1`` (the largest) or ``all``.
    """

    label: str
    source: str
    tool: str
    clip: str
    repo: str
    path: str
    blob: str
    frames: int
    panel: str
    faces: str


def read_list(path: Path = LIST) -> list[Listed]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Listed(**{**row, "frames": int(row["frames"])}) for row in rows]


def pictures(data: bytes, row: Listed) -> Iterator[Pixels]:
    """The frames of a blob: of a clip by PyAV, of an animation by Pillow, or the one picture."""
    if row.path.endswith(".mp4"):
        import av

        with av.open(io.BytesIO(data), format="mp4") as clip:
            total = clip.streams.video[0].frames
            wanted = set(np.linspace(2, total - 3, row.frames).astype(int).tolist())
            for number, frame in enumerate(clip.decode(video=0)):
                if number in wanted:
                    yield frame.to_ndarray(format="rgb24")
        return
    if row.frames > 1:
        with Image.open(io.BytesIO(data)) as animation:
            count = getattr(animation, "n_frames", 1)
            for number in np.linspace(0, count - 1, min(count, row.frames)).astype(int):
                animation.seek(int(number))
                yield np.array(animation.convert("RGB"))
        return
    pixels = read_image(data).pixels
    if row.panel:
        place, count = map(int, row.panel.split("/"))
        wide = pixels.shape[1] // count
        pixels = np.ascontiguousarray(pixels[:, (place - 1) * wide : place * wide])
    yield pixels


def thinned(rows: Sequence[Listed], most: int) -> list[Listed]:
    """At most ``most`` single pictures of a source and label, evenly spaced; clips stay."""
    found: list[Listed] = []
    for key in dict.fromkeys((row.source, row.label) for row in rows):
        mine = [row for row in rows if (row.source, row.label) == key]
        single = [row for row in mine if row.frames == 1]
        if len(single) > most:
            single = [single[int(n)] for n in np.linspace(0, len(single) - 1, most)]
        found += [row for row in mine if row.frames > 1] + single
    return found


def listed_faces(mirrors: Path, most: int) -> Iterator[tuple[dict, Pixels, Portrait]]:
    """Every face of the list: what is known of it, its whole picture, and its portrait."""
    rows = thinned(read_list(), most)
    for repo in dict.fromkeys(row.repo for row in rows):
        git = _git_dir(mirrors, repo)
        mine = [row for row in rows if row.repo == repo]
        if git is None:
            print(f"{repo} is not among the mirrors")
            continue
        for row, data in zip(mine, _blobs(git, [row.blob for row in mine]), strict=True):
            if data is None:
                print(f"{row.repo} lacks {row.path}")
                continue
            known = {"label": row.label, "source": row.source, "tool": row.tool, "clip": row.clip}
            try:
                frames = list(pictures(data, row))
            except CountermarkError as error:
                print(f"{row.repo}, {row.path}: {error.message}")
                continue
            for pixels in frames:
                faces = find_faces(pixels, smallest=SMALLEST)
                for face in faces if row.faces == "all" else faces[:1]:
                    yield known, pixels, cut_out(pixels, face)


def portrait_faces(folder: Path) -> Iterator[tuple[dict, Pixels, Portrait]]:
    """Portraits of sources kept apart, and each retouched."""
    for row in read_rows(folder):
        if row.part != "test":
            continue
        portrait = row.load(folder)
        known = {"source": row.source, "tool": "", "clip": row.picture}
        yield known | {"label": "portrait"}, portrait.pixels, portrait
        touched = retouched(portrait, rng(11, "retouched", row.file))
        yield known | {"label": "retouched"}, touched, Portrait(touched, portrait.face)


def error_levels(portrait: Portrait) -> float:
    """How much more saving as JPEG 90 changes inside of the face's box than around it, as a log ratio."""
    gap = np.abs(portrait.pixels.astype(np.float32) - perturb("jpeg:90", portrait.pixels)).mean(axis=2)
    x, y, wide, high = (round(number) for number in portrait.face.box)
    inside = np.zeros(gap.shape, bool)
    inside[max(0, y) : max(0, y + high), max(0, x) : max(0, x + wide)] = True
    if inside.all() or not inside.any():
        return 0.0
    return float(abs(np.log((gap[inside].mean() + 0.1) / (gap[~inside].mean() + 0.1))))


def measured(faces: Iterator[tuple[dict, Pixels, Portrait]], whole: int) -> list[dict]:
    """One row a face and delivery; of every ``whole``th the whole-picture detector is asked too (0: none)."""
    expert, detector = load_expert(), load_detector() if whole else None
    rows = []
    for number, (known, picture, portrait) in enumerate(faces):
        for delivery, spec in DELIVERIES.items():
            if known["label"] == "retouched" and delivery != "native":
                continue
            given = perturb(spec, portrait.pixels)
            row = {**known, "delivery": delivery, "width": portrait.face.box[2]}
            score = float(expert.scores(given, [portrait.face])[0])
            if np.isfinite(score):
                row["expert"] = score
            row["error levels"] = error_levels(Portrait(given, portrait.face))
            if detector is not None and delivery == "native" and number % whole == 0:
                row["whole picture"] = float(detector.score([picture])[0])
            rows.append(row)
        if number % 50 == 49:
            print(number + 1, flush=True)
    return rows


def area(swaps: Sequence[dict], reals: Sequence[dict], method: str) -> Interval | None:
    """AUROC with a bootstrap over clips (of portraits: sources); None without both classes."""
    kept = [row for row in (*swaps, *reals) if method in row]
    labels = np.array([row["label"] in ("swap", "reenacted") for row in kept], int)
    if not 0 < labels.sum() < len(labels):
        return None
    scores = np.array([row[method] for row in kept])
    clusters = [group(row) for row in kept]
    return bootstrap(partial(weighted_auroc, labels, scores), labels, clusters, bounds=(0, 1))


def balanced_area(swaps: Sequence[dict], reals: Sequence[dict], method: str) -> float:
    """Mean over the swaps' sources of their AUROC against all ``reals``: every source counts alike."""
    found = []
    for source in sorted({row["source"] for row in swaps}):
        mine = [row for row in swaps if row["source"] == source]
        interval = area(mine, reals, method)
        if interval is not None:
            found.append(interval.value)
    return float(np.mean(found)) if found else float("nan")


def group(row: dict) -> str:
    return row["source"] if row["label"] in ("portrait", "retouched") else f"{row['source']}/{row['clip']}"


def share(rows: Sequence[dict], threshold: float) -> Interval:
    """Of faces at or above the threshold."""
    events = np.array([row.get("expert", 0.0) >= threshold for row in rows])
    return proportion(events, [group(row) for row in rows]).interval


def shown(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.value:.3f} ({interval.low:.2f}–{interval.high:.2f})"


def tables(rows: list[dict], threshold: float) -> str:
    """Everything as Markdown."""
    head = ("swaps of", "delivery", "faces (clips)", "against portraits", "against own originals", "found")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    sources = list(dict.fromkeys(row["source"] for row in rows if row["label"] == "swap"))
    for delivery in DELIVERIES:
        mine = [row for row in rows if row["delivery"] == delivery]
        portraits = [row for row in mine if row["label"] == "portrait"]
        for source in ["all", *sources]:
            swaps = [row for row in mine if row["label"] == "swap" and source in ("all", row["source"])]
            beside = [row for row in mine if row["label"] == "real" and source in ("all", row["source"])]
            name = f"**all** ({balanced_area(swaps, portraits, 'expert'):.3f} if sources count alike)"
            cells = [
                name if source == "all" else source,
                delivery,
                f"{len(swaps)} ({len({group(row) for row in swaps})})",
                shown(area(swaps, portraits, "expert")),
                shown(area(swaps, beside, "expert")),
                shown(share(swaps, threshold)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| false alarms | delivery | faces (sources or clips) | share |", "|---|---|---|---|"]
    for label in ("portrait", "retouched", "real"):
        for delivery in DELIVERIES:
            mine = [row for row in rows if row["label"] == label and row["delivery"] == delivery]
            if mine:
                count = f"{len(mine)} ({len({group(row) for row in mine})})"
                lines.append(f"| {label} | {delivery} | {count} | {shown(share(mine, threshold))} |")
    lines += [
        "",
        "| AUROC, as they came | all swaps against portraits | against own originals |",
        "|---|---|---|",
    ]
    native = [row for row in rows if row["delivery"] == "native"]
    parts = {
        label: [row for row in native if row["label"] == label] for label in ("swap", "portrait", "real")
    }
    for method in METHODS:
        cells = [shown(area(parts["swap"], parts[label], method)) for label in ("portrait", "real")]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", "| reenacted (no swap), as they came | faces | found |", "|---|---|---|"]
    for tool in dict.fromkeys(row["tool"] for row in native if row["label"] == "reenacted"):
        mine = [row for row in native if row["label"] == "reenacted" and row["tool"] == tool]
        lines.append(f"| {tool} | {len(mine)} | {shown(share(mine, threshold))} |")
    return "\n".join(lines) + "\n"


def metrics(rows: list[dict], threshold: float) -> dict[str, object]:
    """What the expert's card says, with its conditions."""
    found: dict[str, object] = {"threshold": round(threshold, 4), "command": "python -m benchmarks.faces"}
    for delivery in DELIVERIES:
        mine = [row for row in rows if row["delivery"] == delivery]
        of = {label: [row for row in mine if row["label"] == label] for label in ("swap", "portrait", "real")}
        against = {name: area(of["swap"], of[name], "expert") for name in ("portrait", "real")}
        found[delivery] = {
            "swaps": len(of["swap"]),
            "tools": len({row["source"] for row in of["swap"]}),
            "auroc_against_portraits": _number(against["portrait"]),
            "auroc_sources_alike": round(balanced_area(of["swap"], of["portrait"], "expert"), 3),
            "auroc_against_own_originals": _number(against["real"]),
            "found": round(share(of["swap"], threshold).value, 3),
            "portraits_flagged": round(share(of["portrait"], threshold).value, 4),
            "originals_flagged": round(share(of["real"], threshold).value, 4),
        }
    touched = [row for row in rows if row["label"] == "retouched"]
    found["retouched_flagged"] = round(share(touched, threshold).value, 4)
    return found


def _number(interval: Interval | None) -> float | None:
    return None if interval is None else round(interval.value, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--rows", type=Path, help="Where to keep every row, as JSON.")
    parser.add_argument("--again", action="store_true", help="Only write the table, from --rows.")
    parser.add_argument(
        "--whole", type=int, default=24, help="Every so many faces: the whole-picture detector."
    )
    parser.add_argument("--card", action="store_true", help="Write the figures into the expert's card.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.again:
        rows = json.loads(options.rows.read_text("utf-8"))
    else:
        rows = measured(listed_faces(options.mirrors, options.most), options.whole)
        rows += measured(portrait_faces(options.portraits), options.whole)
    if options.rows and not options.again:
        atomic_write(options.rows, json.dumps(rows), overwrite=True)
    threshold = load_expert().threshold
    atomic_write(options.out, tables(rows, threshold), overwrite=True)
    if options.card:
        card = read_card(WEIGHTS)
        write_card(WEIGHTS.parent, card.model_copy(update={"metrics": metrics(rows, threshold)}))


if __name__ == "__main__":
    try:
        main()
    except CountermarkError as error:
        raise SystemExit(str(error)) from error
