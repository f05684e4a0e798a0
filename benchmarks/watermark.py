"""Watermarks side by side: Countermark's, dwtDct, dwtDctSvd, rivaGan and blind-watermark, one run.

    python benchmarks/watermark.py FOLDER [FOLDER ...] --count 104 --peer-minutes 10 --out docs

Takes pictures from the folders in turn (scaled down to ``--megapixels``), embeds with every scheme, applies
every attack to the same marked pictures and writes ``watermark-benchmark.json``, ``.md`` and ``.png``.
Every peer gets the same pictures in the same order until its ``--peer-minutes`` of CPU time are used up;
peers that are not installed are left out. Times are CPU seconds of one thread, the least of three where they
are short. A run that was interrupted goes on from its ``--partial`` file.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from countermark.core.errors import ImageError
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import perturb, resize_to
from countermark.core.seeds import rng
from countermark.provenance import watermark

ATTACKS = (
    "none jpeg:90 jpeg:75 jpeg:50 jpeg:30 webp:75 resize:0.5 roundtrip:0.5 resize:2 crop:0.75 crop:0.5 "
    "crop:0.25 rotate:1 rotate:-1 rotate:5 rotate:-5 rotate:10 rotate:-10 rotate:90 rotate:180 flip "
    "noise:10 blur:2 brightness:1.3 brightness:0.7 contrast:1.3 contrast:0.7 gamma:1.3 screenshot border "
    "caption stretch:1.05 resize:0.25 rotate:3+crop:0.75+resize:0.7+jpeg:60"
).split()
BITS = 64
#: Standard deviation (grey levels) below which a file counts as blank: transparent ones often are.
BLANK = 2.0
#: Attacks after which reading is timed, and seconds up to which a measurement is repeated.
TIMED = ("none", "rotate:5")
QUICK = 0.5
#: Pictures from this size (megapixels) get a column of their own.
LARGE = 0.2
LARGE_NAME = f"countermark, {LARGE} MP or more"


@dataclass(frozen=True)
class Scheme:
    """``embed`` and ``read`` work on RGB; ``read`` gives bits, or None when nothing was found."""

    bits: int
    embed: Callable[[np.ndarray, np.ndarray], np.ndarray]
    read: Callable[[np.ndarray, tuple[int, ...]], np.ndarray | None]


def _ours() -> Scheme:
    def read(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        payload = watermark.read(image, time_budget=None).payload
        return None if payload is None else np.unpackbits(np.frombuffer(payload, np.uint8))

    return Scheme(BITS, lambda image, bits: watermark.embed(image, np.packbits(bits).tobytes()), read)


@lru_cache(maxsize=8)
def _invisible(method: str, bits: int) -> Scheme:
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    if method == "rivaGan":
        import onnxruntime

        # Its sessions take every core unless told otherwise, and wait for each other in a busy loop.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        single = partial(onnxruntime.InferenceSession, sess_options=options)
        with mock.patch.object(onnxruntime, "InferenceSession", single):
            WatermarkEncoder.loadModel()
            WatermarkDecoder.loadModel()

    def embed(image: np.ndarray, message: np.ndarray) -> np.ndarray:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", message.tolist())
        return encoder.encode(np.ascontiguousarray(image[..., ::-1]), method)[..., ::-1]

    def read(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        if image.shape[0] * image.shape[1] < 256 * 256:
            return None
        decoded = WatermarkDecoder("bits", bits).decode(np.ascontiguousarray(image[..., ::-1]), method)
        return np.array(decoded).astype(np.uint8)

    return Scheme(bits, embed, read)


def _blind() -> Scheme:
    import multiprocessing

    # The package sets the start method when it is imported, which a worker may not do again.
    with mock.patch.object(multiprocessing, "set_start_method"):
        from blind_watermark import WaterMark, bw_notes
    bw_notes.close()

    def embed(image: np.ndarray, message: np.ndarray) -> np.ndarray:
        mark = WaterMark(password_wm=1, password_img=1)
        mark.read_img(img=np.ascontiguousarray(image[..., ::-1]))
        mark.read_wm(message.astype(bool).tolist(), mode="bit")
        return np.clip(mark.embed(), 0, 255).astype(np.uint8)[..., ::-1]

    def read(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        mark = WaterMark(password_wm=1, password_img=1)
        found = mark.extract(embed_img=np.ascontiguousarray(image[..., ::-1]), wm_shape=BITS, mode="bit")
        return (np.asarray(found) > 0.5).astype(np.uint8)

    return Scheme(BITS, embed, read)


MAKERS: dict[str, Callable[[], Scheme]] = {
    "countermark": _ours,
    "dwtDct": lambda: _invisible("dwtDct", 64),
    "dwtDctSvd": lambda: _invisible("dwtDctSvd", 64),
    "rivaGan": lambda: _invisible("rivaGan", 32),
    "blind-watermark": _blind,
}


def judge(job: tuple[str, str, int, float]) -> dict[str, object]:
    """One scheme on one picture under all attacks."""
    from skimage.metrics import structural_similarity

    cv2.setNumThreads(1)
    name, path, seed, largest = job
    image = prepare(path, largest)
    begun = time.process_time()
    try:
        scheme = MAKERS[name]()
    except Exception as error:
        return {"scheme": name, "path": short(path), "error": f"{type(error).__name__}: {error}"}
    bits = rng(seed, name, Path(path).name).integers(0, 2, scheme.bits).astype(np.uint8)
    megapixels = image.shape[0] * image.shape[1] / 1e6
    try:
        marked, embedding = timed(lambda: np.ascontiguousarray(scheme.embed(image, bits)))
    except Exception as error:
        return {"scheme": name, "path": short(path), "error": f"{type(error).__name__}: {error}"}
    mse = max(1e-9, float(np.mean((marked.astype(float) - image) ** 2)))
    row: dict[str, object] = {
        "scheme": name,
        "path": short(path),
        "psnr": 10 * np.log10(255**2 / mse),
        "ssim": float(structural_similarity(image, marked, channel_axis=2)),
        "megapixels": megapixels,
        "encode_ms_mp": 1e3 * embedding / megapixels,
    }
    if name == "countermark":
        _, spent = timed(lambda: watermark.read(image, time_budget=None))
        row["search_nothing_ms_mp"] = 1e3 * spent / megapixels
    accuracy, exact, times = {}, {}, {}
    for attack in ATTACKS:
        attacked = perturb(attack, marked, rng(seed, attack, Path(path).name))
        start = time.process_time()
        try:
            found = scheme.read(attacked, image.shape)
        except Exception:
            found = None
        area = attacked.shape[0] * attacked.shape[1] / 1e6
        times[attack] = 1e3 * (time.process_time() - start) / area
        if attack in TIMED and found is not None:
            times[attack] = 1e3 * timed(lambda image=attacked: scheme.read(image, marked.shape))[1] / area
        accuracy[attack] = 0.5 if found is None else float(np.mean(found == bits))
        exact[attack] = found is not None and bool(np.array_equal(found, bits))
    spent = time.process_time() - begun
    return {**row, "accuracy": accuracy, "exact": exact, "decode_ms_mp": times, "cpu_s": spent}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What ``call`` returns, and the CPU seconds that it takes: the least of three where it is quick."""
    least, total = float("inf"), 0.0
    for _ in range(3):
        start = time.process_time()
        result = call()
        least = min(least, time.process_time() - start)
        total += time.process_time() - start
        if total > QUICK:
            break
    return result, least


def short(path: str) -> str:
    """The file's name with its folder's: what a row is known by."""
    return f"{Path(path).parent.name}/{Path(path).name}"


def prepare(path: str, megapixels: float) -> np.ndarray:
    """The picture, at most that large."""
    image = read_image(path).pixels
    factor = np.sqrt(megapixels * 1e6 / (image.shape[0] * image.shape[1]))
    if factor < 1:
        image = resize_to(image, round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.ascontiguousarray(image)


def choose(folders: list[Path], count: int, seed: int) -> list[str]:
    """Pictures of at least 256 pixels a side that are not blank, from the folders in turn."""
    queues = []
    for folder in folders:
        queue = [str(path) for path in iter_image_paths([folder])]
        random.Random(seed).shuffle(queue)
        queues.append(queue)
    chosen: list[str] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and len(chosen) < count:
                path = queue.pop()
                try:
                    pixels = read_image(path).pixels
                    if min(pixels.shape[:2]) < 256 or pixels[::4, ::4].std() < BLANK:
                        continue
                except ImageError:
                    continue
                chosen.append(path)
                break
    return chosen


def summarise(rows: list[dict]) -> dict[str, dict]:
    """Means by scheme."""
    table = {}
    groups = {name: [row for row in rows if row["scheme"] == name] for name in MAKERS}
    large = [row for row in groups["countermark"] if row.get("megapixels", 0) >= LARGE]
    if 0 < len(large) < len(groups["countermark"]):
        groups = {"countermark": groups["countermark"], LARGE_NAME: large, **groups}
    for name, mine in groups.items():
        good = [row for row in mine if "error" not in row]
        if not good:
            continue
        fast = [row["decode_ms_mp"]["none"] for row in good]
        nothing = [row["search_nothing_ms_mp"] for row in good if "search_nothing_ms_mp" in row]
        turned = [row["decode_ms_mp"]["rotate:5"] for row in good if row["exact"]["rotate:5"]]
        table[name] = {
            "n": len(good),
            "refused": len(mine) - len(good),
            "psnr": float(np.mean([row["psnr"] for row in good])),
            "psnr_min": float(np.min([row["psnr"] for row in good])),
            "ssim": float(np.mean([row["ssim"] for row in good])),
            "encode_ms_mp": float(np.median([row["encode_ms_mp"] for row in good])),
            "decode_ms_mp": float(np.median(fast)),
            "search_ms_mp": float(np.median(turned)) if turned else None,
            "search_nothing_ms_mp": float(np.median(nothing)) if nothing else None,
            "megapixels": float(np.median([row["megapixels"] for row in good])),
            "accuracy": {a: float(np.mean([row["accuracy"][a] for row in good])) for a in ATTACKS},
            "exact": {a: float(np.mean([row["exact"][a] for row in good])) for a in ATTACKS},
        }
    return table


def markdown(table: dict[str, dict]) -> str:
    """Bit accuracy and exact payloads, in per cent, as a table."""
    names = list(table)
    lines = [
        "| | " + " | ".join(f"{name} ({table[name]['n']})" for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]

    def line(title: str, cell: Callable[[dict], str]) -> None:
        lines.append(f"| {title} | " + " | ".join(cell(table[name]) for name in names) + " |")

    line("PSNR mean / min, dB", lambda t: f"{t['psnr']:.1f} / {t['psnr_min']:.1f}")
    line("SSIM", lambda t: f"{t['ssim']:.4f}")
    line("refused", lambda t: str(t["refused"]))
    line("encode, ms/MP", lambda t: f"{t['encode_ms_mp']:.0f}")
    line("decode, ms/MP", lambda t: f"{t['decode_ms_mp']:.0f}")
    line("decode after rotation, ms/MP", lambda t: f"{t['search_ms_mp']:.0f}" if t["search_ms_mp"] else "-")
    line(
        "search when nothing is there, ms/MP",
        lambda t: f"{t['search_nothing_ms_mp']:.0f}" if t["search_nothing_ms_mp"] else "-",
    )
    for attack in ATTACKS:
        line(
            f"`{attack}`",
            lambda t, a=attack: f"{100 * t['accuracy'][a]:.0f} / {100 * t['exact'][a]:.1f}",
        )
    return "\n".join(lines) + "\n"


def plot(table: dict[str, dict], path: Path) -> None:
    """Exact payloads by attack and scheme."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    grid = np.array([[100 * entry["exact"][a] for a in ATTACKS] for entry in table.values()])
    figure, axes = pyplot.subplots(figsize=(14, 5))
    image = axes.imshow(grid, aspect="auto", vmin=0, vmax=100, cmap="viridis")
    labels = [attack.replace("+resize", "\n+resize") for attack in ATTACKS]
    axes.set_xticks(range(len(ATTACKS)), labels, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(table)), [f"{name} (n={entry['n']})" for name, entry in table.items()])
    figure.colorbar(image, label="exact payload, %")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def measured(
    pool: ProcessPoolExecutor,
    jobs: list[tuple[str, str, int, float]],
    rows: list[dict],
    budget: float,
    at_once: int,
) -> Iterator[dict]:
    """Rows of one scheme's jobs that ``rows`` lacks, until ``budget`` CPU seconds are used up."""
    mine = {row["path"]: row for row in rows if row["scheme"] == jobs[0][0]} if jobs else {}
    spent = sum(row.get("cpu_s", 0.0) for row in mine.values())
    waiting = [job for job in jobs if short(job[1]) not in mine]
    running: deque[Future] = deque()
    while running or (waiting and spent < budget):
        while waiting and len(running) < at_once and spent < budget:
            running.append(pool.submit(judge, waiting.pop(0)))
        row = running.popleft().result()
        spent += row.get("cpu_s", 0.0)
        yield row


def _exists(path: Path | None) -> bool:
    return path is not None and path.exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=104, help="pictures for Countermark")
    parser.add_argument("--peer-minutes", type=float, default=10, help="CPU time for every peer")
    parser.add_argument("--slow-minutes", type=float, help="the same for rivaGan, which is slow")
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--partial", type=Path, help="file that is kept up to date, and gone on from")
    parser.add_argument("--schemes", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    paths = choose(arguments.folders, arguments.count, arguments.seed)
    rows = json.loads(arguments.partial.read_text()) if _exists(arguments.partial) else []
    slow = arguments.peer_minutes if arguments.slow_minutes is None else arguments.slow_minutes
    minutes = {"countermark": float("inf"), "rivaGan": slow}
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name in arguments.schemes:
            budget = 60 * minutes.get(name, arguments.peer_minutes)
            jobs = [(name, path, arguments.seed, arguments.megapixels) for path in paths]
            for row in measured(pool, jobs, rows, budget, arguments.workers):
                rows.append(row)
                missed = [attack for attack, hit in row.get("exact", {}).items() if not hit]
                print(name, row["path"], row.get("error") or f"{row['psnr']:.1f}", *missed, flush=True)
                if arguments.partial:
                    arguments.partial.write_text(json.dumps(rows))
    table = summarise(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = arguments.out / "watermark-benchmark"
    stem.with_suffix(".json").write_text(json.dumps({"summary": table, "rows": rows}, indent=1) + "\n")
    stem.with_suffix(".md").write_text(markdown(table))
    plot(table, stem.with_suffix(".png"))
    print(markdown(table))


if __name__ == "__main__":
    main()
